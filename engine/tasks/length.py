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
_SAID_IN_A_SENTENCE: dict[Language, int] = {"en": 22, "zh": 15}
"""Words that the default model's sentences have where so many sentences were asked for."""
_CHARACTERS_A_WORD = 1.7
"""Chinese characters that say what an English word says."""
_SENTENCE_END = re.compile(r"(?<![0-9A-Z])[.!?…][\"'”’)]*\s*$|[。！？…][”’」』）]*\s*$")
LONGEST_PASS = 400
"""Words that one pass can be trusted to write; a longer summary is put together from its parts'."""
_HELD_TO = 60
"""Words from which a length is held to; a shorter one is for one sentence or two, which end where they end."""
_ONE_BREATH = 150
"""Words up to which one pass sums up a text from its beginning to its end: then a small model copies the beginning."""
_WORDS_A_SECTION = 66
_SECTION_TOKENS = 160
"""A section of a text has more than that, or there is nothing to leave out."""
_LEAST = 0.6
"""Of the asked words, that a summary does not end before."""
_MOST_OF_TEXT = 0.55
"""Of a text's words, above which no summary is held to be longer: it would have to repeat the text."""
_MOST = 2 / 3
"""Of a text's words, at whose next sentence a summary ends that would else have room to repeat the text."""
_TOKENS_A_WORD = 1.25
"""Rather too few: an English word with its marks has 1.3 to 1.4 in the default model, 1.7 Chinese characters 1.2."""


@dataclass(frozen=True, slots=True)
class Length:
    """A wished length in words (Chinese: words of 1.7 characters)."""

    target: int
    name: str = ""
    """short, medium or long, where it was said so; `part` for a share of a summary."""
    least: int = 0
    """Words that the summary does not end before; 0: it ends where the model ends it."""
    most: int = 0
    """Words that it ends at, in a sentence or not; 0: the text is longer than what was asked for."""
    whole: bool = False
    """The text is as short as a summary of this length may be: there is nothing to leave out."""

    @classmethod
    def parse(cls, text: str, document: str) -> Self:
        """From short, medium, long, N% of the document or Nw. Raises UsageError."""
        match = re.fullmatch(r"(\d{1,9})(%|w)", text)
        if text not in _NAMED and (not match or int(match[1]) < 1):
            raise UsageError(f"a length is short, medium, long, N% or Nw, got {text!r}")
        words = words_in(document)
        if match is None:
            target = _NAMED[text]
        else:
            target = int(match[1]) if match[2] == "w" else max(10, round(words * int(match[1]) / 100))
        # In tens: texts of many sizes have few lengths, and those of one length are decoded together.
        least = int(_LEAST * min(target, words * _MOST_OF_TEXT) / 10) * 10 if target >= _HELD_TO else 0
        name = text if match is None else ""
        # What a number says is meant so; a paragraph is one as well where it has fewer words.
        whole = words <= (target * _LEAST if name else target)
        if whole or not words or words > target:
            return cls(target, name, least, whole=whole)
        return cls(int(words * _MOST / 10) * 10, name, least, int(words / 10) * 10, whole)

    def words(self, language: Language) -> str:
        """As the model is told."""
        most = len(_SENTENCES[language])
        if self.name == "part" and 1 <= round(self.target / _WORDS_A_SENTENCE) <= most:
            return _SENTENCES[language][min(most, round(self.target / _SAID_IN_A_SENTENCE[language])) - 1]
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
    def least_tokens(self) -> int:
        """What a pass does not end before."""
        return round(min(self.least, LONGEST_PASS) * _TOKENS_A_WORD)

    @property
    def paragraphs(self) -> bool:
        """Whether the parts of a summary stand apart."""
        return self.target > LONGEST_PASS

    def reached(self, text: str) -> bool:
        """Whether a text has the wished length and its last sentence is whole, or all the words it may have."""
        words = words_in(text)
        return (bool(_SENTENCE_END.search(text)) and words >= self.target) or 0 < self.most <= words

    def sections(self, tokens: int) -> int:
        """In how many passages a text that one pass could read is read, so that its end has its share as well."""
        if not self.least or self.target < _ONE_BREATH:
            return 1
        return max(1, min(round(self.target / _WORDS_A_SECTION), tokens // _SECTION_TOKENS))

    def parts(self) -> int:
        """How many parts a summary of a long text has."""
        return max(2, round(self.target / 27))

    def share(self, parts: int) -> Length:
        """For one of several parts that make up the summary."""
        target = min(LONGEST_PASS, max(_WORDS_A_SENTENCE, round(self.target / parts)))
        # One sentence is not drawn out: a small model then tells what a summary is.
        least = round(self.least / parts) if target >= 2 * _WORDS_A_SENTENCE else 0
        return Length(target, "part", min(target, least))

    @classmethod
    def of_a_passage(cls) -> Self:
        """For a passage whose summary will be combined with others'."""
        return cls(3 * _WORDS_A_SENTENCE, "part")


def words_in(text: str) -> float:
    """How long a text is in words; Chinese characters are parts of words."""
    rest, characters = HAN.subn(" ", text)
    return len(re.findall(r"\w+", rest)) + characters / _CHARACTERS_A_WORD
