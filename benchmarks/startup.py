"""What starting costs, phase by phase, each in processes of its own: the help, the imports, loading, the first token.

python -m benchmarks.startup [--runs N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.installed import default_model
from engine.speed.machine import this_machine

PROBE = """
import json, sys, time
started = time.perf_counter()
marks = {}
def mark(name):
    global started
    marks[name] = time.perf_counter() - started
    started = time.perf_counter()
from pathlib import Path
from engine.config import SamplingConfig
from engine.schema import Message
from engine.session import Session
mark("import engine.session")
from engine.lean import import_torch
from engine.threads import wait_politely
wait_politely()
import_torch(lean=True)
mark("import torch, lean")
session = Session.open(Path(sys.argv[1]))
mark("open the session (the engine's modules on torch, weights, tokenizer)")
for chunk in session.stream([Message("user", "hi")], SamplingConfig(max_tokens=1)):
    pass
mark("prefill of `hi` and the first token")
print(json.dumps(marks))
"""
LLM = [sys.executable, "-m", "tui.cli.main"]


def seconds(command: list[str], *, first_byte: bool = False) -> float:
    begun = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        if first_byte:
            os.read(run.stdout.fileno(), 1)
            spent = time.perf_counter() - begun
        run.stdout.read()
        if run.wait():
            raise SystemExit(f"failed: {' '.join(command)}")
    return spent if first_byte else time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    model = default_model()
    whole = {
        "python -c pass": ([sys.executable, "-c", "pass"], False),
        "python -c 'import typer'": ([sys.executable, "-c", "import typer"], False),
        "llm --help": ([*LLM, "--help"], False),
        "llm models list": ([*LLM, "models", "list"], False),
        "python -c 'import torch'": ([sys.executable, "-c", "import torch"], False),
        "llm ask hi, to the first byte": ([*LLM, "ask", "hi", "--max-tokens", "1"], True),
        "llm ask hi --max-tokens 1, to its end": ([*LLM, "ask", "hi", "--max-tokens", "1"], False),
        "llm sentiment TEXT, to its end": ([*LLM, "sentiment", "I loved every minute"], False),
    }
    figures: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, (command, first_byte) in whole.items():
            figures.setdefault(name, []).append(seconds(command, first_byte=first_byte))
        done = subprocess.run([sys.executable, "-c", PROBE, str(model)], stdout=subprocess.PIPE, check=True, text=True)
        for name, spent in json.loads(done.stdout).items():
            figures.setdefault(f"… {name}", []).append(spent)
    print(f"{model.name}; {this_machine()}; medians (lowest) of {runs}\n\n| | seconds |\n|---|--:|")
    for name, found in figures.items():
        print(f"| {name} | {statistics.median(found):.3f} ({min(found):.3f}) |")
    ratio = statistics.median(figures["llm --help"]) / statistics.median(figures["python -c 'import typer'"])
    print(f"\n`llm --help` takes {ratio:.2f} times as long as importing typer.")


if __name__ == "__main__":
    main()
