"""Text classification without learned vectors: tf-idf of words or Chinese characters, and a logistic regression."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.schema import Language

    Rows = Sequence[tuple[str, str]]


def predict(rows: Rows, texts: Sequence[str], language: Language) -> list[str]:
    """A label for each text, learned from rows of text and label. Raises ImportError."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    kinds = {
        "en": {"token_pattern": r"\b\w+\b", "ngram_range": (1, 2)},
        "zh": {"analyzer": "char", "ngram_range": (1, 3)},
    }
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, **kinds[language]),
        LogisticRegression(C=10, class_weight="balanced", max_iter=1000),
    )
    model.fit([text for text, _ in rows], [label for _, label in rows])
    return [str(label) for label in model.predict(list(texts))]


def few(rows: Rows, count: int, seed: int) -> Rows:
    """So many rows, drawn at random, each label in turn."""
    shuffled = random.Random(seed).sample(list(rows), len(rows))
    labels = sorted({label for _, label in rows})
    columns = [[row for row in shuffled if row[1] == label][: count // len(labels)] for label in labels]
    return [row for column in columns for row in column]
