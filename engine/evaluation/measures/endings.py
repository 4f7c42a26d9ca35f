"""Which of several endings of a text the model finds likeliest, without a chat format around it.

`acc` and `acc_norm` as lm-evaluation-harness defines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.alike import common_prefix_length
from engine.errors import InputError
from engine.evaluation.interval import mean
from engine.evaluation.likelihood import likeliest, likeliest_by_length
from engine.evaluation.measure import Measure
from engine.evaluation.rows import Endings, objects
from engine.language import HAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.evaluation.interval import Statistic
    from engine.schema import Document
    from engine.session import Session


class Right(NamedTuple):
    """Whether the true ending was chosen, by sums and by length."""

    plain: bool
    by_length: bool


class TaskMeasure(Measure[Endings, Right]):
    """Accuracy by the sum of log-probabilities, and by that sum for each byte."""

    def read(self, document: Document) -> list[Endings]:
        """Rows of `context`, `endings` and `label`."""
        return [Endings.read(line, fields) for line, fields in objects(document)]

    def judge(self, session: Session, row: Endings) -> tuple[dict[str, Any], Right]:
        """Both choices with the log-probability of each ending."""
        context = row.context.rstrip()
        logprobs = score_endings(session, context, [joined(context, ending) for ending in row.endings])
        chosen, by_length = likeliest(logprobs), likeliest_by_length(logprobs, row.endings)
        shown = {"label": row.label, "predicted": chosen, "predicted_norm": by_length, "logprobs": logprobs}
        return shown, Right(chosen == row.label, by_length == row.label)

    def statistics(self) -> Mapping[str, Statistic[Right]]:
        """Shares of rows."""
        return {
            "acc": lambda rows: mean([row.plain for row in rows]),
            "acc_norm": lambda rows: mean([row.by_length for row in rows]),
        }


def joined(context: str, ending: str) -> str:
    """The ending as it follows the context: after a space, where the text is not Chinese on both sides of it."""
    ending = ending.strip()
    return ending if HAN.match(ending) and not context[-1:].isascii() else f" {ending}"


def score_endings(session: Session, context: str, endings: Sequence[str]) -> list[float]:
    """Log-probability of each ending after the context.

    Context and ending are encoded together; what counts is every token from the first that is not the context's own.
    """
    alone = _ids(session, context)
    whole = [_ids(session, context + ending) for ending in endings]
    own = [common_prefix_length(alone, ids) for ids in whole]
    shared = min(own, default=0)
    if not shared:
        raise InputError("the endings change how the context begins: nothing to score them after")
    rows = session.score_ids(alone[:shared], [ids[shared:] for ids in whole])
    return [sum(row[count - shared :]) for row, count in zip(rows, own, strict=True)]


def _ids(session: Session, text: str) -> list[int]:
    return [id_ for id_, _, _ in session.pieces(text)]
