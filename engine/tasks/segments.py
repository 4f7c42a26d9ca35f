"""Cuts documents into the segments that are translated, sentence by sentence, and what stays between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.tasks.inline import has_words, words_of
from engine.tasks.markup import pieces
from engine.tasks.passages import Count, split
from engine.tasks.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.schema import Language

_ENOUGH = 5000
"""Words to tell a language by."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a document: with a `source` to translate, else it stays as it is."""

    text: str
    """Of the document. A paragraph of several segments stands whole in the first."""
    source: str
    first_line: int
    last_line: int
    follows: bool = False
    """Whether it goes on with the paragraph of the one before."""
    tokens: int = 0
    unchanged: bool = False
    """Whether it is in the target language already."""


def segments(text: str, to: Language, count: Count, limit: int) -> Iterator[Segment]:
    """The document in order; only sentences of more than `limit` tokens are cut."""
    for piece in pieces(text):
        first, last = piece.first_line, piece.last_line
        if not has_words(piece.words):
            yield Segment(piece.text, "", first, last)
        elif _is_in(to, piece.words):
            yield Segment(piece.text, "", first, last, tokens=count(piece.words), unchanged=True)
        else:
            passages = (part for one in sentences(piece.words) for part in split(one, count, limit))
            for number, passage in enumerate(passages):
                source = passage.text.strip()
                yield Segment("" if number else piece.text, source, first, last, number > 0, passage.tokens)


def target_of(text: str) -> Language:
    """The other language than the text's own; its code and addresses don't count."""
    chinese = latin = 0
    for piece in pieces(text):
        found = words_of(piece.words)
        chinese, latin = chinese + found[0], latin + found[1]
        if chinese + latin > _ENOUGH:
            break
    return "en" if chinese > latin else "zh"


def _is_in(language: Language, words: str) -> bool:
    """Whether words are in a language already; a foreign name or word among them doesn't matter."""
    chinese, latin = words_of(words)
    return chinese > latin if language == "zh" else chinese * 4 < latin
