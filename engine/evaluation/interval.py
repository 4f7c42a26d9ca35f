"""How far a measured figure may lie from the true one: the percentile bootstrap (Efron 1979), seeded."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Statistic = Callable[[Sequence[Item]], float]
"""A figure of some rows; NaN where they do not define it."""
RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and the interval that holds CONFIDENCE of what other rows of the same kind would give."""

    value: float
    low: float
    high: float


def estimates(
    items: Sequence[Item], statistics: Mapping[str, Statistic[Item]], *, seed: int = 0
) -> dict[str, Estimate]:
    """Each statistic of the items with its interval; all see the same resamples. What is undefined is left out."""
    values = {name: statistic(items) for name, statistic in statistics.items()} if items else {}
    drawn: dict[str, list[float]] = {name: [] for name, value in values.items() if not math.isnan(value)}
    draw = random.Random(seed)
    for _ in range(RESAMPLES if drawn else 0):
        sample = draw.choices(items, k=len(items))
        for name, found in drawn.items():
            value = statistics[name](sample)
            if not math.isnan(value):
                found.append(value)
    tail = (1 - CONFIDENCE) / 2
    return {
        name: Estimate(values[name], percentile(found, tail), percentile(found, 1 - tail))
        for name, found in drawn.items()
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, interpolated between neighbours; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    share = position - below
    between = ordered[below] * (1 - share) + ordered[above] * share
    return min(max(between, ordered[below]), ordered[above])  # rounding may leave the interval


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; NaN of none."""
    return sum(values) / len(values) if values else math.nan
