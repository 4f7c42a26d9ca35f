"""Takes out of a sentence what no model may change: inline code, addresses, link targets, tags, formulas.

In its place stands a short mark; afterwards every mark must be back exactly once, or the translation is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = re.compile(
    r"(?<!`)(?P<code>`{1,8})(?!`).{1,1000}?(?<!`)(?P=code)(?!`)"
    r"|(?<=\])\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)"  # a link's target
    r"|(?<=\])\[[^\]\n]*\]|\[\^[^\]\s]{1,60}\]"  # a link's name, a footnote
    r"|<[A-Za-z/!][^<>\n]*>"  # tags, addresses in angle brackets
    r"|(?:https?://|www\.)[^\s<>()\[\]（）【】《》“”，。；：！？、]*[^\s<>()\[\]（）【】《》“”，。；：！？、.,;:!?'\"*_]"
    r"|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,64}(?:\.[A-Za-z0-9-]{1,64})+"
    r"|\$(?![\s\d])[^$\n]+?(?<![\s\\])\$(?!\d)|\\\(.{1,300}?\\\)"  # formulas
    r"|&(?:[A-Za-z]+|#\d+);"
)
_OPENERS = ("[", "![")
_EMPHASIS = re.compile(r"\*{1,3}|~~|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)|!?\[|\]")
"""Marks that a translation must have as often as its source."""
_WIDE = dict(zip(",.;:!?", "，。；：！？", strict=True))
_SPACED = {wide: narrow for narrow, wide in _WIDE.items()} | {"、": ","}
_HAN = r"[\u3400-\u9fff\uf900-\ufaff]"
_WORD = re.compile(
    rf"(?<![A-Za-z0-9_./\\@-])(?:(?!{_HAN})[^\W\d_]){{2,}}(?:['’-][A-Za-z]+)*(?![A-Za-z0-9_/\\@]|[.-][A-Za-z0-9])|{_HAN}"
)
"""A word of letters, or a Chinese character; names of files and variables are none."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A text with marks in the place of what must not change."""

    text: str
    kept: tuple[tuple[str, str], ...] = ()
    """Each mark with what it stands for."""

    def show(self, translation: str) -> tuple[str, bool]:
        """The translation with everything back in place, and whether no mark was lost, doubled or left open."""
        whole = _emphasis(translation) == _emphasis(self.text)
        for mark, original in self.kept:
            whole = whole and translation.count(mark) == 1
            translation = translation.replace(mark, original)
        return translation, whole


def hide(text: str) -> Hidden:
    """Put marks in place, which look like inline code: `x1`.

    Of 20 sentences of our own 18 came back whole, with [1], {1}, <1> or X1 17, with `1` or nothing hidden 15.
    """
    kept: list[tuple[str, str]] = []
    sign = "x"
    while re.search(rf"{sign}\d", text):  # what is put back would be taken for another mark
        sign += "x"

    def mark(match: re.Match[str]) -> str:
        number = len(kept) + 1
        # A target keeps its brackets: models know how a link looks.
        name = f"({sign}{number})" if match[0].startswith("(") else f"`{sign}{number}`"
        kept.append((name, match[0]))
        return name

    return Hidden(_KEPT.sub(mark, text), tuple(kept))


def stretches(text: str) -> list[tuple[str, bool]]:
    """The text cut at everything that must not change, marks of emphasis too: (stretch, whether it is words)."""
    found, start = [], 0
    borders = sorted(
        [*_KEPT.finditer(text), *_EMPHASIS.finditer(text)], key=lambda match: (match.start(), -match.end())
    )
    for match in borders:
        if match.start() >= start:
            found += [(text[start : match.start()], True), (match[0], False)]
            start = match.end()
    found.append((text[start:], True))
    return [(stretch, words and has_words(stretch)) for stretch, words in found if stretch]


def joined(parts: Sequence[str], *, spaced: bool) -> str:
    """Translated stretches and what stands between them as a sentence; `spaced`: the language has spaces."""
    text, open_marks, after_opener = "", list[str](), True
    for part in (_pointed(part.strip(), spaced=spaced) for part in parts):
        mark = bool(_EMPHASIS.fullmatch(part))
        closes = mark and (part == "]" or part in open_marks)
        opens = mark and not closes
        if closes and part in open_marks:
            open_marks.remove(part)
        if opens and part not in _OPENERS:
            open_marks.append(part)
        attached = (
            closes or (text.endswith("]") and part.startswith(("(", "["))) or not re.match(r"[\w`*_~<$&!\[]", part)
        )
        if spaced and text and not after_opener and not attached:
            text += " "
        text += part
        after_opener = opens
    return text


def _pointed(part: str, *, spaced: bool) -> str:
    """A stretch whose first sign, which belongs to what stands before a mark, is of the language."""
    if spaced:
        return re.sub(r"^[，。；：！？、]\s*", lambda sign: f"{_SPACED[sign[0][0]]} ", part).rstrip()
    return re.sub(r"^[,.;:!?](?:\s+|$)", lambda sign: _WIDE[sign[0][0]], part)


def bare(text: str) -> str:
    """The text without what is kept apart."""
    return _KEPT.sub(" ", text)


def has_words(text: str) -> bool:
    """Is there anything to translate? Names of files, numbers, code and addresses are not."""
    return bool(_WORD.search(bare(text)))


def words_of(text: str) -> tuple[int, int]:
    """How many Chinese characters and how many words of letters a text has, what is kept apart not counted."""
    found = _WORD.findall(bare(text))
    chinese = sum(len(word) == 1 for word in found)
    return chinese, len(found) - chinese


def _emphasis(text: str) -> Counter[str]:
    return Counter(match[0] for match in _EMPHASIS.finditer(text))
