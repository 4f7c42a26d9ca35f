"""How memory grows with the context and with the model, beside llama.cpp: a Markdown table.

    python -m benchmarks.context --peer-python P MODEL_FOLDER Q8_0.gguf [MODEL_FOLDER Q8_0.gguf …] [--depths …]

A process for each engine, model and depth; what is resident once so many tokens have been read. llama.cpp is given just
the context that they need.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

from benchmarks.contest import OURS, Contestant, Engine
from benchmarks.growth import table, tell
from engine.speed.figures import shown
from engine.speed.machine import this_machine

SPARE = 64
"""Tokens of context beside those that are read."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.context", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="+", type=Path, metavar="MODEL GGUF", help="folders of ours and files of theirs")
    parser.add_argument("--peer-python", required=True, help="an interpreter that has llama_cpp")
    parser.add_argument("--depths", nargs="+", type=int, default=[512, 4096, 8192])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if len(arguments.pairs) % 2:
        parser.error("expected a folder and a file for each model")
    rows = []
    for folder, file in zip(arguments.pairs[::2], arguments.pairs[1::2], strict=True):
        for depth in arguments.depths:
            threads = str(arguments.threads)
            ours = (sys.executable, "-m", "benchmarks.ours", str(folder), threads)
            theirs = (arguments.peer_python, "-m", "benchmarks.peers.llama_cpp", str(file), threads, str(depth + SPARE))
            found = [resident(Contestant(OURS, ours), depth), resident(Contestant("llama.cpp", theirs), depth)]
            rows.append([folder.name, str(depth), *map(shown, found), f"{found[0] / found[1]:.2f}"])
            tell(rows[-1])
    print(f"{arguments.threads} threads, {this_machine()}\n")
    names = ["model", "tokens read", "ours, MB", "llama.cpp, MB", "ours / theirs"]
    print(table("resident memory, by context and model", names, rows))


def resident(contestant: Contestant, depth: int) -> float:
    """MB in memory after so many tokens. Exits where an engine can't."""
    with contextlib.closing(Engine(contestant)) as engine:
        answers = [engine.ask(f"prefill {depth}"), engine.ask("resident")]
    if not all(isinstance(answer, float) for answer in answers):
        sys.exit(f"{contestant.name}, {depth} tokens: {answers}")
    return float(answers[1] or 0)


if __name__ == "__main__":
    main()
