"""Answers to a question about a passage: the first of its sentences that shares the most terms with the question."""

from __future__ import annotations

from benchmarks.baselines.bm25 import terms
from benchmarks.baselines.sentences import split


def answer(question: str, passage: str) -> str:
    """A whole sentence of the passage, always."""
    asked = set(terms(question))
    return max(split(passage), key=lambda sentence: len(asked & set(terms(sentence))), default="")
