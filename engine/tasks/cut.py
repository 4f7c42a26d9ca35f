"""Shortens documents to a budget of tokens, by whole lines, and says which lines are left out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.schema import Coverage, Document
from engine.tasks.breaks import LINE, PARAGRAPH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.config import Overflow

ELLIPSIS = "[…]"
"""Stands where lines are left out, so that the model knows."""


def cut_documents(
    documents: Sequence[Document], count: Callable[[str], int], budget: int, policy: Overflow
) -> tuple[list[Document], Coverage]:
    """Documents of at most `budget` tokens together. `policy`: head keeps the beginning, tail the end, middle both.

    Short documents stay whole; the long ones share what is left. Lines of the coverage count through all documents.
    """
    sizes = [count(document.text) for document in documents]
    shares = _shares(sizes, budget)
    kept_documents: list[Document] = []
    unread: list[tuple[int, int]] = []
    partly: list[tuple[int, int]] = []
    lines_before = tokens_read = 0
    for document, size, share in zip(documents, sizes, shares, strict=True):
        lines = lines_of(document.text, within=True)
        numbers = _numbers(lines)
        total = numbers[-1] if numbers else 0
        kept = set(range(len(lines)))
        if size > share:
            kept = _kept_lines([count(line) for line in lines], share - 3, policy)
            document = replace(document, text=_joined(lines, kept))  # noqa: PLW2901
        read = {numbers[index] + lines_before for index in kept}
        left_out = {numbers[index] + lines_before for index in range(len(lines)) if index not in kept}
        unread += stretches(left_out - read)
        partly += stretches(left_out & read)
        tokens_read += sum(count(lines[i]) for i in kept) if left_out else size
        lines_before += total
        kept_documents.append(document)
    missing = sum(last - first + 1 for first, last in unread)
    coverage = Coverage(
        chunks_read=1,
        chunks_total=1,
        lines_read=lines_before - missing,
        lines_total=lines_before,
        tokens_read=tokens_read,
        tokens_total=sum(sizes),
        unread_lines=tuple(unread),
        partly_read=tuple(partly),
    )
    return kept_documents, coverage


def lines_of(text: str, *, within: bool = False) -> list[str]:
    """Lines with their ends. Only a newline ends one, as in editors: a form feed or a U+2028 does not.

    `within`: cut at the breaks inside them as well.
    """
    ends = rf"\n{LINE}{PARAGRAPH}" if within else r"\n"
    return re.findall(rf"[^{ends}]*[{ends}]|[^{ends}]+", text)


def _numbers(lines: Sequence[str]) -> list[int]:
    """The number, from 1, of the file's line that each stands on."""
    numbers, number = [], 1
    for line in lines:
        numbers.append(number)
        number += line.endswith("\n")
    return numbers


def joined(read: Sequence[Coverage]) -> Coverage:
    """The coverage of several documents as one; lines count through all of them."""
    unread: list[tuple[int, int]] = []
    partly: list[tuple[int, int]] = []
    before = 0
    for part in read:
        unread += [(first + before, last + before) for first, last in part.unread_lines]
        partly += [(first + before, last + before) for first, last in part.partly_read]
        before += part.lines_total
    return Coverage(
        chunks_read=sum(part.chunks_read for part in read),
        chunks_total=sum(part.chunks_total for part in read),
        lines_read=sum(part.lines_read for part in read),
        lines_total=before,
        tokens_read=sum(part.tokens_read for part in read),
        tokens_total=sum(part.tokens_total for part in read),
        unread_lines=tuple(unread),
        partly_read=tuple(partly),
    )


def _shares(sizes: Sequence[int], budget: int) -> list[int]:
    """What each may take: the small ones all they need, the others equal parts of the rest."""
    shares = [0] * len(sizes)
    left = budget
    for done, index in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        shares[index] = min(sizes[index], left // (len(sizes) - done))
        left -= shares[index]
    return shares


def _kept_lines(sizes: Sequence[int], budget: int, policy: Overflow) -> set[int]:
    """Indices of the lines that fit."""
    forward, backward = range(len(sizes)), range(len(sizes) - 1, -1, -1)
    if policy == "head":
        return _take(sizes, forward, budget)
    if policy == "tail":
        return _take(sizes, backward, budget)
    first = _take(sizes, forward, budget // 2)
    spent = sum(sizes[i] for i in first)
    return first | _take(sizes, backward, budget - spent)


def _take(sizes: Sequence[int], order: range, budget: int) -> set[int]:
    taken: set[int] = set()
    for index in order:
        budget -= sizes[index]
        if budget < 0:
            break
        taken.add(index)
    return taken


def stretches(lines: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of lines."""
    found: list[tuple[int, int]] = []
    for line in sorted(lines):
        if found and found[-1][1] == line - 1:
            found[-1] = (found[-1][0], line)
        else:
            found.append((line, line))
    return found


def _joined(lines: Sequence[str], kept: set[int]) -> str:
    parts, gap = [], False
    for index, line in enumerate(lines):
        if index in kept:
            parts.append(line)
        elif not gap:
            parts.append(f"{ELLIPSIS}\n")
        gap = index not in kept
    return "".join(parts)
