"""`llm summarize` against the summaries that people wrote."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.evaluation.interval import mean
from engine.evaluation.measure import Measure
from engine.evaluation.rouge import rouge_l, rouge_n
from engine.evaluation.rows import Summarized, objects
from engine.evaluation.units import units
from engine.schema import Chunk, Document
from engine.tasks.summarize import summarize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.evaluation.interval import Statistic
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

    def judge(self, session: Session, row: Summarized) -> tuple[dict[str, Any], SummaryScores]:
        """The summary that the command would print."""
        document = Document(f"line {row.line}", row.text)
        events = summarize(session, document, sampling=self.setup.sampling, length=self.setup.length)
        with contextlib.closing(events):
            text = "".join(event.text for event in events if isinstance(event, Chunk)).strip()
        scores = SummaryScores(
            rouge_n(text, row.summaries, 1), rouge_n(text, row.summaries, 2), rouge_l(text, row.summaries),
            len(units(text)),
        )  # fmt: skip
        return {"summaries": list(row.summaries), "summary": text} | scores._asdict(), scores

    def statistics(self) -> Mapping[str, Statistic[SummaryScores]]:
        """Means over the rows."""
        return {
            "rouge1": lambda rows: mean([row.rouge1 for row in rows]),
            "rouge2": lambda rows: mean([row.rouge2 for row in rows]),
            "rougeL": lambda rows: mean([row.rouge_l for row in rows]),
            "length": lambda rows: mean([row.length for row in rows]),
        }
