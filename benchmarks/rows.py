"""Labelling many rows: one `llm sentiment` over a file, beside a process a row, and beside llama.cpp prompt by prompt.

    python -m benchmarks.rows --data FILE.jsonl [--rows N] [--peer-python P --peer-model GGUF]

All label the same rows with the same prompts: llama.cpp by the replies' scores, ours by its probe where the model has
one (`engine.probe`). A process a row is timed on a few rows and scaled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import by_prompt
from benchmarks.contest import ROOT
from benchmarks.installed import default_model
from engine.speed.machine import this_machine

COMMAND = [sys.executable, "-m", "tui.cli.main", "sentiment"]
SINGLE = 5
"""Processes timed where each judges one row."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="JSONL with a field `text`")
    parser.add_argument("--rows", type=int, help="only so many, evenly over the file")
    by_prompt.add_flags(parser)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.data.read_text(encoding="utf-8").splitlines()]
    count = min(arguments.rows or len(rows), len(rows))
    texts = [rows[number * len(rows) // count]["text"] for number in range(count)]
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "rows.jsonl")
        given.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        prompts = asked(texts) if arguments.peer_python else {}
        for _ in range(arguments.rounds):
            flags = ["--threads", str(arguments.threads)]
            begun = time.perf_counter()
            run([*COMMAND, *flags, "-f", str(given), "--in", "jsonl:text", "--out", "jsonl"])
            figures.setdefault("one `llm sentiment` for all", []).append(time.perf_counter() - begun)
            if (peer := by_prompt.seconds(arguments, prompts)) is not None:
                figures.setdefault("llama.cpp Q8_0, prompt by prompt, loading not counted", []).append(peer)
            singles = []
            for text in texts[:: max(1, count // SINGLE)][:SINGLE]:
                begun = time.perf_counter()
                run([*COMMAND, *flags, "--", text])
                singles.append(time.perf_counter() - begun)
            figures.setdefault("a process a row (scaled)", []).append(statistics.median(singles) * count)
    print(table(count, arguments.threads, figures))


def run(command: list[str]) -> None:
    """The command; what it prints is of no interest."""
    subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})


def asked(texts: list[str]) -> dict[str, list[str]]:
    """The prompts that the command makes, as text, and the replies that it scores."""
    from engine.language import language_of
    from engine.session import Session
    from engine.tasks.sentiment import question

    session = Session.open(default_model(), device="cpu")
    questions = {language: question(language) for language in ("en", "zh")}
    prompts = [session.prompt_text(questions[language_of(text)].messages(text)) for text in texts]
    return {"prompts": prompts, "replies": list(questions[language_of(texts[0])].replies)}


def table(count: int, threads: int, figures: dict[str, list[float]]) -> str:
    """Medians, rows a second, and how many times as long as ours (the median of the rounds' ratios)."""
    lines = [
        f"{count} rows, {threads} threads, {this_machine()}",
        "",
        "| | seconds | rows/s | times ours |",
        "|---|--:|--:|--:|",
    ]
    ours = next(iter(figures.values()))
    for name, seconds in figures.items():
        ratio = statistics.median(theirs / own for theirs, own in zip(seconds, ours, strict=True))
        middle = statistics.median(seconds)
        lines.append(f"| {name} | {middle:.1f} | {count / middle:.2f} | {ratio:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
