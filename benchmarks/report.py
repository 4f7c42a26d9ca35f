"""A contest's figures as Markdown: medians, and beside each peer's the median of the rounds' ratios."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.contest import OURS
from engine.speed.figures import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contest import Figures
    from engine.speed.measures import Measure


def markdown(heading: str, wanted: Sequence[Measure], figures: Figures) -> str:
    """A table, a column an engine. A ratio above 1 is in our favour, whatever is measured."""
    peers = [name for name in figures if name != OURS]
    columns = [OURS, *(column for name in peers for column in (name, "ratio"))]
    lines = [heading, "", f"| | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
    for measure in wanted:
        ours = figures[OURS].get(measure.key)
        if ours:
            cells = [_cell(ours, measure)]
            for name in peers:
                theirs = figures[name].get(measure.key)
                cells += [_cell(theirs, measure), _ratio(ours, theirs, measure)] if theirs else ["", ""]
            lines.append(f"| {measure.label} | {' | '.join(cells)} |")
    if peers:
        lines += ["", "Ratios are medians of the rounds' own; above 1 is better than the peer."]
    return "\n".join(lines)


def _cell(values: Sequence[float], measure: Measure) -> str:
    return f"{shown(statistics.median(values))} {measure.unit}".strip()


def _ratio(ours: Sequence[float], theirs: Sequence[float], measure: Measure) -> str:
    pairs = zip(ours, theirs, strict=False)
    ratios = [b / a if measure.smaller_is_better else a / b for a, b in pairs if a and b]
    return f"{statistics.median(ratios):.2f}" if ratios else ""
