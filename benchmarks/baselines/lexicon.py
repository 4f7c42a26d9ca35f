"""Sentiment by a list of weighted words and rules for negation and emphasis: VADER (Hutto & Gilbert 2014), English."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def judge(texts: Sequence[str]) -> list[str]:
    """`positive` or `negative`; a text without a word of the list is positive. Raises ImportError."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return ["positive" if analyzer.polarity_scores(text)["compound"] >= 0 else "negative" for text in texts]
