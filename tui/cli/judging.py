"""What `sentiment` and `classify` share: a judgement as a row, a line or an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.schema import LabelScores
from tui.cli.deliver import place_of
from tui.cli.opening import Run
from tui.cli.row_output import OutFormat, Result
from tui.cli.row_run import Work, run_rows
from tui.cli.row_settings import Asked
from tui.cli.rows import Row

COLUMNS = ("label", "score")
NO_LABEL = "-"
"""Printed where no label is sure enough."""


def judged(
    results: Iterable[tuple[int, LabelScores | EngineError]], model: str, *, threshold: float | None = None
) -> Iterator[tuple[int, Result | EngineError]]:
    """Judgements as columns; below `threshold` there is a score and no label."""
    for number, result in results:
        if isinstance(result, EngineError):
            yield number, result
            continue
        sure = threshold is None or result.score >= threshold
        yield (
            number,
            {
                "model": model,
                "label": result.label if sure else None,
                "score": result.score,
                "scores": result.scores,
            },
        )


def judge_rows(
    run: Run, session: Any, rows: Sequence[Row], work: Work, *, kind: OutFormat, asked: Asked, resume: Path | None
) -> None:
    """Judge all rows and print them; several with the text or its name. `asked`: what the labels depend on."""
    run_rows(
        run,
        rows,
        work,
        columns=COLUMNS,
        as_text=lambda row, result: as_line(row, result, alone=len(rows) == 1),
        kind=kind,
        asked={"--model": session.name} | {**asked},
        resume=resume,
        place=f"{session.name} on {place_of(session)}",
    )


def as_line(row: Row, result: Result, *, alone: bool) -> str:
    """`LABEL<TAB>PROBABILITY`, and beside others the text or its name."""
    label: Any = result["label"]
    shown = NO_LABEL if label is None else label if isinstance(label, str) else ",".join(label) or NO_LABEL
    line = f"{shown}\t{result['score']:.2f}"
    name = row.fields.get("text") if isinstance(row.fields.get("text"), str) else None
    return line if alone else f"{line}\t{' '.join((name or row.name).split())}"
