"""Which label fits a text: the probability of each label's whole token sequence as the model's reply, less its prior.

The prior is what the model replies to texts that say nothing (contextual calibration, arXiv 2102.09690). Nothing is
generated or parsed, and what stands beside a text in a pass changes its scores by no more than rounding does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from engine.errors import InputError, InputTooLong, UsageError
from engine.schema import LabelScores, Message
from engine.tasks.passages import split

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from engine.errors import EngineError
    from engine.session import Session
    from engine.tasks.likeness import Likeness

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Texts that say nothing."""
WINDOW = 256
"""Texts encoded at a time: enough to fill passes, few enough for a million rows."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked about each text, and what its reply would be for each label."""

    labels: tuple[str, ...]
    replies: tuple[str, ...]
    before: tuple[Message, ...]
    """Instruction and judged examples, the same for every text: computed once."""
    ask: str = "{text}"
    calibrated: bool = True
    """Whether the prior is taken off."""

    def __post_init__(self) -> None:
        """Raises UsageError unless there are at least two different labels with different replies."""
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise UsageError(f"expected at least two different labels, got {', '.join(self.labels) or 'none'}")
        if len(set(self.replies)) < len(self.labels):
            raise UsageError("two labels would be the same reply")

    def messages(self, text: str) -> list[Message]:
        """The conversation that ends with a text."""
        return [*self.before, Message("user", self.ask.replace("{text}", text))]


def judge(
    session: Session, question: Question, texts: Iterable[str], likeness: Likeness | None = None
) -> Generator[LabelScores | EngineError, None, None]:
    """Scores for each text, in order, or why there are none; a text longer than the context is judged in passages.

    `likeness`: its scores count as well, and it says what the replies' are worth.
    """
    frame = session.count_messages(question.messages("")) + 16
    longest = max(session.count(reply) for reply in question.replies)
    limit = session.context - frame - longest
    if limit < 16:
        told = f"instruction, examples and labels need {frame} of {session.context} tokens of context"
        raise InputTooLong(told, hint="Shorten it, or raise --ctx if the model allows.")
    weight = likeness.weight if likeness else 1.0
    prior = [weight * log for log in _taken_off(session, question, likeness)]
    for window in windows(texts):
        cut = [[(p.text.strip(), p.tokens) for p in split(text.strip(), session.count, limit)] for text in window]
        asked = [text for passages in cut for text, _ in passages]
        more = iter(likeness.scores(asked) if likeness and asked else [[0.0] * len(prior)] * len(asked))
        logs = log_scores(session, question, asked)
        for passages in cut:
            measured = [(_sum(next(logs), weight, next(more)), tokens) for _, tokens in passages]
            yield _combined(question.labels, prior, measured)


def _sum(logs: list[float] | InputTooLong, weight: float, more: Sequence[float]) -> list[float] | InputTooLong:
    return logs if isinstance(logs, InputTooLong) else [weight * a + float(b) for a, b in zip(logs, more, strict=True)]


def _taken_off(session: Session, question: Question, likeness: Likeness | None) -> list[float]:
    if likeness:
        return likeness.prior
    return _prior(session, question) if question.calibrated else [0.0] * len(question.labels)


def windows(texts: Iterable[str], size: int = WINDOW) -> Iterator[list[str]]:
    """The texts, so many at a time."""
    rest = iter(texts)
    while window := list(islice(rest, size)):
        yield window


def _combined(
    labels: Sequence[str], prior: Sequence[float], measured: Sequence[tuple[list[float] | InputTooLong, int]]
) -> LabelScores | EngineError:
    """The mean over a text's passages, each by its tokens."""
    if not measured:
        return InputError("the text is empty")
    total = sum(tokens for _, tokens in measured)
    scores = dict.fromkeys(labels, 0.0)
    for logs, tokens in measured:
        if isinstance(logs, InputTooLong):
            return logs
        corrected = softmax([log - before for log, before in zip(logs, prior, strict=True)])
        for label, probability in zip(labels, corrected, strict=True):
            scores[label] += probability * tokens / total
    return LabelScores(max(labels, key=lambda label: scores[label]), scores)


def log_scores(
    session: Session, question: Question, texts: Sequence[str]
) -> Generator[list[float] | InputTooLong, None, None]:
    """For each text the log-probability of each label's reply, whole and not continued into another label's."""
    longer = _longer([tuple(id_ for id_, _, _ in session.pieces(reply)) for reply in question.replies])
    for rows in session.score_many([question.messages(text) for text in texts], question.replies):
        if isinstance(rows, InputTooLong):
            yield rows
            continue
        logs = [sum(row) for row in rows]
        # What begins a longer label's reply is that label's: P(sport) holds all of P(sports car).
        chances = [math.exp(log) - sum(math.exp(logs[j]) for j in longer[i]) for i, log in enumerate(logs)]
        yield [math.log(max(chance, 1e-12)) if longer[i] else logs[i] for i, chance in enumerate(chances)]


def _longer(replies: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """For each reply the places of those that it begins; in time of all tokens, since labels may be thousands."""
    beginnings: dict[tuple[int, ...], list[int]] = {ids: [] for ids in replies}
    for place, ids in enumerate(replies):
        for end in range(len(ids)):
            if ids[:end] in beginnings:
                beginnings[ids[:end]].append(place)
    return [beginnings[ids] for ids in replies]


def _prior(session: Session, question: Question) -> list[float]:
    """Mean log-score of each label over texts that say nothing; measured once a session and question."""
    known = _priors.setdefault(session, {})
    if question not in known:
        rows = [row for row in log_scores(session, question, CONTENT_FREE) if not isinstance(row, InputTooLong)]
        known[question] = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return known[question]


_priors: WeakKeyDictionary[Session, dict[Question, list[float]]] = WeakKeyDictionary()


def softmax(logs: Sequence[float]) -> list[float]:
    """Probabilities that sum to 1."""
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    total = sum(weights)
    return [weight / total for weight in weights]
