"""Breaks between lines of a text that are none in its file: all of a page may stand on one line of that.

They are ASCII's separators of records and of groups: white space that ends no line in an editor, and stands in no text
of our day. So whoever counts newlines has the numbers of the file, and whoever reads, a model or a person, is shown
newlines in their place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE, PARAGRAPH = "\x1e", "\x1d"
_BREAK = re.compile(f"([{LINE}{PARAGRAPH}])")
_SHOWN = {LINE: "\n", PARAGRAPH: "\n\n"}


def shown(text: str) -> str:
    """The text as it is read: a break, with the white space before it, is one newline, or two; the end is one."""
    if LINE not in text and PARAGRAPH not in text:
        return text
    *before, last = _BREAK.split(text)
    end = "\n" if last.endswith("\n") else ""
    return "".join(_SHOWN.get(part) or part.rstrip() for part in before) + last.rstrip("\n") + end


def lines_in(text: str) -> int:
    """How many lines a text has in its file; an empty one has one."""
    return text.count("\n") + (not text.endswith("\n"))


def numbered(text: str, first: int = 1) -> Iterator[tuple[int, str]]:
    """The lines as they are read, each with the number of its line in the file."""
    for number, line in enumerate(text.split("\n"), first):
        for part in _BREAK.split(line)[::2]:
            yield number, part
