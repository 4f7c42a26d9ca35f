"""A measure's numbers, round by round, and the rounds of one engine in this process."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.speed.measures import Measure


@dataclass(frozen=True, slots=True)
class Figure:
    """What a measure gave, a number a round."""

    measure: Measure
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """As JSON types, three digits more than the noise leaves true."""
        return {
            "measure": self.measure.key,
            "unit": self.measure.unit,
            "median": rounded(self.median),
            "low": rounded(min(self.values)),
            "high": rounded(max(self.values)),
            "values": [rounded(value) for value in self.values],
        }


def rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def shown(value: float) -> str:
    """For people: three significant digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def in_rounds(engine: Any, measures: Sequence[Measure], rounds: int) -> Iterator[tuple[Measure, float]]:
    """Each measure once a round, so that a machine that slows down slows all of them."""
    for _ in range(rounds):
        for measure in measures:
            yield measure, getattr(engine, measure.name)(measure.argument)
