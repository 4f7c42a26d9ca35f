"""`llm sentiment` in a shell loop, cold and with the warm server, in turn; the answers must be the same.

    python -m benchmarks.warm [--runs N]

Starts and stops the server itself: none may run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from benchmarks.installed import default_model
from engine.speed.machine import this_machine

LLM = [sys.executable, "-m", "tui.cli.main"]
TEXTS = ("I loved every minute", "The room was dirty and loud", "房间又脏又吵", "干净、安静，离车站也近")


def judged(text: str) -> tuple[float, str]:
    begun = time.perf_counter()
    done = subprocess.run([*LLM, "sentiment", "--json", "--", text], stdout=subprocess.PIPE, check=True, text=True)
    return time.perf_counter() - begun, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warm", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds over the texts")
    runs = parser.parse_args().runs
    model = default_model()
    figures: dict[str, list[float]] = {"cold": [], "warm, a text for the first time": [], "warm, again": []}
    answers: dict[str, set[str]] = {text: set() for text in TEXTS}
    for text in TEXTS[: 1 + (runs > 1)]:
        spent, said = judged(text)
        figures["cold"].append(spent)
        answers[text].add(said)
    begun = time.perf_counter()
    subprocess.run([*LLM, "serve", "--background", "--quiet"], check=True)
    ready = time.perf_counter() - begun
    try:
        judged("hello")  # each language's instruction is read once
        judged("你好")
        for number in range(runs):
            for text in TEXTS:
                spent, said = judged(text)
                figures["warm, again" if number else "warm, a text for the first time"].append(spent)
                answers[text].add(said)
    finally:
        subprocess.run([*LLM, "serve", "--stop", "--quiet"], check=True)
    print(
        f"{model.name}; {this_machine()}; {os.cpu_count()} CPUs\n\n| `llm sentiment` | seconds | runs |\n|---|--:|--:|"
    )
    for name, found in figures.items():
        if found:
            print(f"| {name} | {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}) | {len(found)} |")
    print(f"\nThe server was ready after {ready:.1f} s.")
    differing = [text for text, said in answers.items() if len(said) > 1]
    print(f"Answers differ for: {differing}" if differing else "All answers were the same, to the last digit.")


if __name__ == "__main__":
    main()
