"""A text cut into windows of tokens, in which each token but the first is scored once, with at least half a window
before it wherever the text has that much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Window:
    """Ids to score, and the ids of the same text before them that the model sees."""

    line: int
    """Of the first scored token, from 1."""
    context: tuple[int, ...]
    scored: tuple[int, ...]
    size: int
    """Bytes of UTF-8 of what is scored."""


def windows(pieces: Sequence[tuple[int, bytes]], length: int) -> list[Window]:
    """Windows of at most `length` tokens over a text's ids and their bytes. `length` must be at least 2."""
    if length < 2:
        raise ValueError(f"a window needs at least 2 tokens, got {length}")
    found: list[Window] = []
    ids = [id_ for id_, _ in pieces]
    line = 1 + pieces[0][1].count(b"\n") if pieces else 1
    start = 1  # the first token has nothing before it, and models differ in what stands for nothing
    while start < len(ids):
        fresh = length - 1 if start == 1 else max(1, length // 2)
        end = min(len(ids), start + fresh)
        data = b"".join(piece for _, piece in pieces[start:end])
        found.append(Window(line, tuple(ids[max(0, end - length) : start]), tuple(ids[start:end]), len(data)))
        line += data.count(b"\n")
        start = end
    return found
