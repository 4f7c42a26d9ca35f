"""`llm eval`: how good a task's answers are on rows whose right answers are known, with intervals and rows/s.

It runs what the task's own command runs by default; nothing is measured that people don't get.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from engine.errors import UsageError
from engine.schema import Language
from tui.cli import ask, summarize
from tui.cli.classify import read_examples, read_labels
from tui.cli.console import Console
from tui.cli.deliver import place_of, print_json, save
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import read_path, stdin_once
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.options import DECODING, MODEL, Options, takes
from tui.cli.progress import Progress
from tui.cli.widths import columns, left

if TYPE_CHECKING:
    from engine.evaluation.interval import Estimate
    from engine.evaluation.measure import Measure, Outcome
    from engine.session import Session

EXAMPLES = """
llm eval sentiment --data reviews.jsonl
llm eval classify --data messages.jsonl --example-file judged.txt
llm eval qa --data questions.jsonl --limit 100 --json
llm eval translate --data pairs.jsonl --to en --limit 50
llm eval search --data queries.jsonl --passages passages.jsonl
llm eval perplexity --data 红楼梦.txt --limit 50
llm eval multiple-choice --data hellaswag.jsonl --out predictions.jsonl
"""
SHOWN_ERRORS = 5
SAMPLING: dict[str, dict[str, Any]] = {"qa": ask.DEFAULTS, "summarize": summarize.DEFAULTS}
Task = Literal["sentiment", "classify", "qa", "summarize", "translate", "search", "perplexity", "multiple-choice"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval", cls=HelpfulCommand, epilog=EXAMPLES)(evaluate)


@takes(*MODEL, "seed", *DECODING, "json")
def evaluate(
    options: Options,
    task: Annotated[
        Task,
        typer.Argument(
            help="sentiment, classify, qa, summarize, translate, search, perplexity or multiple-choice.",
            metavar="TASK",
            show_default=False,
        ),
    ],
    data: Annotated[
        str, typer.Option("--data", help="Rows as JSONL; for perplexity a text.", metavar="FILE", show_default=False)
    ],
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            help="Measure N rows, drawn by --seed evenly over the file.",
            metavar="N",
            min=1,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write each row's answer here, as JSONL.", metavar="FILE", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="classify: comma-separated, or @FILE; the data's own unless told.", metavar="A,B,C"
        ),
    ] = None,
    example_file: Annotated[
        str | None, typer.Option("--example-file", help="classify: judged texts, TEXT=LABEL.", metavar="FILE")
    ] = None,
    passages: Annotated[
        str | None, typer.Option("--passages", help="search: what is searched, JSONL of id and text.", metavar="FILE")
    ] = None,
    to: Annotated[Language | None, typer.Option("--to", help="translate: into; zh unless told.")] = None,
    length: Annotated[
        str | None, typer.Option("--length", help="summarize: short, medium, long, N% or Nw.", metavar="LENGTH")
    ] = None,
) -> None:
    """Measure a task on rows with known answers: figures with 95% intervals (bootstrap), and rows/s.

    Fields: text, label (sentiment, classify) · context, question, answers (qa; an empty list: the text does not say)
    · text, summaries (summarize) · en, zh (translate) · query, relevant (search; ids of --passages) ·
    context, endings, label (multiple-choice).
    """
    _refuse_strangers(
        task,
        {"--labels": labels, "--example-file": example_file, "--to": to, "--passages": passages, "--length": length},
    )
    stdin_once([path for path in (data, passages) if path])
    if out:
        _check_out(out, [path for path in (data, passages, example_file) if path])
    run = Run(options)
    from engine.evaluation import measures
    from engine.evaluation.measure import Setup

    setup = Setup(
        sampling=run.sampling(**SAMPLING.get(task, {})),
        labels=tuple(read_labels(labels)) if labels is not None else (),
        examples=tuple(read_examples([], example_file)) if example_file is not None else (),
        to=to or "zh",
        length=length or "medium",
        passages=read_path(passages, options.encoding, options.errors) if passages is not None else None,
        overflow=run.settings["overflow"] or "search",
    )
    with contextlib.closing(measures.create(task, setup)) as measure:
        document = read_path(data, options.encoding, options.errors)
        rows = measure.read(document)
        with run.session() as session:
            with Progress(run.console, "preparing") as progress:
                rows = measure.prepare(session, rows, progress.update)
            tally = Tally(task, document.name, measure, session.name, place_of(session), total=len(rows))
            tally.seed = run.settings["seed"] or 0
            stop = _measure(run.console, tally, session, rows, limit)
    _deliver(run, tally, out)
    if stop:
        raise stop
    if tally.failed:
        raise typer.Exit(6)


def _check_out(out: Path, sources: Sequence[str]) -> None:
    """Told before an hour's work, not after it."""
    if out.is_dir() or not out.resolve().parent.is_dir():
        raise UsageError(f"--out {out}: expected a file in a folder that exists")
    for source in sources:
        if out.exists() and Path(source).exists() and out.samefile(source):
            raise UsageError(f"--out names {source}, which is read: it would be overwritten", hint="name another file")


