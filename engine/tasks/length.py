"""How long a summary should be: said to the model in words, and bounded in tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from engine.errors import UsageError
from engine.language import HAN

if TYPE_CHECKING:
    from engine.schema import Language

_NAMED = {"short": 40, "medium": 110, "long": 260}
_PHRASES: dict[Language, dict[str, str]] = {
    "en": {"short": "one or two sentences", "medium": "one paragraph", "long": "three paragraphs"},
    "zh": {"short": "一两句话", "medium": "一段话", "long": "三段话"},
}
_SENTENCES: dict[Language, tuple[str, ...]] = {
    "en": ("one sentence", "two sentences", "three sentences"),
    "zh": ("一句话", "两句话", "三句话"),
}
_WORDS_A_SENTENCE = 22
_CHARACTERS_A_WORD = 1.7
"""Chinese characters that say what an English word says."""
_SENTENCE_END = re.compile(r"(?<![0-9A-Z])[.!?…][\"'”’)]*\s*$|[。！？…][”’」』）]*\s*$")
LONGEST_PASS = 400
"""Words that one pass can be trusted to write; a longer summary is put together from its parts'."""


@dataclass(frozen=True, slots=True)
class Length:
    """A wished length in words (Chinese: words of 1.7 characters)."""

    target: int
    name: str = ""
    """short, medium or long, where it was said so; `part` for a share of a summary."""

    @classmethod
    def parse(cls, text: str, document: str) -> Self:
        """From short, medium, long, N% of the document or Nw. Raises UsageError."""
        if text in _NAMED:
            return cls(_NAMED[text], text)
        match = re.fullmatch(r"(\d+)(%|w)", text)
        if not match or int(match[1]) < 1:
            raise UsageError(f"a length is short, medium, long, N% or Nw, got {text!r}")
        if match[2] == "w":
            return cls(int(match[1]))
        return cls(max(10, round(words_in(document) * int(match[1]) / 100)))

    def words(self, language: Language) -> str:
        """As the model is told."""
        sentences = round(self.target / _WORDS_A_SENTENCE)
        if self.name == "part" and 1 <= sentences <= len(_SENTENCES[language]):
            return _SENTENCES[language][sentences - 1]
        if self.name in _NAMED:
            return _PHRASES[language][self.name]
        return (
            f"about {self.target} words" if language == "en" else f"大约{round(self.target * _CHARACTERS_A_WORD)}个字"
        )

    @property
    def tokens(self) -> int:
        """The most that a pass may write."""
        return round(min(self.target, LONGEST_PASS) * 3) + 80

    @property
    def paragraphs(self) -> bool:
        """Whether the parts of a summary stand apart."""
        return self.target > LONGEST_PASS

    def reached(self, text: str) -> bool:
        """Whether a text has the wished length and its last sentence is whole."""
        return bool(_SENTENCE_END.search(text)) and words_in(text) >= self.target

    def parts(self) -> int:
        """How many parts a summary of a long text has."""
        return max(2, round(self.target / 27))

    def share(self, parts: int) -> Length:
        """For one of several parts that make up the summary."""
        return Length(min(LONGEST_PASS, max(_WORDS_A_SENTENCE, round(self.target / parts))), "part")

    @classmethod
    def of_a_passage(cls) -> Self:
        """For a passage whose summary will be combined with others'."""
        return cls(3 * _WORDS_A_SENTENCE, "part")


def words_in(text: str) -> float:
    """How long a text is in words; Chinese characters are parts of words."""
    rest, characters = HAN.subn(" ", text)
    return len(re.findall(r"\w+", rest)) + characters / _CHARACTERS_A_WORD
