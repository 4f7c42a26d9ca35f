"""How wide a text is on a terminal, where a Chinese character takes two columns; lines and cells of so many columns."""

from __future__ import annotations

import re
import unicodedata

_OPENING, _CLOSING, _WIDE = "（《“", "，。；：！？、）》”…", r"\u2e80-\uffef"
_PIECE = re.compile(
    rf"\s+|[{_OPENING}]*(?:(?![{_OPENING}{_CLOSING}])[{_WIDE}]|[^\s,{_WIDE}{_OPENING}{_CLOSING}]*,*)[{_CLOSING}]*",
    re.ASCII,
)
"""What no line is broken in: blanks; a character or a word with the marks that open before it and close after it."""


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def wrapped(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` columns, but for a word that is longer by itself."""
    lines, line = [], ""
    for piece in _PIECE.findall(text):
        if columns(line + piece.rstrip()) > room:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [one for one in [*lines, line.rstrip()] if one]


def cut(text: str, room: int) -> str:
    """The beginning of a text that takes at most `room` columns."""
    while text and (over := columns(text) - room) > 0:
        text = text[: -(over // 2 or 1)]
    return text


def left(text: str, width: int) -> str:
    """A cell with its text on the left, as f"{text:<{width}}" where a character is a column."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """A cell with its text on the right."""
    return " " * (width - columns(text)) + text