def _refuse_strangers(task: str, given: dict[str, Any]) -> None:
    """A flag that a task can't honour is told, never ignored."""
    own = {
        "classify": {"--labels", "--example-file"},
        "translate": {"--to"},
        "summarize": {"--length"},
        "search": {"--passages"},
    }.get(task, set())
    for name, value in given.items():
        if value is not None and name not in own:
            raise UsageError(f"{name} is not for {task}")


@dataclass
class Tally:
    """What was measured so far, and on what."""

    task: str
    data: str
    measure: Measure[Any, Any]
    model: str
    place: str
    total: int
    """Rows in the file."""
    seed: int = 0
    chosen: int = 0
    """Rows to measure."""
    outcomes: list[Outcome[Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def scores(self) -> list[Any]:
        """Of the rows that did not fail."""
        return [outcome.scores for outcome in self.outcomes if outcome.scores is not None]

    @property
    def failed(self) -> int:
        """How many rows failed."""
        return sum(outcome.scores is None for outcome in self.outcomes)

    @property
    def partial(self) -> bool:
        """Whether it was stopped."""
        return len(self.outcomes) < self.chosen

    @property
    def rate(self) -> float:
        """Rows a second."""
        return len(self.outcomes) / self.seconds if self.seconds else 0.0


def _measure(
    console: Console, tally: Tally, session: Session, rows: list[Any], limit: int | None
) -> BaseException | None:
    """Run the rows into the tally; returns what stopped it, if anything did."""
    from engine.evaluation.sample import spread

    chosen = [rows[i] for i in spread(len(rows), limit, tally.seed)]
    tally.chosen = len(chosen)
    if len(chosen) < len(rows):
        console.note(f"measuring {len(chosen)} of {len(rows)} {tally.measure.unit}, drawn evenly over {tally.data}")
    started = time.monotonic()
    try:
        with Progress(console, f"measuring {tally.task}") as progress:
            for outcome in tally.measure.run(session, chosen):
                tally.outcomes.append(outcome)
                tally.seconds = time.monotonic() - started
                if outcome.scores is None and tally.failed <= SHOWN_ERRORS:
                    progress.clear()
                    console.error(f"{tally.data}:{outcome.line}", outcome.error)
                progress.update(len(tally.outcomes), len(chosen))
    except (KeyboardInterrupt, Terminated) as stop:
        return stop
    return None


def _deliver(run: Run, tally: Tally, out: Path | None) -> None:
    """Print what was measured, if anything was, and write the answers."""
    if tally.partial:
        run.console.warn(f"stopped after {len(tally.outcomes)} of {tally.chosen} {tally.measure.unit}")
        if not tally.outcomes:
            return
    if tally.failed:
        run.console.warn(f"{tally.failed} of {len(tally.outcomes)} failed; the figures are of the others")
    tally.outcomes.sort(key=lambda outcome: outcome.line)
    if out:
        save(run.console, out, _predictions(tally))
    from engine.evaluation.interval import estimates

    found = estimates(tally.scores, tally.measure.statistics(), seed=tally.seed)
    if run.options.json:
        print_json(run.console, _json(tally, found))
    else:
        run.console.line("\n".join(_table(run.console, tally, found)))


def _predictions(tally: Tally) -> str:
    import json

    rows = ({"line": outcome.line} | outcome.answer for outcome in tally.outcomes)
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _json(tally: Tally, found: dict[str, Estimate]) -> dict[str, Any]:
    return {
        "task": tally.task,
        "data": tally.data,
        "model": tally.model,
        "kernel": tally.place,
        "rows": len(tally.outcomes),
        "rows_total": tally.total,
        "failed": tally.failed,
        "partial": tally.partial,
        "seed": tally.seed,
        "duration_ms": round(tally.seconds * 1000),
        "rows_per_second": round(tally.rate, 4),
        "metrics": {
            name: {"value": _finite(estimate.value), "low": _finite(estimate.low), "high": _finite(estimate.high)}
            for name, estimate in found.items()
        },
    }


def _finite(value: float) -> float | None:
    """JSON knows neither infinity nor NaN."""
    return round(value, 6) if math.isfinite(value) else None


def _table(console: Console, tally: Tally, found: dict[str, Estimate]) -> list[str]:
    """For people: what was measured on what, and a line for each figure."""
    done, unit = len(tally.outcomes), tally.measure.unit
    rows = f"{done} {unit}" if done == tally.total else f"{done} of {tally.total} {unit}"
    speed = f"{tally.rate:.2f} {unit}/s" if tally.rate < 10 else f"{tally.rate:.0f} {unit}/s"
    title = [f"PARTIAL {tally.task}" if tally.partial else tally.task, tally.data, rows]
    lines = [" · ".join(map(console.said, [*title, f"{tally.model} on {tally.place}", speed]))]
    names = {name: console.said(name) for name in found}
    width = max(map(columns, names.values()), default=0)
    for name, estimate in found.items():
        value, low, high = (_figure(number) for number in (estimate.value, estimate.low, estimate.high))
        lines.append(f"{left(names[name], width)}  {value:>8}  {console.said(f'95% {low} to {high}')}")
    return lines


def _figure(value: float) -> str:
    """Four digits that count, more or less."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:.4g}"
