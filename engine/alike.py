"""How far two sequences begin alike: what was read of the one need not be read again for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDE = 256


def common_prefix_length(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """How many ids, or characters, two sequences of one type begin with alike; whole strides are compared at once."""
    most = min(len(ours), len(theirs))
    at = 0
    while at < most and ours[at : at + STRIDE] == theirs[at : at + STRIDE]:
        at += STRIDE
    while at < most and ours[at] == theirs[at]:
        at += 1
    return min(at, most)
