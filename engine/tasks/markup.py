"""Finds what is text in a document and what is not: Markdown's marks, code, rules, tables' bars, indentation.

The pieces, joined, are the document, byte for byte. Plain text is the same with fewer marks. Parses no HTML.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.language import HAN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MARKS = re.compile(
    r"(?:[^\S\n]|>|(?:[-*+•·‣▪◦:]|\d{1,3}[.)])(?=\s)|#{1,6}(?=\s)|\[[ xX]\](?=\s)|\[\^[^\]\s]{1,99}\]:|\d{1,3}、"
    r"|[（(](?:\d{1,3}|[一二三四五六七八九十]{1,3})[）)]|[一二三四五六七八九十]{1,3}、|[①-⑳])*"
)
"""What may stand before a line's words: indentation, quotes, marks of lists, definitions and notes, headings, boxes."""
_CLOSING = re.compile(r"(?<=\s)#+$")
_FENCE = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})", re.MULTILINE)
_RULER = re.compile(r"(?:[\s|:-]*+>)*+[\s:-]*+\|[\s|:]*+-[\s|:-]*")
"""The line under a table's heading, read in one way alone: or one that is nearly such takes time with its cube."""
_BAR = re.compile(r"(?<!\\)\|")
_DEFINITION = re.compile(r"\[[^\]\n]+\]:\s*\S")
_OPENERS = {"<!--": "-->", "<pre": "</pre>", "<script": "</script>", "<style": "</style>", "$$": "$$", r"\[": r"\]"}
"""Blocks that stay as they are, by how a line begins and what ends them."""
_SENTENCE_END = re.compile(r"[.!?:;。．！？：；…][\"'”’」』）)\]*_]*$")
_CODE = re.compile(r"[=(){}\[\]<>;$|\\_#&@]|--|://|\./")
_WRAPPED = 40
"""Columns: paragraphs narrower than this are verse, lists without marks, addresses; their lines stand alone."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a document."""

    text: str
    words: str = ""
    """What it says, on one line; empty where it is no text."""
    first_line: int = 1
    """From 1."""
    last_line: int = 1


def pieces(text: str) -> Iterator[Piece]:
    """The whole document in order."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    at = _front_matter(lines)
    if at:
        yield Piece("".join(lines[:at]), "", 1, at)
    while at < len(lines):
        end = _untouched(lines, at)
        if end > at:
            yield Piece("".join(lines[at:end]), "", at + 1, end)
        elif (end := _table(lines, at)) > at:
            for number in range(at, end):
                yield from _row(lines[number], number + 1)
        else:
            end = _paragraph(lines, at)
            yield from _block(lines[at:end], at + 1)
        at = end


def _front_matter(lines: Sequence[str]) -> int:
    """How many lines of settings begin the document."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    for number, line in enumerate(lines[1:200], 2):
        if line.rstrip() in {"---", "..."}:
            return number
        if not line.strip():
            return 0
    return 0


def _untouched(lines: Sequence[str], at: int) -> int:
    """Where the block that begins here and stays as it is ends; `at` if none does."""
    line = lines[at]
    body = line[len(_marks(line)) :]
    if not any(map(str.isalpha, body)) and not _FENCE.match(body) and not body.lower().startswith(tuple(_OPENERS)):
        return at + 1
    if fence := _FENCE.match(body):
        return _until(lines, at + 1, re.compile(rf"[\s>]*{re.escape(fence[1])}{fence[1][0]}*\s*$"))
    for opener, closer in _OPENERS.items():
        if body.lower().startswith(opener):
            rest = body[len(opener) :]
            return at + 1 if closer in rest.lower() else _until(lines, at + 1, re.compile(".*" + re.escape(closer)))
    if _DEFINITION.match(body):
        return at + 1
    return _indented_code(lines, at)


def _until(lines: Sequence[str], at: int, closing: re.Pattern[str]) -> int:
    """After the line that closes a block; the end of the document where none does, as in Markdown."""
    return next((number + 1 for number in range(at, len(lines)) if closing.match(lines[number].lower())), len(lines))


def _indented_code(lines: Sequence[str], at: int) -> int:
    """After a block of four spaces or tabs that follows a blank line and looks like code."""
    if not _is_indented(lines[at]) or (at and lines[at - 1].strip()) or _in_list(lines, at):
        return at
    end = at
    while end < len(lines) and _is_indented(lines[end]):
        end += 1
    if end < len(lines) and lines[end].strip():
        return at  # a paragraph whose first line is indented
    return end if _looks_like_code(lines[at:end]) else at


def _looks_like_code(lines: Sequence[str]) -> bool:
    """Signs of code in half the lines, or a few words a line; an end as sentences have it speaks for prose."""
    if _SENTENCE_END.search(lines[-1].rstrip()):
        return lines[-1].rstrip().endswith(";")
    signs = sum(len(_CODE.findall(line)) * 25 >= len(line.strip()) for line in lines)
    words = sum(len(line.split()) + len(HAN.findall(line)) for line in lines)
    return signs * 2 >= len(lines) or words <= 5 * len(lines)


