"""Variants of a task's prompt on development rows, beside what ships: figures to choose a prompt by.

`python -m benchmarks.choose_prompts sentiment --data rows.jsonl --variants variants.toml`; see docs/prompts.md.
The rows must not be those that the product is evaluated on: what is chosen on rows looks better on them than it is.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import sys
import time
import tomllib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.evaluation.interval import Estimate
    from engine.schema import Document, Language
    from engine.session import Session

SHIPPED = "as shipped"
TASKS = ("sentiment", "qa", "summarize")
Variant = dict[str, Any]
"""What stands in place of the shipped prompt's parts, by name; what is not named stays."""


def main() -> None:
    from engine.errors import EngineError

    arguments = parsed(None)
    try:
        run(arguments)
    except EngineError as error:
        sys.exit(f"{error.message}\n{error.hint}".strip())


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choose_prompts", description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True, help="JSONL, also gzipped; the fields of `llm eval`")
    parser.add_argument("--variants", type=Path, help="TOML, a table a variant; without it what ships is measured")
    parser.add_argument("--rows", type=int, help="so many rows, drawn evenly over the file")
    parser.add_argument("--seed", type=int, default=0, help="of that draw")
    parser.add_argument("--language", choices=("en", "zh"), help="of the prompt; that of the rows unless told")
    parser.add_argument("--model", type=Path, help="a model folder; the installed default model unless told")
    parser.add_argument("--max-tokens", type=int, default=128, help="of an answer or summary")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(words)


def run(arguments: argparse.Namespace) -> None:
    """Measure every variant on the same rows; a line of a Markdown table for each. Raises EngineError."""
    from benchmarks.installed import default_model
    from engine.config import SamplingConfig
    from engine.evaluation.measure import Setup
    from engine.evaluation.measures import create
    from engine.evaluation.sample import spread
    from engine.language import language_of
    from engine.session import Session

    data = document(arguments.data)
    variants = {SHIPPED: Variant()} | (read_variants(arguments.variants, arguments.task) if arguments.variants else {})
    setup = Setup(sampling=SamplingConfig(repetition_penalty=1.1, max_tokens=arguments.max_tokens), length="short")
    measure = create(arguments.task, setup)
    rows = measure.read(data)
    chosen = [rows[index] for index in spread(len(rows), arguments.rows, arguments.seed)]
    language: Language = arguments.language or language_of(data.text)
    session = Session.open(arguments.model or default_model(), threads=arguments.threads)
    session.probes = {}  # they know the prompt that ships, and no other
    print(f"{session.name}, {session.kernel}; {arguments.data.name}, {len(chosen)} of {len(rows)} rows, {language}\n")
    names = list(measure.statistics())
    print(f"| variant | {' | '.join(names)} | rows/s |\n|---|{'--:|' * (len(names) + 1)}", flush=True)
    for name, variant in variants.items():
        started = time.monotonic()
        with put_in(variant, arguments.task, language):
            figures = estimated(session, measure, chosen, name)
        cells = [_cell(figures[figure]) if figure in figures else "" for figure in names]
        rate = len(chosen) / (time.monotonic() - started)
        print(f"| {name} | {' | '.join(cells)} | {rate:.1f} |", flush=True)
    session.close()


def document(path: Path) -> Document:
    """The rows' text. Raises InputError."""
    from engine.errors import InputError
    from engine.schema import Document

    try:
        data = path.read_bytes()
        return Document(str(path), (gzip.decompress(data) if path.suffix == ".gz" else data).decode())
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"can't read {path}: {error}") from error


def read_variants(path: Path, task: str) -> dict[str, Variant]:
    """The variants of a file by name. Raises InputError for what the task's prompt has no place for."""
    from engine.errors import InputError

    try:
        variants = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"can't read {path}: {error}") from error
    known = {part: next(iter(values.values())) for part, values in tables(task).items()}
    for name, variant in variants.items():
        if not isinstance(variant, dict) or not variant or not set(variant) <= set(known):
            raise InputError(f"{path}: [{name}] should hold some of: {', '.join(known)}")
        for part, value in variant.items():
            kind = (list, tuple) if isinstance(known[part], tuple) else type(known[part])
            if not isinstance(value, kind):
                raise InputError(f"{path}: {part} of [{name}] should be {known[part]!r:.60}…, or the like")
    return variants


def tables(task: str) -> dict[str, dict[Any, Any]]:
    """The parts of a task's prompt that can be replaced: each by language, as the product reads it."""
    from engine.tasks import answer, sentiment, summarize

    if task == "sentiment":
        return {"instruction": sentiment.INSTRUCTIONS, "examples": sentiment.EXAMPLES, "words": sentiment.WORDS}
    if task == "qa":
        return {"prompt": answer.PROMPTS}
    return {"whole": summarize.WHOLE, "part": summarize.PART}


@contextlib.contextmanager
def put_in(variant: Mapping[str, Any], task: str, language: str) -> Iterator[None]:
    """The product with a variant in place of its own prompt, in one language, while the body runs."""
    parts = tables(task)
    before = {part: parts[part][language] for part in variant}
    try:
        for part, value in variant.items():
            parts[part][language] = tuple(map(tuple, value)) if isinstance(value, list) else value
        yield
    finally:
        for part, value in before.items():
            parts[part][language] = value


def estimated(session: Session, measure: Any, rows: Sequence[Any], name: str) -> dict[str, Estimate]:
    """The figures of all rows; those that failed are told, and count as nothing else."""
    from engine.evaluation.interval import estimates

    scores = []
    for number, outcome in enumerate(measure.run(session, rows), 1):
        print(f"\r{name}: {number}/{len(rows)}\x1b[K", end="", file=sys.stderr)
        if outcome.error:
            print(f"\nline {outcome.line}: {outcome.error}", file=sys.stderr)
        else:
            scores.append(outcome.scores)
    print(file=sys.stderr)
    return estimates(scores, measure.statistics())


def _cell(estimate: Estimate) -> str:
    """A figure with its 95% interval."""
    return f"{estimate.value:.3f} ({estimate.low:.2f} to {estimate.high:.2f})"


if __name__ == "__main__":
    main()
