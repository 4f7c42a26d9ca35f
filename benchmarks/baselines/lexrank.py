"""Continuous LexRank (Erkan & Radev 2004, arXiv 1109.2128): sentences ranked by a walk over their likeness in words."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from engine.evaluation.units import units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DAMPING = 0.15
"""How often the walk jumps to any sentence."""


def ranked(sentences: Sequence[str]) -> list[int]:
    """Indices of the sentences, the most central first; equals in order."""
    scores = centrality(_likeness([Counter(units(sentence)) for sentence in sentences]))
    return sorted(range(len(sentences)), key=lambda index: (-round(float(scores[index]), 9), index))


def centrality(likeness: NDArray[np.float64], tolerance: float = 1e-9, steps: int = 200) -> NDArray[np.float64]:
    """The share of time that the walk spends at each of N sentences, from their likeness (N, N); by power iteration."""
    count = len(likeness)
    if not count:
        return np.zeros(0)
    rows = likeness.sum(1, keepdims=True)
    walk = np.divide(likeness, rows, out=np.full_like(likeness, 1 / count), where=rows > 0)
    share = np.full(count, 1 / count)
    for _ in range(steps):
        after = DAMPING / count + (1 - DAMPING) * share @ walk
        if np.abs(after - share).sum() < tolerance:
            return after
        share = after
    return share


def _likeness(bags: Sequence[Counter[str]]) -> NDArray[np.float64]:
    """Cosines (N, N) of tf-idf; how rare a word is, the text's own sentences say."""
    holders = Counter(word for bag in bags for word in bag)
    places = {word: place for place, word in enumerate(holders)}
    vectors = np.zeros((len(bags), len(places)))
    for row, bag in enumerate(bags):
        for word, count in bag.items():
            vectors[row, places[word]] = count * (math.log(len(bags) / holders[word]) + 1e-6)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors @ vectors.T
