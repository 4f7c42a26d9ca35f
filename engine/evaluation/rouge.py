"""ROUGE-1, ROUGE-2 and ROUGE-L as F-measures (Lin 2004), in words and Chinese characters, without stemming.

Of several references the best counts, as SciTLDR's authors do (arXiv 2004.15011): the references are alternatives that
differ from each other, and a summary that says what one of them says is good; a mean would ask it to say all at once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from engine.evaluation.units import units

if TYPE_CHECKING:
    from collections.abc import Sequence


def rouge_n(summary: str, references: Sequence[str], n: int) -> float:
    """F1 of the n-grams of a summary, 0 to 1; the best over the references."""
    grams = _grams(units(summary), n)
    return max((_overlap(grams, _grams(units(reference), n)) for reference in references), default=0.0)


def rouge_l(summary: str, references: Sequence[str]) -> float:
    """F1 of the longest common subsequence of the whole texts, 0 to 1; the best over the references."""
    found = units(summary)
    return max((_subsequence_f1(found, units(reference)) for reference in references), default=0.0)


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _overlap(found: Counter[tuple[str, ...]], wanted: Counter[tuple[str, ...]]) -> float:
    total = found.total() + wanted.total()
    return 2 * (found & wanted).total() / total if total else 0.0


def _subsequence_f1(found: Sequence[str], wanted: Sequence[str]) -> float:
    total = len(found) + len(wanted)
    return 2 * common_subsequence(found, wanted) / total if total else 0.0


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest sequence that both hold in order, gaps allowed; time |first| x |second|."""
    row = [0] * (len(second) + 1)
    for unit in first:
        before = 0  # the cell up left
        for i, other in enumerate(second, 1):
            above = row[i]
            row[i] = before + 1 if unit == other else max(above, row[i - 1])
            before = above
    return row[-1]
