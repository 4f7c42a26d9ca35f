"""What we wrote about the texts of other sets: questions without an answer, summaries of every length, translations.

`recipes.seeds` holds our words and names the texts by digest; here both come together, and become conversations.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from engine.tasks.answer import REFUSALS
from recipes.conversations import Conversation, asking, summarizing, summarizing_part, translating_alone
from recipes.seeds import Summaries, digest, questions, summaries, translations
from recipes.sources import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from random import Random

    from engine.schema import Language

SETS: dict[Language, tuple[str, ...]] = {"en": ("squad", "dolly"), "zh": ("cmrc",)}
"""Whose passages we wrote about."""
PIECE: dict[Language, re.Pattern[str]] = {
    "en": re.compile(r"(?<=[.!?])\s+(?=[A-Z])"),
    "zh": re.compile(r"(?<=[。！？])"),
}
"""Between two sentences."""


class Texts:
    """Passages of other sets and the sentences in them, by digest."""

    def __init__(self, data: Path, language: Language) -> None:
        self._language: Language = language
        self._passages: dict[str, tuple[str, str]] = {}
        for name in SETS[language]:
            for row in rows(data, name):
                if text := row["context"].strip():
                    self._passages.setdefault(digest(text), (text, name))

    def __contains__(self, named: str) -> bool:
        return named in self._passages

    def passage(self, named: str) -> tuple[str, str]:
        """The passage and whose it is."""
        text, name = self._passages[named]
        return text, f"{name}+own"

    def sentences(self, wanted: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Those wanted, each with whose it is."""
        looked_for, found = set(wanted), dict[str, tuple[str, str]]()
        for text, name in self._passages.values():
            for piece in PIECE[self._language].split(text.replace("\n", " ")):
                if (named := digest(piece)) in looked_for:
                    found[named] = piece.strip(), f"{name}+own"
        return found


def own_questions(texts: Texts, language: Language, names: Sequence[str], random: Random) -> Iterator[Conversation]:
    """Our questions about passages; most were written so that the passage does not answer them."""
    for named, question, answer in questions(language):
        if named in texts:
            passage, source = texts.passage(named)
            reply = answer or REFUSALS[language]
            yield asking(language, passage, question, reply, source, random.choice(names))


def own_translations(texts: dict[Language, Texts]) -> Iterator[Conversation]:
    """Each pair both ways: what we wrote is the translation once, and once what is translated."""
    to: Language
    back: Language
    for to, back in (("zh", "en"), ("en", "zh")):
        pairs = translations(to)
        known = texts[back].sentences(named for named, _ in pairs)
        for named, ours in pairs:
            if named in known:
                theirs, source = known[named]
                yield translating_alone(to, theirs, ours, source, theirs)
                yield translating_alone(back, ours, theirs, source, theirs)


def own_summaries(texts: Texts, language: Language) -> Iterator[Conversation]:
    """For each text every length that we wrote, under the words that ask for it."""
    for ours in summaries(language):
        if any(named not in texts for named in ours.texts):
            continue
        passages = [texts.passage(named)[0] for named in ours.texts]
        source = texts.passage(ours.texts[0])[1]
        group = passages[0]
        yield from _of_parts(ours, parts_of(ours, passages), language, source, group)
        whole = "\n\n".join(passages)
        if "one" in ours.whole:
            yield summarizing_part(language, whole, ours.whole["one"], source, group)
        for length in ("short", "medium", "long"):
            if length in ours.whole:
                yield summarizing(language, whole, ours.whole[length], length, source, group)
        if "medium" in ours.whole:
            yield summarizing(language, whole, ours.whole["medium"], "own", source, group)


def parts_of(ours: Summaries, passages: Sequence[str]) -> list[str]:
    """The parts that a text was cut into when it was summarized."""
    if not ours.cuts:
        return list(passages)
    bounds = [0, *ours.cuts, len(passages[0])]
    return [passages[0][first:last] for first, last in itertools.pairwise(bounds)]


def _of_parts(
    ours: Summaries, parts: Sequence[str], language: Language, source: str, group: str
) -> Iterator[Conversation]:
    if len(ours.parts) != len(parts):
        return
    for part, sentence in zip(parts, ours.parts, strict=True):
        yield summarizing_part(language, part, sentence, source, group)
    if "short" in ours.whole:
        yield summarizing_part(language, "\n\n".join(ours.parts), ours.whole["short"], source, group, combined=True)
