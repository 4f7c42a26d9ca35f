"""Right and wrong labels: accuracy, and F1 averaged over the labels so that rare ones count as much."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Pair = tuple[str, str]
"""The true label and the predicted one."""


def accuracy(pairs: Sequence[Pair]) -> float:
    """Share of right labels; NaN of no rows."""
    return sum(true == predicted for true, predicted in pairs) / len(pairs) if pairs else math.nan


def macro_f1(pairs: Sequence[Pair]) -> float:
    """Unweighted mean of the F1 of every label that is true or predicted somewhere; NaN of no rows."""
    counts = Counter(pairs)
    right = {true: count for (true, predicted), count in counts.items() if true == predicted}
    marked = Counter[str]()
    """How often each label is true or predicted, a row where it is both counted twice."""
    for (true, predicted), count in counts.items():
        marked[true] += count
        marked[predicted] += count
    return sum(2 * right.get(label, 0) / total for label, total in marked.items()) / len(marked) if marked else math.nan
