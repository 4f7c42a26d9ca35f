"""Cuts a text after its sentences, English and Chinese; joined, they are the text.

By form alone: an abbreviation that is not listed here cuts as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HAN = r"\u3400-\u9fff"
_CLOSING = r"[\"'”’)\]*_]*+"
_END = re.compile(
    rf"(?<![.!?])(?<![.!?…]…)[.!?…]++{_CLOSING}\s+|[。．！？…]+[”’」』）》\"*_]*\s*"
    rf"|(?<![.!?])[.!?]++[\"'”’)\]）》]*+(?=[“‘《（(\[\"']*[{_HAN}A-Z])"
)
"""A run of stops is looked at once, from its first, and nothing of it is given back: or a line of dots took hours."""
_SHORT = r"(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|cf|al|e\.g|i\.e|etc|approx|Nos?|Figs?|Eqs?|Vol|pp|[A-Z])"
_ABBREVIATION = re.compile(rf"(?:^|[\s(\"“]){_SHORT}\.\s+$")
_NEXT = re.compile(rf"[\"'“‘(\[*_`]*[A-Z0-9{_HAN}]")

_NAMED = re.compile(rf"(?:^|[^A-Za-z]){_SHORT}$")
_COUNTED = re.compile(r"(?:^|[\s,;:，；：、(（])[0-9.]+$")
_SUFFIX = re.compile(r"(?:PDF|TXT|DOCX?|XLSX?|PPTX?|CSV|JPE?G|PNG|ZIP|EXE|APK|NET|COM|JS|[A-Z])(?![A-Za-z])")
_FEWEST = 6
"""Characters of a Chinese sentence that ends in a dot: less stands before that of a foreign name (约翰.亚当斯)."""


def sentences(text: str) -> Iterator[str]:
    """Each sentence with the space after it."""
    # Whoever writes 。 does not end other sentences with a dot: there it stands inside a name.
    dots = "。" not in text
    start = 0
    for match in _END.finditer(text):
        if match[0][0] in ".!?…" and not _ends(text, match, start, dots=dots):
            continue
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _ends(text: str, match: re.Match[str], start: int, *, dots: bool) -> bool:
    """Whether an ASCII stop ends the sentence that begins at `start`."""
    if match[0][-1].isspace():
        head = text[max(start, match.start() - 12) : match.end()]
        return bool(_NEXT.match(text, match.end())) and not (match[0][0] == "." and _ABBREVIATION.search(head))
    return _ends_chinese(text, match, start, dots=dots)


def _ends_chinese(text: str, match: re.Match[str], start: int, *, dots: bool) -> bool:
    """The same where no space follows, as Chinese abstracts are written: …的方法.该方法…"""
    before, after = text[max(start, match.start() - 12) : match.start()], text[match.end() : match.end() + 8]
    if not before or not re.search(rf"[{_HAN}]", after + before):
        return False
    if match[0][0] != ".":
        return not before[-1].isascii()
    if not dots or match.start() - start < _FEWEST or match[0].startswith(".."):
        return False
    if before[-1].isascii() and before[-1].isalnum():
        return not (after[0].isascii() or _NAMED.search(before) or _COUNTED.search(before))
    return not _SUFFIX.match(after)
