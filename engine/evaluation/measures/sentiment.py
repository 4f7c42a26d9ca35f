"""`llm sentiment` against true labels; neutral is allowed where the rows have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.evaluation.labels import Pair, accuracy, macro_f1
from engine.evaluation.measure import Measure, Outcome
from engine.evaluation.rows import LabelledText, objects
from engine.schema import LabelScores
from engine.tasks import sentiment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.errors import EngineError
    from engine.evaluation.interval import Statistic
    from engine.schema import Document
    from engine.session import Session

LABELS = ("positive", "negative", "neutral")


class TaskMeasure(Measure[LabelledText, Pair]):
    """Accuracy and macro-F1."""

    _neutral = False

    def read(self, document: Document) -> list[LabelledText]:
        """Rows whose labels are those that the command gives."""
        rows = []
        for line, fields in objects(document):
            row = LabelledText.read(line, fields)
            if row.label not in LABELS:
                raise fields.fail(f"field 'label' must be positive, negative or neutral, got {row.label!r:.40}")
            rows.append(row)
        self._neutral = any(row.label == "neutral" for row in rows)
        return rows

    def run(self, session: Session, rows: Sequence[LabelledText]) -> Iterator[Outcome[Pair]]:
        """All rows together, as the command takes several texts."""
        texts = [row.text for row in rows]
        for number, result in sentiment.judge_many(session, texts, neutral=self._neutral):
            yield compared(rows[number], result)

    def statistics(self) -> Mapping[str, Statistic[Pair]]:
        """Accuracy, macro-F1."""
        return {"accuracy": accuracy, "macro_f1": macro_f1}


def compared(row: LabelledText, result: LabelScores | EngineError) -> Outcome[Pair]:
    """A judgement beside the true label."""
    if not isinstance(result, LabelScores):
        return Outcome.failed(row.line, result)
    answer = {"label": row.label, "predicted": result.label, "scores": result.scores}
    return Outcome(row.line, answer, (row.label, result.label))
