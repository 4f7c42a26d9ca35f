"""Okapi BM25 (Robertson & Zaragoza 2009): words, and pairs of neighbouring Chinese characters; no stems, no meaning."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from engine.language import HAN

if TYPE_CHECKING:
    from collections.abc import Sequence

K1 = 1.5
B = 0.75
_RUN = re.compile(rf"{HAN.pattern}+|(?:(?!{HAN.pattern})[^\W_])+")


def terms(text: str) -> list[str]:
    """Lower-cased words; of a run of Chinese its pairs of characters, or its only character."""
    found: list[str] = []
    for run in _RUN.findall(text.lower()):
        pairs = [run[i : i + 2] for i in range(len(run) - 1)] if HAN.match(run) else []
        found += pairs or [run]
    return found


class BM25:
    """Passages that can be asked for."""

    def __init__(self, passages: Sequence[str]) -> None:
        bags = [Counter(terms(passage)) for passage in passages]
        lengths = [bag.total() for bag in bags]
        usual = sum(lengths) / max(1, len(lengths)) or 1
        self._weights: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        holders = Counter(term for bag in bags for term in bag)
        for index, bag in enumerate(bags):
            for term, count in bag.items():
                rarity = math.log(1 + (len(bags) - holders[term] + 0.5) / (holders[term] + 0.5))
                saturated = count * (K1 + 1) / (count + K1 * (1 - B + B * lengths[index] / usual))
                self._weights[term].append((index, rarity * saturated))

    def ranked(self, query: str) -> list[int]:
        """Indices of the passages that hold a term of the query, the best first; equals in order."""
        scores: defaultdict[int, float] = defaultdict(float)
        for term in set(terms(query)):
            for index, weight in self._weights.get(term, ()):
                scores[index] += weight
        return sorted(scores, key=lambda index: (-round(scores[index], 9), index))
