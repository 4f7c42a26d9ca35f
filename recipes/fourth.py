"""The fourth round: everyday requests with replies that keep to who speaks to whom, and enough of the rest."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from recipes import drawing, later, mixture, seeds, shares, third
from recipes.conversations import chatting
from recipes.shares import Share

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Language

WRITTEN: dict[Language, int] = {"en": 8000, "zh": 3500}
"""Of the texts that a larger model wrote and judged."""
MESSAGES = 40
"""Conversations of a dozen text messages, spam and others."""
KEPT = (
    Share(200, "summarize", own=True),
    Share(70, "summarize", own=False),
    Share(210, "qa.en", refused=False),
    Share(70, "qa.en", refused=True),
    Share(100, "qa.zh", refused=False),
    Share(50, "qa.zh", refused=True),
    Share(60, "translate", own=False),
    Share(90, "translate", own=True),
    Share(160, "chat", own=True),
)


def build(data: Path, seed: int = 0) -> mixture.Mixture:
    """Drawn by the seed. Raises InputError for missing data."""
    random = Random(seed)
    messages = third.messages(data, random)
    found = random.sample(messages, min(MESSAGES, len(messages)))
    found += [one for one in third.by_people(data, random) if one.every]
    for language in later.LANGUAGES:
        found += [chatting(language, turns, "own") for turns in seeds.dialogues(language, name="everyday")]
        written = random.sample(seeds.judged(language, name="written"), WRITTEN[language])
        found += third.by_the_dozen(language, written, "written", random)
        found += drawing.topics(language, 1, random)[::6]
    found += shares.taken(mixture.drawn(data).train, KEPT, random)
    return later.mixed(data, found, random)
