"""Sorts texts under any labels without training: one label of several, or each label yes or no.

Examples make it better and are given as turns that were already judged. Scores come from `engine.tasks.labels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import EngineError, UsageError
from engine.language import language_of
from engine.schema import LabelScores, Language, Message
from engine.tasks import labels as scoring
from engine.tasks.labels import Question
from engine.tasks.likeness import Likeness, enough
from engine.tasks.weighing import weigh

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from engine.session import Session

Example = tuple[str, str]
"""A text and its label."""

INSTRUCTIONS: dict[Language, str] = {
    "en": "You sort texts. Answer with one of these labels and nothing else: {labels}.",
    "zh": "你给文字分类。只回答下列标签中的一个：{labels}。",
}
EACH: dict[Language, tuple[str, str, str, str]] = {
    "en": (
        "You judge whether a label fits a text. Answer yes or no.",
        "{text}\n\nDoes the label “{label}” fit?",
        "yes",
        "no",
    ),
    "zh": ("你判断标签是否适合文字。只回答是或否。", "{text}\n\n标签“{label}”适合吗？", "是", "否"),
}
"""Instruction, question and both replies where several labels may fit."""


def question(labels: Sequence[str], examples: Sequence[Example] = ()) -> Question:
    """One label of several, asked in the language of the labels. Raises UsageError for labels that can't be used."""
    language = language_of(" ".join(labels))
    comma = ", " if language == "en" else "、"
    messages = [Message("system", INSTRUCTIONS[language].format(labels=comma.join(labels)))]
    for text, label in examples:
        if label not in labels:
            raise UsageError(f"an example has the label {label!r}", hint=f"the labels: {', '.join(labels)}")
        messages += [Message("user", text), Message("assistant", label)]
    return Question(tuple(labels), tuple(labels), tuple(messages))


def classify(
    session: Session, texts: Iterable[str], labels: Sequence[str], examples: Sequence[Example] = ()
) -> Generator[LabelScores | EngineError, None, None]:
    """For each text, in order, the probability of each label; they sum to 1. Or why there are none.

    With two examples of each label or more, likeness to them counts beside what the model would reply.
    """
    asked = question(labels, examples)
    likeness = None
    if enough(labels, examples):
        likeness = Likeness(session, labels, examples)
        likeness.prior, likeness.weight = weigh(
            session, labels, examples, lambda some: question(labels, some), likeness.gap
        )
    yield from scoring.judge(session, asked, texts, likeness)


def fit_each(
    session: Session, texts: Iterable[str], labels: Sequence[str]
) -> Generator[dict[str, float] | EngineError, None, None]:
    """For each text, in order, how probably each label fits, by itself. Or why that is not known."""
    if not labels or len(set(labels)) < len(labels):
        raise UsageError(f"expected different labels, got {', '.join(labels) or 'none'}")
    language = language_of(" ".join(labels))
    instruction, ask, yes, no = EACH[language]
    before = (Message("system", instruction),)
    questions = [Question((yes, no), (yes, no), before, ask.replace("{label}", label)) for label in labels]
    for window in scoring.windows(texts, max(1, scoring.WINDOW // len(labels))):
        # One label after the other: each of several scorings under way would have a cache of its own in a warm server.
        columns = [list(scoring.judge(session, asked, window)) for asked in questions]
        for results in zip(*columns, strict=True):
            failed = next((result for result in results if isinstance(result, EngineError)), None)
            yield failed or {
                label: result.scores[yes]
                for label, result in zip(labels, results, strict=True)
                if isinstance(result, LabelScores)
            }
