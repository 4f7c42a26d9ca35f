"""`llm sentiment` against true labels; neutral is allowed where the rows have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.evaluation.labels import Pair, accuracy, macro_f1
from engine.evaluation.measure import Measure
from engine.evaluation.rows import LabelledText, objects
from engine.tasks import sentiment

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def judge(self, session: Session, row: LabelledText) -> tuple[dict[str, Any], Pair]:
        """The judged label with the probabilities."""
        found = sentiment.judge(session, row.text, neutral=self._neutral)
        return {"label": row.label, "predicted": found.label, "scores": found.scores}, (row.label, found.label)

    def statistics(self) -> Mapping[str, Statistic[Pair]]:
        """Accuracy, macro-F1."""
        return {"accuracy": accuracy, "macro_f1": macro_f1}
