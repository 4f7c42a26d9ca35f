"""A text's sentences for extractive summaries, and how many of them fit a length."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.language import HAN
from engine.tasks.length import words_in
from engine.tasks.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ASCII_STOP = re.compile(rf"(?<=[^0-9A-Za-z\s][.!?;])(?={HAN.pattern})")
"""Chinese abstracts are often written with ASCII stops and no space after them."""


def split(text: str) -> list[str]:
    """Sentences without the space around them; a line break ends one."""
    found = (part for line in text.splitlines() for whole in sentences(line) for part in _ASCII_STOP.split(whole))
    return [sentence.strip() for sentence in found if sentence.strip()]


def fitting(order: Iterable[int], sentences_: Sequence[str], words: float) -> list[int]:
    """The first of the order that together have no more than so many words, at least one; in the text's order."""
    chosen: list[int] = []
    room = words
    for index in order:
        room -= words_in(sentences_[index])
        if room < 0 and chosen:
            break
        chosen.append(index)
    return sorted(chosen)


def joined(chosen: Iterable[int], sentences_: Sequence[str]) -> str:
    """The summary that these sentences are."""
    return " ".join(sentences_[index] for index in sorted(chosen))
