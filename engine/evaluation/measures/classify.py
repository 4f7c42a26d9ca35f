"""`llm classify` against true labels, which are those of the rows unless they were named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.evaluation.labels import Pair, accuracy, macro_f1
from engine.evaluation.measure import Measure, Outcome
from engine.evaluation.measures.sentiment import compared
from engine.evaluation.rows import LabelledText, objects
from engine.tasks import classify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.evaluation.interval import Statistic
    from engine.schema import Document
    from engine.session import Session


class TaskMeasure(Measure[LabelledText, Pair]):
    """Accuracy and macro-F1."""

    _labels: tuple[str, ...] = ()

    def read(self, document: Document) -> list[LabelledText]:
        """Rows of `text` and `label`. Raises UsageError for labels that can't be asked for."""
        named = self.setup.labels
        rows = []
        for line, fields in objects(document):
            row = LabelledText.read(line, fields)
            if named and row.label not in named:
                raise fields.fail(f"field 'label' must be one of {', '.join(named):.80}, got {row.label!r:.40}")
            rows.append(row)
        # In order of the alphabet: the order of the rows would make the prompt depend on how a file was shuffled.
        self._labels = named or tuple(sorted({row.label for row in rows}))
        classify.question(self._labels, self.setup.examples)
        return rows

    def run(self, session: Session, rows: Sequence[LabelledText]) -> Iterator[Outcome[Pair]]:
        """All rows together, as the command takes several texts."""
        results = classify.classify(session, [row.text for row in rows], self._labels, self.setup.examples)
        for row, result in zip(rows, results, strict=True):
            yield compared(row, result)

    def statistics(self) -> Mapping[str, Statistic[Pair]]:
        """Accuracy, macro-F1."""
        return {"accuracy": accuracy, "macro_f1": macro_f1}
