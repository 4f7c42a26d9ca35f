"""Cuts HTML into text, tags and what is neither; joined, the pieces are the document.

As browsers cut it, but that nothing is lost where a tag, a comment or an element never ends. In linear time: what was
looked for in vain is not looked for again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["text", "open", "close", "raw", "skip"]
RAW = frozenset({"script", "style", "title", "textarea", "iframe", "noembed", "noframes", "noscript"})
"""Elements without tags inside."""
_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_STOP = re.compile(r">|=\s*([\"'])")
_ATTRIBUTES = 4096
"""Characters of a tag that are looked at: an image may stand in one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a document: text, a tag, the inside of an element that has no tags in it, or nothing to see."""

    kind: Kind
    source: str
    name: str = ""
    """Of the element, in small letters."""

    def attribute(self, name: str) -> str | None:
        """An attribute's value as it is written; empty where it has none, None where it is not there."""
        found = re.search(
            rf"\s{name}(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))|(?=[\s/>]))", self.source[:_ATTRIBUTES], re.I
        )
        return found and next((value for value in found.groups() if value is not None), "")


def pieces(html: str) -> Iterator[Piece]:
    """The document in order."""
    cutter = _Cutter(html)
    at, is_xml = 0, html.lstrip("\ufeff \n").startswith("<?xml")
    while (start := html.find("<", at)) >= 0:
        if start > at:
            yield Piece("text", html[at:start])
        at, piece = cutter.cut(start)
        yield piece
        if piece.kind == "open" and piece.name in RAW and not (is_xml and piece.source.endswith("/>")):
            end = cutter.end_of(piece.name, at)
            if end > at:
                yield Piece("raw", html[at:end], piece.name)
            at = max(at, end)
    if at < len(html):
        yield Piece("text", html[at:])


class _Cutter:
    """Knows what does not come any more."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._last = html.rfind(">")
        self._missing: set[str] = set()

    def cut(self, start: int) -> tuple[int, Piece]:
        """What begins with the `<` at `start`, and where it ends."""
        html = self._html
        if start > self._last:
            return start + 1, Piece("text", "<")
        if html.startswith("<!--", start) and (end := self._find("-->", start + 2)) >= 0:
            return end + 3, Piece("skip", html[start : end + 3])
        if found := _TAG.match(html, start):
            end = self._tag_end(found.end())
            return end, Piece("close" if html[start + 1] == "/" else "open", html[start:end], found[1].lower())
        if html[start + 1] in "!?/":
            end = html.index(">", start) + 1
            return end, Piece("skip", html[start:end])
        return start + 1, Piece("text", "<")

    def _tag_end(self, at: int) -> int:
        """After the `>` of a tag, which is not one inside a quoted value."""
        first = self._html.index(">", at) + 1
        while "quotes" not in self._missing:
            stop = _STOP.search(self._html, at)
            if stop and stop[0] == ">":
                return stop.end()
            at = self._find(stop[1], stop.end()) + 1 if stop else 0
            if not at:
                self._missing.add("quotes")  # some value never ends: from here on quotes say nothing
        return first

    def end_of(self, name: str, at: int) -> int:
        """Where the end of an element without tags begins; -1 if it has none."""
        if name in self._missing:
            return -1
        if found := re.compile(rf"</{name}(?=[\s/>])", re.I).search(self._html, at):
            return found.start()
        self._missing.add(name)
        return len(self._html) if name in {"script", "style"} else -1

    def _find(self, text: str, at: int) -> int:
        end = -1 if text in self._missing else self._html.find(text, at)
        if end < 0:
            self._missing.add(text)
        return end
