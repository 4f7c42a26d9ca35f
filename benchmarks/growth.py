"""How cost grows with depth, sequences, size of the model and length of a file; a Markdown table for each.

    python -m benchmarks.growth [depth batch size file] [--rounds N] [--threads N] [--out FILE]

Depth, batch and file measure the default model (or `--model`); sizes are random weights (`benchmarks.synthetic`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contest import Contestant, Engine
from benchmarks.installed import default_model
from benchmarks.pages import WORDS, text_of
from engine.speed.figures import shown
from engine.speed.machine import this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEPTHS = (0, 256, 512, 1024, 2048, 4096, 8192)
ROWS = (1, 2, 4, 8, 16, 32)
PAGES = (1, 2, 5, 10, 20)
KINDS = ("depth", "batch", "size", "file")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all unless told")
    parser.add_argument("--model", type=Path, help="a model folder; default: the installed default model")
    parser.add_argument("--sizes", nargs="*", help="of synthetic models, by name")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, help="leave out depths, sequences and pages beyond this")
    parser.add_argument("--out", type=Path, help="a file for what is printed")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return arguments


def main() -> None:
    arguments = parsed()
    makers: dict[str, Callable[[argparse.Namespace], str]] = {
        "depth": of_depth, "batch": of_batch, "size": of_size, "file": of_file,
    }  # fmt: skip
    tables = [makers[kind](arguments) for kind in arguments.kinds or KINDS]
    heading = f"{arguments.threads} threads, medians of {arguments.rounds}, {this_machine()}"
    text = "\n\n".join([heading, *tables])
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def of_depth(arguments: argparse.Namespace) -> str:
    """Reading so many tokens, and writing after them."""
    model = arguments.model or default_model()
    rows, before = [], 0.0
    with running(model, arguments) as engine:
        for depth in within(DEPTHS, arguments):
            read = asked(engine, f"prefill {depth}", arguments) if depth else None
            spent = 1000 / asked(engine, f"decode {depth}", arguments)
            before = before or spent
            rows.append([str(depth), shown(read) if read else "", shown(spent), f"{spent / before:.2f}"])
            tell(rows[-1])
    return table(f"{model.name}, by depth", ["tokens before", "prefill tok/s", "ms a token", "times the first"], rows)


def of_batch(arguments: argparse.Namespace) -> str:
    """Sequences that decode together."""
    model = arguments.model or default_model()
    rows, first = [], 0.0
    with running(model, arguments) as engine:
        for count in within(ROWS, arguments):
            rate = asked(engine, f"together {count}", arguments)
            step = 1000 * count / rate
            first = first or step
            rows.append([str(count), shown(rate), shown(step), f"{step / first:.2f}"])
            tell(rows[-1])
    return table(f"{model.name}, by sequences", ["sequences", "tok/s, all", "ms a step", "times the first"], rows)


def of_size(arguments: argparse.Namespace) -> str:
    """Models of random weights: a token should cost little more than reading all of them once."""
    from benchmarks.synthetic import SIZES, shape, write

    rows = []
    for size in arguments.sizes or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            config = shape(size)
            with running(write(config, Path(folder)), arguments) as engine:
                read = asked(engine, "prefill 128", arguments)
                rate = asked(engine, "decode 0", arguments)
                memory = asked(engine, "resident", arguments)
        weights = config.num_parameters / 1e9  # a byte each; of a tied table all rows are read by the head
        rows.append([size, f"{weights:.2f}", shown(read), shown(rate), shown(weights * rate), shown(memory)])
        tell(rows[-1])
    names = ["model", "10⁹ weights", "prefill 128 tok/s", "decode tok/s", "GB/s of weights read", "resident MB"]
    return table("random weights, by size", names, rows)


def of_file(arguments: argparse.Namespace) -> str:
    """`llm tokens` and `llm summarize` over files of so many pages, each a process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pages.txt")
        for pages in within(PAGES, arguments):
            file.write_text(text_of(pages), encoding="utf-8")
            tokens = timed(["tokens", "-f", str(file)], arguments)
            flags = ["--length", "short", "--no-cache", "--threads", str(arguments.threads)]
            summary = timed(["summarize", *flags, str(file)], arguments)
            rows.append([str(pages), str(pages * WORDS), shown(tokens), shown(summary), shown(summary / pages)])
            tell(rows[-1])
    names = ["pages", "words", "`llm tokens` s", "`llm summarize` s", "s a page"]
    return table("the default model, by length of a file", names, rows)


def running(model: Path, arguments: argparse.Namespace) -> contextlib.closing[Engine]:
    """Our engine's process, for a `with`."""
    command = (sys.executable, "-m", "benchmarks.ours", str(model), str(arguments.threads))
    return contextlib.closing(Engine(Contestant("ours", command)))


def asked(engine: Engine, question: str, arguments: argparse.Namespace) -> float:
    """The median of all rounds."""
    values = [engine.ask(question) for _ in range(arguments.rounds)]
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        sys.exit(f"{question}: {values}")
    return statistics.median(numbers)


def timed(words: list[str], arguments: argparse.Namespace) -> float:
    """Seconds of a command, start and loading in them."""
    found = []
    for _ in range(arguments.rounds):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tui.cli.main", *words], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def within(values: Sequence[int], arguments: argparse.Namespace) -> list[int]:
    return [value for value in values if arguments.most is None or value <= arguments.most]


def table(heading: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"**{heading}**", "", f"| {' | '.join(names)} |", f"|{'--:|' * len(names)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def tell(row: Sequence[str]) -> None:
    print(" ".join(row), file=sys.stderr)


if __name__ == "__main__":
    main()
