"""A web page as the text that a reader sees, line for line: it has as many newlines as the page's source.

Every stretch stands on the line that it has in the source, a table's row on that of its first cell; where the page
breaks a line and the source has none, or more than one, stands a break of `engine.tasks.breaks`. Left out are scripts
and styles, what is hidden, and what surrounds every page of a site, where its own tags say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from html import unescape
from typing import TYPE_CHECKING

from engine.tasks import breaks
from engine.tasks.tags import Piece, pieces

if TYPE_CHECKING:
    from collections.abc import Callable

PARAGRAPHS = frozenset({
    "address", "article", "blockquote", "body", "details", "dl", "dialog", "fieldset", "figure", "footer", "form",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "search", "section",
    "table", "title", "ul"
})  # fmt: skip
"""Elements that stand apart; a blank line is shown around them."""
LINES = frozenset({
    "aside", "caption", "center", "dd", "div", "dt", "figcaption", "head", "html", "legend", "li", "optgroup",
    "option", "summary", "tbody", "tfoot", "thead", "tr"
})  # fmt: skip
"""Elements on lines of their own."""
VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"
})  # fmt: skip
UNSEEN = frozenset({
    "annotation", "annotation-xml", "audio", "canvas", "datalist", "map", "object", "select", "svg", "template",
    "video"
})  # fmt: skip
"""Not text, or what is shown in place of something that can't be."""
OWN = ("article", "main", "section", "blockquote", "figure")
"""In these a footer belongs to the text."""
CLASSES = frozenset({
    "headerlink", "katex-html", "linenos", "mw-editsection", "screen-reader-text", "sr-only", "visually-hidden"
})  # fmt: skip
"""What generators of pages call marks that are shown on hovering, said aloud, or there twice."""
_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_FORMULA = re.compile(r"math|latex|\btex\b", re.I)
_INVISIBLE = str.maketrans(
    dict.fromkeys("\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029", " ") | dict.fromkeys("\u00ad\u200b\u2060\ufeff")
)
"""What makes no mark in a line; newlines here are those of entities."""
_DEEPEST = 64
"""Elements left out inside each other that are told apart."""
_INDENT = 4
"""Lists inside each other that are shown by indentation."""
_SPACE, _LINE, _PARAGRAPH = 1, 2, 3


def _role(piece: Piece) -> str | None:
    return piece.attribute("role") if "role" in piece.source else None


def _is_hidden(piece: Piece) -> bool:
    source = piece.source
    return (
        ("hidden" in source and piece.attribute("hidden") not in {None, "until-found"})
        or ("style" in source and bool(_NOT_SHOWN.search(piece.attribute("style") or "")))
        or ("class" in source and not CLASSES.isdisjoint((piece.attribute("class") or "").split()))
    )


def text_of(html: str) -> str:
    """What a reader sees of a page, empty if that is nothing but its title."""
    for optional in (True, False):  # all of a page may stand in what is left out of others
        reader = _Reader(optional=optional, has_main=bool(re.search(r"<(?:main|article)[\s>]", html, re.I)))
        for piece in pieces(html):
            reader.take(piece)
        if reader.said.words:
            return reader.end()
    return ""


@dataclass
class _Said:
    """What is written, and what stands between that and the next word."""

    pieces: int = 0
    words: bool = False
    """Whether there is more than a title."""
    lines: int = 0
    """Newlines of the source since."""
    owed: int = 0
    """Newlines that wait for a break: those inside tags, and of what is left out."""
    gap: int = 0
    """Space, a line's or a paragraph's end."""
    mark: str = ""
    """Of a list or a heading."""
    row: str = ""
    """Of a table: `begun`, `simple` while it is all on one line, `broken`."""
    joins: bool = False
    """Whether a cell goes on with the row's line."""
    code: int = 0
    """How deep in elements whose lines are kept."""


@dataclass
class _Open:
    """An element that is left out once it ends, or that holds what the page is about, and what was there before."""

    name: str
    depth: int
    is_main: bool
    passed: int
    lists: int
    before: _Said