def _is_indented(line: str) -> bool:
    return line.startswith(("    ", "\t")) and bool(line.strip())


def _in_list(lines: Sequence[str], at: int) -> bool:
    """Whether the nearest line above with less indentation carries a list mark."""
    for number in range(at - 1, max(-1, at - 100), -1):
        line = lines[number]
        if line.strip() and not _is_indented(line):
            return _has_mark(line)
    return False


def _has_mark(line: str) -> bool:
    return any(not character.isspace() and character != ">" for character in _marks(line))


def _marks(line: str) -> str:
    match = _MARKS.match(line)
    return match[0] if match else ""


def _table(lines: Sequence[str], at: int) -> int:
    """After the last row of the table that begins here; `at` if none does."""
    ruled = at + 1 < len(lines) and "|" in lines[at] and _RULER.fullmatch(lines[at + 1])
    if not ruled and not lines[at].lstrip(" \t>").startswith("|"):
        return at
    end = at + 1
    while end < len(lines) and "|" in lines[end] and lines[end].strip():
        end += 1
    return end


def _row(line: str, number: int) -> Iterator[Piece]:
    """A table's row: the cells' words, and the bars and spaces between them."""
    start = 0
    for bar in [*_BAR.finditer(_codeless(line)), None]:
        end = bar.start() if bar else len(line)
        cell = line[start:end]
        yield from _framed(cell, cell[: len(cell) - len(cell.lstrip(" \t>"))], number)
        if bar:
            yield Piece("|", "", number, number)
            start = bar.end()


def _codeless(line: str) -> str:
    """The line with its inline code blotted out, every character at its place."""
    return re.sub(r"(?<!`)(`{1,8})(?!`).{1,1000}?(?<!`)\1(?!`)", lambda match: "x" * len(match[0]), line)


def _paragraph(lines: Sequence[str], at: int) -> int:
    """After the last line that goes on with the paragraph of this one."""
    end, quotes = at + 1, _marks(lines[at]).count(">")
    while end < len(lines) and not _has_mark(lines[end]) and lines[end].strip(" \t>\n"):
        if _marks(lines[end]).count(">") != quotes or _untouched(lines, end) > end or _table(lines, end) > end:
            break
        end += 1
    return end


def _block(lines: Sequence[str], first: int) -> Iterator[Piece]:
    """A paragraph as one piece where its lines are broken to a width, else each line for itself."""
    if not _is_wrapped(lines):
        for number, line in enumerate(lines, first):
            yield from _framed(line, _marks(line), number)
        return
    last = first + len(lines) - 1
    marks, ending = _marks(lines[0]), _ending(lines[-1])
    text = "".join(lines)[len(marks) :]
    words = _unwrapped([line[len(_marks(line)) : len(line) - len(_ending(line))] for line in lines])
    yield from _named(marks, "", first, first)
    yield from _named(text[: len(text) - len(ending)], words, first, last)
    yield from _named(ending, "", last, last)


def _framed(text: str, marks: str, number: int) -> Iterator[Piece]:
    """One line, or one cell: its marks, its words, its end."""
    body = text[len(marks) :]
    ending = _ending(body)
    words = body[: len(body) - len(ending)]
    yield from _named(marks, "", number, number)
    yield from _named(words, words, number, number)
    yield from _named(ending, "", number, number)


def _named(text: str, words: str, first: int, last: int) -> Iterator[Piece]:
    if text:
        yield Piece(text, words, first, last)


def _ending(body: str) -> str:
    """What stands after a line's words: spaces, a hard break, the marks that close a heading."""
    words = body.rstrip()
    if closing := _CLOSING.search(words):
        words = words[: closing.start()].rstrip()
    words = words.removesuffix("\\") if closing is None else words
    return body[len(words) :]


def _is_wrapped(lines: Sequence[str]) -> bool:
    """Were these lines broken where the next word did not fit, or by hand? Some must break off inside a sentence."""
    widths = [_columns(line.rstrip()) for line in lines]
    widest = max(widths)
    breaks = any(len(_ending(line.rstrip("\n"))) > 1 for line in lines[:-1])
    if len(lines) < 2 or widest < _WRAPPED or breaks:
        return False
    going_on = open_ends = 0
    for line, width, following in zip(lines, widths, lines[1:], strict=False):
        word = following[len(_marks(following)) :].split(maxsplit=1)[0]
        is_open = not _SENTENCE_END.search(line.rstrip())
        open_ends += is_open
        going_on += width + 1 + min(_columns(word), 20) > 0.85 * widest or (is_open and word[0].islower())
    return bool(open_ends) and going_on >= 0.8 * (len(lines) - 1)


def _columns(text: str) -> int:
    """Its width on a terminal."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _unwrapped(lines: Sequence[str]) -> str:
    """Lines as one; between Chinese characters stands no space."""
    joined = ""
    for line in lines:
        chinese = joined and line and _is_chinese(joined[-1]) and _is_chinese(line[0])
        joined += line if not joined or chinese else f" {line}"
    return joined


def _is_chinese(character: str) -> bool:
    return bool(HAN.match(character)) or character in "，。、；：！？“”‘’（）《》…—"
