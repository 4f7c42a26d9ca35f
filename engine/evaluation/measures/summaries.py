"""`llm summarize` against the summaries that people wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.errors import EngineError
from engine.evaluation.interval import mean
from engine.evaluation.measure import Measure, Outcome
from engine.evaluation.rouge import rouge_l, rouge_n
from engine.evaluation.rows import Summarized, objects
from engine.evaluation.units import units
from engine.tasks.summarize import summarize_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.evaluation.interval import Statistic
    from engine.schema import Document
    from engine.session import Session


class SummaryScores(NamedTuple):
    """One summary's ROUGE, and its length in words or Chinese characters."""

    rouge1: float
    rouge2: float
    rouge_l: float
    length: int


class TaskMeasure(Measure[Summarized, SummaryScores]):
    """ROUGE-1, ROUGE-2, ROUGE-L; the length says how far they may be compared."""

    def read(self, document: Document) -> list[Summarized]:
        """Rows of `text` and `summaries`."""
        return [Summarized.read(line, fields) for line, fields in objects(document)]

    def run(self, session: Session, rows: Sequence[Summarized]) -> Iterator[Outcome[SummaryScores]]:
        """All rows together, as the command takes rows."""
        texts, setup = [row.text for row in rows], self.setup
        for number, result in summarize_rows(session, texts, sampling=setup.sampling, length=setup.length):
            row = rows[number]
            if isinstance(result, EngineError):
                yield Outcome.failed(row.line, result)
                continue
            scores = compared(result, row.summaries)
            answer = {"summaries": list(row.summaries), "summary": result} | scores._asdict()
            yield Outcome(row.line, answer, scores)

    def statistics(self) -> Mapping[str, Statistic[SummaryScores]]:
        """Means over the rows."""
        return {
            "rouge1": lambda rows: mean([row.rouge1 for row in rows]),
            "rouge2": lambda rows: mean([row.rouge2 for row in rows]),
            "rougeL": lambda rows: mean([row.rouge_l for row in rows]),
            "length": lambda rows: mean([row.length for row in rows]),
        }


def compared(summary: str, references: Sequence[str]) -> SummaryScores:
    """A summary beside those of people."""
    return SummaryScores(
        rouge1=rouge_n(summary, references, 1),
        rouge2=rouge_n(summary, references, 2),
        rouge_l=rouge_l(summary, references),
        length=len(units(summary)),
    )
