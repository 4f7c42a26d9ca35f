"""Words of the source that a translation left standing: found, and filled in once they are translated themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.language import HAN
from engine.tasks.inline import bare, stretches

if TYPE_CHECKING:
    from engine.schema import Language

SMALL = re.compile(r"(?<![A-Za-z0-9_./-])[a-z]{3,}(?![A-Za-z0-9_./-])")
"""A Latin word that is no name."""
_CHINESE = re.compile(f"(?:{HAN.pattern})+")


def left_words(translation: str, source: str, to: Language) -> list[str]:
    """In the order of the translation, each once. Names, which begin with a capital, may stay in Chinese."""
    found = (_CHINESE if to == "en" else SMALL).findall(bare(translation))
    return [word for word in dict.fromkeys(found) if word in source or (to == "en" and set(word) & set(source))]


def filled_in(translation: str, word: str, said: str, to: Language) -> str:
    """The translation with `said` in the place of a word that was left; code and addresses are not touched."""
    if to == "en":
        pattern = re.compile(rf"\s*{re.escape(word)}\s*(?=([.,;:!?)\]]|$)?)")
        if not said[1:2].isupper() and not translation.startswith(word):
            said = said[:1].lower() + said[1:]
    else:
        pattern = re.compile(rf"\s?(?<![A-Za-z0-9_./-]){re.escape(word)}(?![A-Za-z0-9_./-])\s?")

    def fill(match: re.Match[str]) -> str:
        if to == "zh":
            return said
        return (" " if match.start() else "") + said + ("" if match[1] is not None else " ")

    return "".join(pattern.sub(fill, part) if words else part for part, words in stretches(translation))
