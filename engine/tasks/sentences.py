"""Cuts a text after its sentences, English and Chinese; joined, they are the text.

By form alone: an abbreviation that is not listed here cuts as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*\s+|[。．！？…]+[”’」』）》\"*_]*\s*")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"“])(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|cf|al|e\.g|i\.e|etc|approx|Nos?|Figs?|Eqs?|Vol|pp|[A-Z])\.\s+$"
)
_NEXT = re.compile(r"[\"'“‘(\[*_`]*[A-Z0-9\u3400-\u9fff]")


def sentences(text: str) -> Iterator[str]:
    """Each sentence with the space after it."""
    start = 0
    for match in _END.finditer(text):
        latin = match[0][0] in ".!?…"
        head = text[max(start, match.start() - 12) : match.end()]
        if latin and (not _NEXT.match(text, match.end()) or (match[0][0] == "." and _ABBREVIATION.search(head))):
            continue
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]
