"""Is a text positive or negative? Read from the probabilities of the labels, corrected by their prior; never parsed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.language import language_of
from engine.schema import LabelScores, Language, Message
from engine.tasks.passages import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.session import Session

PROMPTS: dict[Language, str] = {
    "en": "Review: {text}\n\nIs the sentiment of this review positive or negative? Answer with one word.",
    "zh": "评论：{text}\n\n这条评论的情感是正面还是负面？只回答一个词。",
}
WORDS: dict[Language, dict[str, str]] = {
    "en": {"positive": "positive", "negative": "negative", "neutral": "neutral"},
    "zh": {"positive": "正面", "negative": "负面", "neutral": "中性"},
}
CONTENT_FREE = ("N/A", "", "[MASK]")
"""Texts that say nothing: what the model answers to them is its prior (contextual calibration, arXiv 2102.09690)."""


def judge(session: Session, text: str, *, neutral: bool = False) -> LabelScores:
    """The probability of each label; they sum to 1. A text longer than the context is judged in passages.

    Raises InputError for an empty text.
    """
    if not text.strip():
        raise InputError("the text is empty: nothing to judge")
    language = language_of(text)
    labels = [label for label in WORDS[language] if neutral or label != "neutral"]
    passages = split(text, session.count, session.context - 128)
    prior = _prior(session, language, labels)
    total = sum(passage.tokens for passage in passages)
    scores = dict.fromkeys(labels, 0.0)
    for passage in passages:
        measured = _log_scores(session, language, labels, passage.text.strip())
        corrected = softmax([value - before for value, before in zip(measured, prior, strict=True)])
        for label, probability in zip(labels, corrected, strict=True):
            scores[label] += probability * passage.tokens / total
    return LabelScores(max(labels, key=lambda label: scores[label]), scores)


def _prior(session: Session, language: Language, labels: Sequence[str]) -> list[float]:
    """Mean log-score of each label for texts that say nothing."""
    rows = [_log_scores(session, language, labels, text) for text in CONTENT_FREE]
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _log_scores(session: Session, language: Language, labels: Sequence[str], text: str) -> list[float]:
    """Log-probability of each label's word as the whole first words of the reply."""
    messages = [Message("user", PROMPTS[language].format(text=text))]
    return [sum(row) for row in session.score(messages, [WORDS[language][label] for label in labels])]


def softmax(logs: Sequence[float]) -> list[float]:
    """Probabilities that sum to 1."""
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    return [weight / sum(weights) for weight in weights]
