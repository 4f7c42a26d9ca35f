"""Is this a translation at all? Signs of what small models do instead: answer, explain, repeat, copy, leave out.

Rules of form only; whether the meaning is right can't be seen here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from engine.language import HAN
from engine.tasks.inline import bare, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.schema import Language

Doubt = Literal["", "question", "mixed", "number", "length", "marks", "cut", "repeats", "language", "empty"]
SEVERITY: tuple[Doubt, ...] = (
    "",
    "question",
    "mixed",
    "number",
    "length",
    "marks",
    "cut",
    "repeats",
    "language",
    "empty",
)
"""From nothing wrong to nothing there: of two attempts the one further left is taken."""

_LABEL = re.compile(
    r"\s*(?:(?:the |english |chinese )?translat(?:ion|ed text)(?: (?:is|in \w+))?|"
    r"(?:here(?:'s| is) the )translation|(?:翻译|译文|中文|英文)(?:如下|结果|为)?|english|chinese)\s*[:：]\s*",
    re.IGNORECASE,
)
_REMARK = re.compile(r"\s*[(（]?(?:note|explanation|translation|注|注意|说明|解释|翻译|译注)\s*[:：]", re.IGNORECASE)
_LOOP = re.compile(r"(.{1,40}?)\1{4,}|(.{6,60}?)\2{2,}", re.DOTALL)
_QUESTION = re.compile(r"[?？][\"'”’」』）)*_]*\s*$")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_END = re.compile(r"[.!?。．！？…][\"'”’」』）)*_]*$")
_OPEN_END = re.compile(r"[\w`\u3400-\u9fff][\"'”’」』）)*_]*$")
_LEADING = re.compile(r"(?:[-*+>•]|#{1,6}|\d{1,3}[.)])\s+|\d{1,3}、|`{3,}\w*\s*|>")
_SMALL = re.compile(r"(?<![A-Za-z0-9_./-])[a-z]{3,}(?![A-Za-z0-9_./-])")
"""A word that is no name."""
_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"), ("'", "'"))


def tidy(translation: str, source: str, to: Language) -> str:
    """The translation without the labels, remarks, quotation marks and line breaks that models add."""
    text = translation.strip()
    if not _LABEL.match(source):
        text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    first, *rest = [line.strip() for line in text.split("\n") if line.strip()] or [""]
    for line in rest:
        if _REMARK.match(line):
            break
        first += line if to == "zh" else f" {line}"
    for opening, closing in _QUOTES:
        inside = first[1:-1]
        if first.startswith(opening) and first.endswith(closing) and opening not in inside and closing not in inside:
            first = first if source[:1] in "\"'“‘「『《" else inside
    return _ended(_plain(first.strip(), source), source, to)


def _plain(text: str, source: str) -> str:
    """Without marks that would make a heading, a list or a table's border of a text that is none."""
    if not _LEADING.match(source):
        text = _LEADING.sub("", text)
    return text if "|" in source else text.replace("|", "/")


def _ended(text: str, source: str, to: Language) -> str:
    """With a full stop where the source has an end, and without where it has none, as in headings."""
    end = _END.search(source)
    if end and _OPEN_END.search(text):
        sign = end[0][0]
        signs = {"zh": {".": "。", "?": "？", "!": "！"}, "en": {"。": ".", "．": ".", "？": "?", "！": "!"}}[to]
        return text + signs.get(sign, sign)
    if not end and re.search(r"[^.。][.。]$", text) and not source.endswith((":", "：", ";", "；", ",", "，")):
        return text[:-1]
    return text


def doubt(translation: str, source: str, to: Language, *, cut: bool = False) -> Doubt:
    """What speaks against a translation, the worst first; empty where nothing does. `cut`: it had to be stopped."""
    checks: tuple[tuple[Doubt, Callable[[], bool]], ...] = (
        ("empty", lambda: not translation.strip()),
        ("language", lambda: not _in_language(translation, source, to)),
        ("repeats", lambda: _loops(translation) and not _loops(source)),
        ("cut", lambda: cut),
        ("length", lambda: not _plausible_length(translation, source, to)),
        ("number", lambda: _lost_number(translation, source)),
        ("mixed", lambda: _is_mixed(translation, source, to)),
        ("question", lambda: bool(_QUESTION.search(source)) != bool(_QUESTION.search(translation))),
    )
    return next((why for why, found in checks if found()), "")


def _loops(text: str) -> bool:
    loop = _LOOP.search(text)
    return bool(loop) and any(map(str.isalpha, loop[0]))  # type: ignore[index]


def _in_language(translation: str, source: str, to: Language) -> bool:
    """Names and abbreviations may stay as they are; whole sentences may not."""
    chinese, latin = words_of(translation)
    if to == "en":
        return chinese <= latin and (latin > 0 or words_of(source) == (0, 0))
    if chinese:
        return len(_SMALL.findall(bare(translation))) <= chinese
    return translation.strip() == source.strip() and latin <= 3 and source != source.lower()


def _is_mixed(translation: str, source: str, to: Language) -> bool:
    """Whether words of the source were left standing; names, which begin with a capital, may."""
    return any(word in source for word in (HAN if to == "en" else _SMALL).findall(bare(translation)))


def _plausible_length(translation: str, source: str, to: Language) -> bool:
    """Measured on pairs: an English text has 2 to 6 times the characters of its Chinese one; short ones vary more."""
    chinese, english = (translation, source) if to == "zh" else (source, translation)
    short, long = len(chinese), len(english)
    return short * 1.6 - 12 <= long <= short * 5.5 + 24


def _lost_number(translation: str, source: str) -> bool:
    """Whether a number of three characters and more, 100 or 1.5, is gone, where no number in words can stand for it."""
    if re.search(r"[〇零一二三四五六七八九十百千万亿]", translation + source):
        return False
    said = re.sub(r"\D", "", translation)
    numbers = (number.replace(",", "") for number in _NUMBER.findall(source))
    return any(re.sub(r"\D", "", number) not in said for number in numbers if len(number) > 2)
