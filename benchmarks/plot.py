"""A contest's figures as bars in an SVG file, readable on light and dark pages. No library: it is a page."""

from __future__ import annotations

import statistics
from html import escape
from typing import TYPE_CHECKING

from engine.speed.figures import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contest import Figures
    from engine.speed.measures import Measure

COLORS = ("#2f6fde", "#e08a1e", "#3a9d5d", "#b0529c", "#8c6d46", "#7a8694")
WIDTH, LABELS, NUMBERS = 760, 220, 110
BAR, GAP, MARGIN, LEGEND = 14, 14, 16, 4


def bars(title: str, about: str, wanted: Sequence[Measure], figures: Figures) -> str:
    """A group a measure, a bar an engine; each group has a scale of its own, so that the longest bar is full."""
    drawn = [measure for measure in wanted if any(measure.key in found for found in figures.values())]
    body, y = [_text(MARGIN, 24, title, "title"), _text(MARGIN, 40, about, "note")], 64
    for at, name in enumerate(figures):
        x, line = MARGIN + at % LEGEND * (WIDTH - 2 * MARGIN) / LEGEND, y + at // LEGEND * (BAR + 2)
        body.append(f'<rect x="{x:.0f}" y="{line - 10:.0f}" width="10" height="10" fill="{_color(at)}"/>')
        body.append(_text(x + 15, line, name))
    y += (len(figures) - 1) // LEGEND * (BAR + 2)
    y += GAP
    for measure in drawn:
        body.append(_text(MARGIN, y + BAR, measure.label))
        note = "less is better" if measure.smaller_is_better else ""
        body.append(_text(MARGIN, y + 2 * BAR, note, "note"))
        middle = {
            name: statistics.median(found[measure.key]) for name, found in figures.items() if measure.key in found
        }
        longest = max(middle.values()) or 1.0
        for at, name in enumerate(figures):
            if name in middle:
                size = max(1.0, (WIDTH - LABELS - NUMBERS - MARGIN) * middle[name] / longest)
                body.append(f'<rect x="{LABELS}" y="{y}" width="{size:.1f}" height="{BAR - 3}" fill="{_color(at)}"/>')
                value = f"{shown(middle[name])} {measure.unit}".strip()
                body.append(_text(LABELS + size + 6, y + BAR - 4, value))
            y += BAR if name in middle else 0
        y += GAP + BAR * max(0, 2 - len(middle))
    return _framed(body, y + MARGIN)


def _color(at: int) -> str:
    return COLORS[at % len(COLORS)]


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{style}>{escape(text)}</text>' if text else ""


def _framed(body: Sequence[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img">'
    style = (
        "<style>text{font:12px sans-serif;fill:#222}.title{font-size:14px;font-weight:bold}"
        ".note{font-size:10px;fill:#777}@media(prefers-color-scheme:dark){text{fill:#ddd}.note{fill:#999}}</style>"
    )
    return "\n".join([head, style, *filter(None, body), "</svg>", ""])