@dataclass
class _Reader:
    """Takes a page's pieces and writes what is seen."""

    optional: bool
    has_main: bool
    said: _Said = field(default_factory=_Said)
    _out: list[str] = field(default_factory=list)
    _passed: int = 0
    """Newlines of the source so far."""
    _depth: dict[str, int] = field(default_factory=dict)
    _watched: list[_Open] = field(default_factory=list)
    _mains: list[tuple[int, int]] = field(default_factory=list)
    """Which of the pieces are what the page is about."""
    _lists: list[int] = field(default_factory=list)
    """The next number of each open list, 0 for one without."""
    _first_item: bool = True
    _title: tuple[int, int] = (0, 0)

    def take(self, piece: Piece) -> None:
        """The next piece of the source."""
        if piece.kind == "text":
            self._text(piece.source)
            return
        if piece.kind == "open":
            self._open(piece)
        elif piece.kind == "close":
            self._close(piece.name)
        elif piece.name == "title" and not self._title[1] and not self._depth.get("svg"):
            words, first = self.said.words, len(self._out)
            self._text(piece.source)
            self.said.words, self._title = words, (first, len(self._out))
            return
        newlines = piece.source.count("\n")
        self._passed += newlines
        self.said.owed += newlines

    def end(self) -> str:
        """All that was written; the last newlines come as well."""
        return "".join(self._about()) + "\n" * (self.said.lines + self.said.owed)

    def _about(self) -> list[str]:
        """The title and the main element alone, if that says most of what the page does, else all."""
        kept = [self._title, *self._mains]
        sizes = [sum(map(len, self._out[first:end])) for first, end in kept]
        if 2 * sum(sizes[1:]) <= sum(map(len, self._out)) or not self.optional:
            return self._out
        about = ["\n" * said.count("\n") for said in self._out]
        for first, end in kept:
            about[first:end] = self._out[first:end]
            if first < end:
                words = self._out[first].lstrip(f"\n {breaks.LINE}{breaks.PARAGRAPH}")
                about[first] = "\n" * self._out[first].count("\n") + (breaks.PARAGRAPH if first else "") + words
        return about

    # Elements

    def _open(self, piece: Piece) -> None:
        name = piece.name
        if name in {"img", "math"}:
            self._formula(piece)
        if name not in VOID:
            self._depth[name] = self._depth.get(name, 0) + 1
            is_main = name == "main" or _role(piece) == "main"
            if len(self._watched) < _DEEPEST and (is_main or self._is_unseen(piece)):
                before = replace(self.said, pieces=len(self._out))
                self._watched.append(_Open(name, self._depth[name], is_main, self._passed, len(self._lists), before))
        if opened := _OPENED.get(name):
            opened(self, piece)
        elif name in PARAGRAPHS:
            self._break(_PARAGRAPH)
        elif name in LINES:
            self._break(_LINE)

    def _close(self, name: str) -> None:
        depth = self._depth.get(name, 0)
        if depth:
            self._depth[name] = depth - 1
            for at in reversed(range(len(self._watched))):
                if (self._watched[at].name, self._watched[at].depth) == (name, depth):
                    self._ended(at)
                    break
        if name == "pre":
            self.said.code = max(0, self.said.code - 1)
        elif name in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif name in {"tr", "table"}:
            self.said.row = ""
        if name in PARAGRAPHS or name in LINES:
            self._break(_PARAGRAPH if name in PARAGRAPHS else _LINE)
            if name[0] in "hl":  # a heading or an item that said nothing
                self.said.mark = ""

    def _is_unseen(self, piece: Piece) -> bool:
        """Whether an element is to be left out, if it ends."""
        if piece.name in UNSEEN or (piece.name == "math" and piece.attribute("alttext")):
            return not piece.source.endswith("/>")
        if not self.optional or piece.name in {"html", "body"}:
            return False
        return self._surrounds(piece.name, _role(piece)) or _is_hidden(piece)

    def _surrounds(self, name: str, role: str | None) -> bool:
        """Whether an element is what every page of a site has around its text."""
        if name == "nav" or role in {"navigation", "search"}:
            return True
        if any(self._depth.get(own) for own in OWN):
            return False
        return name == "footer" or role == "contentinfo" or (name == "aside" and self.has_main)

    def _ended(self, at: int) -> None:
        """Take back what an element has said, its lines are passed all the same; or remember where the main one is."""
        ended = self._watched[at]
        del self._watched[at:]
        if ended.is_main:
            self._mains.append((ended.before.pieces, len(self._out)))
            return
        del self._lists[ended.lists :], self._out[ended.before.pieces :]
        while self._mains and self._mains[-1][1] > len(self._out):
            self._mains.pop()
        self.said = ended.before
        self.said.owed += self._passed - ended.passed

    def _break(self, gap: int) -> None:
        if not self.said.mark:  # what an item or a heading begins with stands beside its mark
            self.said.gap = max(self.said.gap, gap)

    def _line_break(self, piece: Piece) -> None:
        if self.said.code and self.said.gap == _LINE:
            self._put("")  # an empty line of code
        self._break(_PARAGRAPH if self.said.gap == _LINE else _LINE)

    def _code(self, piece: Piece) -> None:
        self._apart(piece)
        self.said.code += 1

    def _apart(self, piece: Piece) -> None:
        self.said.joins = False
        self._break(_PARAGRAPH)

    def _heading(self, piece: Piece) -> None:
        self._apart(piece)
        self.said.mark = "#" * int(piece.name[1]) + " "

    def _list(self, piece: Piece) -> None:
        if self._lists:
            self.said.gap = _LINE
        else:
            self._apart(piece)
        self._first_item = True
        start = piece.attribute("start") or ""
        number = int(start) if re.fullmatch(r"\d{1,9}", start, re.ASCII) else 1
        self._lists.append(number if piece.name == "ol" else 0)

    def _item(self, piece: Piece) -> None:
        self.said.joins = False
        self.said.gap = max(self.said.gap, _LINE) if self._first_item else _LINE
        self._first_item = False
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        self.said.mark = "  " * min(len(self._lists) - 1, _INDENT) + (f"{number}. " if number else "- ")

    def _table(self, piece: Piece) -> None:
        self._apart(piece)
        self.said.row = ""

    def _row(self, piece: Piece) -> None:
        self._break(_LINE)
        self.said.row, self.said.joins = "begun", False

    def _cell(self, piece: Piece) -> None:
        self.said.joins = self.said.row == "simple"
        if not self.said.joins and self.said.row != "begun":
            self._break(_LINE)

    def _formula(self, piece: Piece) -> None:
        """As it is written, which a text can show; its parts and its picture can't be."""
        known = piece.attribute("alttext" if piece.name == "math" else "alt")
        if known and (piece.name == "math" or _FORMULA.search(piece.attribute("class") or "")):
            self._text(" ".join(known.split()))

    # Words

    def _text(self, source: str) -> None:
        said = self.said
        for number, part in enumerate(source.split("\n")):
            if number:
                said.lines += 1
                self._passed += 1
            if not part:
                continue
            line = (unescape(part) if "&" in part else part).translate(_INVISIBLE)
            if said.code:
                if line:
                    self._put(line)
                continue
            words = " ".join(line.split())
            if words:
                if line[0].isspace():
                    self._break(_SPACE)
                self._put(words)
            if line and line[-1].isspace():
                self._break(_SPACE)

    def _put(self, words: str) -> None:
        said = self.said
        between = self._between()
        self._out.append(between + said.mark + words)
        if said.row == "begun":
            said.row = "simple"
        said.gap, said.mark, said.joins, said.words = 0, "", False, True

    def _between(self) -> str:
        """What stands between the last word and the next one."""
        said = self.said
        if said.joins and not said.mark and said.row == "simple":
            said.owed += said.lines
            said.lines = 0
            return " | "
        if self._out and said.gap <= _SPACE and not said.lines:
            return " " if said.gap else ""
        lines = said.lines + said.owed
        said.lines = said.owed = 0
        if not self._out:
            return "\n" * lines + (breaks.LINE if lines > 1 else "")
        if said.code and not said.gap:
            return "\n" * lines
        if said.row == "simple":
            said.row = "broken"
        if lines == (2 if said.gap == _PARAGRAPH else 1):
            return "\n" * lines
        return "\n" * lines + (breaks.PARAGRAPH if said.gap == _PARAGRAPH else breaks.LINE)


_OPENED: dict[str, Callable[[_Reader, Piece], None]] = {
    "br": _Reader._line_break,
    "pre": _Reader._code,
    **{f"h{level}": _Reader._heading for level in range(1, 7)},
    "ul": _Reader._list,
    "ol": _Reader._list,
    "li": _Reader._item,
    "table": _Reader._table,
    "tr": _Reader._row,
    "td": _Reader._cell,
    "th": _Reader._cell,
}
