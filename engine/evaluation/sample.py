"""Fewer rows that still stand for all of them: one drawn from each of so many equal stretches of a file."""

from __future__ import annotations

import random


def spread(count: int, limit: int | None, seed: int = 0) -> list[int]:
    """Indices of `limit` of `count` rows, in order; all of them without a limit or where there are no more."""
    if limit is None or limit >= count:
        return list(range(count))
    draw = random.Random(seed)
    return [draw.randrange(i * count // limit, (i + 1) * count // limit) for i in range(limit)]
