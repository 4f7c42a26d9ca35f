"""The second round: what judges and what answers in few words comes again, with enough of the rest to keep it.

In the first round long replies outweigh short ones: of its learnt tokens, one in forty is a judgement.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from recipes import drawing, later, mixture, shares
from recipes.shares import Share

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.conversations import Conversation

DOZEN = 12
KEPT = (
    Share(2000, "summarize", own=True),
    Share(160, "summarize", own=False),
    Share(800, "qa.en", refused=False),
    Share(100, "qa.en", refused=True),
    Share(220, "qa.zh", refused=False),
    Share(40, "qa.zh", refused=True),
    Share(80, "translate", own=False),
    Share(150, "translate", own=True),
    Share(700, "chat", own=True),
    Share(250, "chat", own=False),
)


def build(data: Path, seed: int = 0) -> mixture.Mixture:
    """Drawn by the seed, of the first round's mixture and of our judged texts. Raises InputError for missing data."""
    random = Random(seed)
    rest = shares.taken(mixture.drawn(data).train, KEPT, random)
    return later.mixed(data, [*_judged(random), *rest], random)


def _judged(random: Random) -> list[Conversation]:
    """Our judged texts by the dozen, without the English ones that are hard to judge; and a third of the topics."""
    found: list[Conversation] = []
    for language in later.LANGUAGES:
        texts = drawing.once(later.easy(language))
        random.shuffle(texts)
        found += later.by_the_dozen(language, texts, DOZEN, random)
        found += drawing.topics(language, 1, random)[::3]
    return found
