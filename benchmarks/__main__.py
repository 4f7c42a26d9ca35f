"""`make bench`: our engine and llama.cpp in turn on the same weights, 8 bits each, as medians and ratios in Markdown.

The peer runs in an environment of its own (`--peer-python`, with llama-cpp-python installed) on a Q8_0 file that
`benchmarks.q8_0` writes from the same source. Without a peer only our own figures are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROWS = (
    ("load_seconds", "load", "s", False),
    ("prefill_128", "prefill 128", "tok/s", True),
    ("prefill_512", "prefill 512", "tok/s", True),
    ("prefill_2048", "prefill 2048", "tok/s", True),
    ("decode_0", "decode, depth 0", "tok/s", True),
    ("decode_1024", "decode, depth 1024", "tok/s", True),
    ("resident_mb", "resident memory", "MB", False),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder of ours; default: the installed default model")
    parser.add_argument("--peer-python", help="a Python with llama-cpp-python")
    parser.add_argument("--peer-model", type=Path, help="the Q8_0 GGUF of the same weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    runners = {"ours": [sys.executable, "-m", "benchmarks.speed_ours", str(model), str(arguments.threads)]}
    if arguments.peer_python and arguments.peer_model:
        script = str(Path(__file__).with_name("speed_llama_cpp.py"))
        runners["llama.cpp"] = [arguments.peer_python, script, str(arguments.peer_model), str(arguments.threads)]
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in runners}
    for number in range(arguments.rounds):
        for name, command in runners.items():
            print(f"round {number + 1}/{arguments.rounds}: {name}", file=sys.stderr)
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(table(model.name, arguments.threads, figures))


def default_model() -> Path:
    """The folder of the default model. Exits with a message if there is none."""
    from engine.errors import EngineError
    from tui.cli.installed import open_library
    from tui.paths import places

    library = open_library(places())
    try:
        return library.find(library.default or "")
    except EngineError as error:
        sys.exit(f"{error.message}; {error.hint}")


def table(model: str, threads: int, figures: dict[str, list[dict[str, float]]]) -> str:
    """Medians of all rounds, and ratios taken round by round."""
    names = list(figures)
    rounds = len(figures[names[0]])
    lines = [f"{model}, {threads} threads, {rounds} rounds in turn, {machine()}", ""]
    ratio = len(names) == 2
    lines.append(f"| | {' | '.join(names)} |{' ratio |' if ratio else ''}")
    lines.append(f"|---|{'--:|' * (len(names) + ratio)}")
    for key, label, unit, _ in ROWS:
        medians = [statistics.median(row[key] for row in figures[name]) for name in names]
        cells = [f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}" for value in medians]
        if ratio:
            pairs = zip(*(figures[name] for name in names), strict=True)
            cells.append(f"{statistics.median(ours[key] / theirs[key] for ours, theirs in pairs):.2f}")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    """The processor in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


if __name__ == "__main__":
    main()
