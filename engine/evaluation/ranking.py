"""Search results: how much of what was looked for stands among the first hits, and how far up the first of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def recall_at(hits: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the relevant ids among the first k hits, 0 to 1; 0 where nothing is relevant."""
    return len(set(hits[:k]) & set(relevant)) / len(set(relevant)) if relevant else 0.0


def reciprocal_rank(hits: Sequence[str], relevant: Collection[str]) -> float:
    """1 / the place of the first relevant hit, from 1; 0 where none is."""
    return next((1 / place for place, hit in enumerate(hits, 1) if hit in relevant), 0.0)
