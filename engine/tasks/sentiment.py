"""Is a text positive or negative? Read from the probabilities of the labels, corrected by their prior; never parsed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from engine.errors import InputError
from engine.language import language_of
from engine.schema import LabelScores, Language, Message
from engine.tasks.passages import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.session import Session

INSTRUCTIONS: dict[Language, str] = {
    "en": "You judge the sentiment of texts. Answer with one word: {labels}.",
    "zh": "你判断文字的情感。只回答一个词：{labels}。",
}
EXAMPLES: dict[Language, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Despite the slow start, it grew into something wonderful.", "positive"),
        ("I wanted to like it; I really did not.", "negative"),
        ("Arrived a day early, well packed, and it works perfectly.", "positive"),
        ("loud, shallow and without a single fresh thought", "negative"),
        ("The meeting is on Tuesday at ten.", "neutral"),
        ("Not worth the money, and the staff could not care less.", "negative"),
        ("You won't regret a minute of it.", "positive"),
        ("It has four wheels and a handle.", "neutral"),
        ("The cast does what it can with a script that has nothing to say.", "negative"),
        ("warm, witty and surprisingly moving", "positive"),
    ),
    "zh": (
        ("开头有点慢，后来越看越喜欢。", "positive"),
        ("我本来很期待，结果太失望了。", "negative"),
        ("孩子特别喜欢，天天都要玩。", "positive"),
        ("质量一般，跟描述的完全不一样，不值这个钱。", "negative"),
        ("会议在周二上午十点。", "neutral"),
        ("说不上难吃，但绝对不会再点第二次。", "negative"),
        ("没有一点让人后悔的地方，推荐给大家。", "positive"),
        ("它有四个轮子和一个把手。", "neutral"),
        ("看着漂亮，一洗就掉色，后悔买了。", "negative"),
        ("干净、安静，离车站也近，住得很舒服。", "positive"),
    ),
}
"""Our own, given as turns that were already judged; those of a label that is not asked for are left out."""
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
    passages = split(text, session.count, max(64, session.context - 512))  # the examples take the rest
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
    """Mean log-score of each label for texts that say nothing; measured once a session."""
    known = _priors.setdefault(session, {})
    key = (language, len(labels))
    if key not in known:
        rows = [_log_scores(session, language, labels, text) for text in CONTENT_FREE]
        known[key] = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return known[key]


_priors: WeakKeyDictionary[Session, dict[tuple[Language, int], list[float]]] = WeakKeyDictionary()


def _log_scores(session: Session, language: Language, labels: Sequence[str], text: str) -> list[float]:
    """Log-probability of each label's word as the whole first words of the reply."""
    words = WORDS[language]
    return [sum(row) for row in session.score(prompt(language, labels, text), [words[label] for label in labels])]


def prompt(language: Language, labels: Sequence[str], text: str) -> list[Message]:
    """The instruction, the judged examples, and last the text, so that all before it stays in the KV cache."""
    words = [WORDS[language][label] for label in labels]
    comma, last = (", ", " or ") if language == "en" else ("、", "或")
    named = comma.join(words[:-1]) + last + words[-1]
    messages = [Message("system", INSTRUCTIONS[language].format(labels=named))]
    for example, label in EXAMPLES[language]:
        if label in labels:
            messages += [Message("user", example), Message("assistant", WORDS[language][label])]
    return [*messages, Message("user", text)]


def softmax(logs: Sequence[float]) -> list[float]:
    """Probabilities that sum to 1."""
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    return [weight / sum(weights) for weight in weights]
