"""Where lines of Chinese may break: between characters, but no line begins with a comma or ends with an open bracket.

Rich, and Textual through it, breaks at blanks alone and folds what is longer: a Chinese sentence behind an English
word begins on a line of its own, and its lines with whatever comes (W3C, Requirements for Chinese Text Layout, 3.1.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDE = r"\u2e80-\u312f\u3190-\uabff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff60\uffe0-\uffe6\U00020000-\U0003ffff"
"""Characters of two columns that lines may break between; Korean has blanks for that."""
_OPENS = r"（《〈「『【〔〖［｛“‘([{"
_CLOSES = r"，。、；：！？·…—～％）》〉」』】〕〗］｝”’,.;:!?%)\]}"
_WORD = re.compile(
    rf"\s*(?:(?<!\S)[{_WIDE}]{{1,4}}(?!\S)|(?:[{_OPENS}]*(?![{_CLOSES}])[{_WIDE}]|[^\s{_WIDE}]++(?![{_WIDE}])"
    rf"|[^\s{_WIDE}]*[^\s{_WIDE}{_OPENS}])[{_CLOSES}]*|[^\s{_WIDE}]+|\S)\s*"
)
"""What no line is broken in: a term of up to four characters between blanks; else a character or a run of letters, with
the marks that open before and close after it."""


def words(text: str, place: int = 0) -> Iterator[tuple[int, int, str]]:
    """Beginning, end and text of each stretch that no line is broken in, with the blanks after it (and first, before
    it); of a text without wide characters what `rich._wrap.words` gives."""
    while found := _WORD.match(text, place):
        yield place, found.end(), found[0]
        place = found.end()


def chunks(text: str) -> Iterator[tuple[int, int, str]]:
    """`words`, but for blanks before the first, which come by themselves: what `textual._wrap.chunks` gives."""
    blanks = len(text) - len(text.lstrip())
    if blanks:
        yield 0, blanks, text[:blanks]
    yield from words(text, blanks)


def install() -> None:
    """Let Rich, and so Textual, break lines here. It has no setting for that: the function is put in its place."""
    import rich._wrap

    rich._wrap.words = words


def install_for_typing() -> None:
    """The same where texts are typed, which Textual breaks by itself."""
    import textual._wrap

    textual._wrap.chunks = chunks
