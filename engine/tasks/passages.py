"""Cuts a text into passages of at most so many tokens: at paragraphs, else lines, sentences, words, characters.

Passages are consecutive stretches of the text itself; joined they are the text, so that nothing can be lost.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.tasks.breaks import LINE, PARAGRAPH
from engine.words import UNSPACED

Count = Callable[[str], int]
"""A text's length in tokens."""

_BORDERS = (
    re.compile(rf"(?:\n[^\S\n]*\n|{PARAGRAPH})\s*"),
    re.compile(rf"[\n{LINE}]"),
    re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|[。！？；…]+[”’」』）]*"),
    re.compile(r"[\s，、,;:：]+"),
)
"""What may end a piece, best first; the border stays with the piece before it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a text."""

    text: str
    tokens: int
    first_line: int
    """From 1."""
    last_line: int


def length(text: str) -> int:
    """About how many tokens a text is to any model: a Chinese character is one, of others four are.

    So passages are the same for every model, and none is needed to make them.
    """
    unspaced = sum(len(run[0]) for run in UNSPACED.finditer(text))
    return unspaced + -(-(len(text) - unspaced) // 4)


def split(text: str, count: Count, limit: int, *, steady: bool = False) -> list[Passage]:
    """Passages of at most `limit` tokens, of about equal size.

    `steady`: cut where the text itself says so, so that an edit changes the passages around it and no others.
    """
    pieces = list(_pieces(text, count, limit, 0))
    if steady:
        return _steady(text, pieces, limit)
    total = sum(tokens for _, tokens in pieces)
    fewest = max(1, -(-total // limit))
    lines = _LineIndex(text)
    passages: list[Passage] = []
    start = end = tokens = done = 0
    for piece, size in pieces:
        border = total * (len(passages) + 1) / fewest  # of equal shares; the cut nearest to it is taken
        if tokens and (tokens + size > limit or done + size / 2 > border):
            passages.append(lines.passage(start, end, tokens))
            start, tokens = end, 0
        end, tokens, done = end + len(piece), tokens + size, done + size
    if end > start:
        passages.append(lines.passage(start, end, tokens))
    return passages


def _steady(text: str, pieces: list[tuple[str, int]], limit: int) -> list[Passage]:
    """Content-defined cuts: in the second half of what fits, before the piece whose digest is the smallest."""
    lines = _LineIndex(text)
    passages: list[Passage] = []
    position = at = 0
    while at < len(pieces):
        tokens, stop, candidates = 0, at, list[int]()
        while stop < len(pieces) and (stop == at or tokens + pieces[stop][1] <= limit):
            tokens += pieces[stop][1]
            stop += 1
            if tokens >= limit // 2:
                candidates.append(stop)
        if stop < len(pieces) and candidates:
            stop = min(candidates, key=lambda cut: hashlib.sha256(pieces[cut][0].encode()).digest())
        end = position + sum(len(piece) for piece, _ in pieces[at:stop])
        passages.append(lines.passage(position, end, sum(size for _, size in pieces[at:stop])))
        position, at = end, stop
    return passages


def _pieces(text: str, count: Count, limit: int, level: int) -> Iterator[tuple[str, int]]:
    """Pieces of a text with their tokens, cut at borders of this level, and finer only where the limit asks for it."""
    if level < len(_BORDERS):
        parts = _cut(text, _BORDERS[level])
    else:
        middle = len(text) // 2
        parts = iter((text[:middle], text[middle:]))
    for part in parts:
        tokens = count(part)
        if tokens <= limit or len(part) == 1:
            yield part, tokens
        else:
            yield from _pieces(part, count, limit, level + 1)


def _cut(text: str, border: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in border.finditer(text):
        if match.end() > start:
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]


class _LineIndex:
    """From positions in a text to line numbers."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def passage(self, start: int, end: int, tokens: int) -> Passage:
        text = self._text[start:end]
        # White space at the ends belongs to no line that anybody would name.
        first, last = start + len(text) - len(text.lstrip()), start + len(text.rstrip()) - 1
        if last < first:  # nothing but white space
            first, last = start, end - 1
        return Passage(text, tokens, self._line(first), self._line(last))

    def _line(self, position: int) -> int:
        return bisect_right(self._starts, min(position, len(self._text)))
