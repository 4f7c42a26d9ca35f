"""`llm ask` about a passage, against the answers that people gave."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

from engine.evaluation.answers import AnswerScores, score_answer
from engine.evaluation.interval import mean
from engine.evaluation.measure import Measure
from engine.evaluation.rows import Question, objects
from engine.language import language_of
from engine.schema import Chunk, Document
from engine.tasks.answer import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.evaluation.interval import Statistic
    from engine.session import Session


class TaskMeasure(Measure[Question, AnswerScores]):
    """Exact match, F1 and whether a true answer is in it; apart for what can be answered and what can't."""

    def read(self, document: Document) -> list[Question]:
        """Rows of `context`, `question` and `answers`."""
        return [Question.read(line, fields) for line, fields in objects(document)]

    def judge(self, session: Session, row: Question) -> tuple[dict[str, Any], AnswerScores]:
        """The answer that the command would print."""
        given = [Document("passage", row.context)]
        setup = self.setup
        events = answer(session, row.question, given, setup.sampling, overflow=setup.overflow)
        with contextlib.closing(events):
            text = "".join(event.text for event in events if isinstance(event, Chunk)).strip()
        scores = score_answer(text, row.answers, language_of(row.question))
        shown = {"question": row.question, "answers": list(row.answers), "answer": text}
        return shown | {"exact": scores.exact, "f1": scores.f1, "refused": scores.refused}, scores

    def statistics(self) -> Mapping[str, Statistic[AnswerScores]]:
        """Over all rows, then over those that have an answer and those that have none."""
        return {
            "exact_match": _mean(lambda row: row.exact),
            "f1": _mean(lambda row: row.f1),
            "found": _mean(lambda row: row.found),
            "f1_answerable": _f1_answerable,
            "refused_answerable": _mean(lambda row: row.refused, answerable=True),
            "refused_unanswerable": _mean(lambda row: row.refused, answerable=False),
        }


def _f1_answerable(rows: Sequence[AnswerScores]) -> float:
    """NaN where no question is unanswerable: it would be the F1 of all rows once more."""
    if all(row.answerable for row in rows):
        return math.nan
    return mean([row.f1 for row in rows if row.answerable])


def _mean(value: Callable[[AnswerScores], float], *, answerable: bool | None = None) -> Statistic[AnswerScores]:
    """The mean of one figure over the rows of a kind; NaN where there are none."""

    def statistic(rows: Sequence[AnswerScores]) -> float:
        return mean([value(row) for row in rows if answerable in {None, row.answerable}])

    return statistic
