"""The second round: what judges and what answers in few words comes again, with enough of the rest to keep it.

In the first round long replies outweigh short ones: of its learnt tokens, one in forty is a judgement.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from recipes import drawing, mixture, seeds, shares
from recipes.conversations import judging
from recipes.shares import Share

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Language
    from recipes.conversations import Conversation

LANGUAGES: tuple[Language, ...] = ("en", "zh")
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
    first = mixture.drawn(data).train
    rest = shares.taken(first, KEPT, random)
    kept, evaluated = mixture.unseen(data, [*_judged(random), *rest])
    mixed = list(kept)
    random.shuffle(mixed)
    return mixture.Mixture(tuple(mixed), left_out=tuple(evaluated))


def _judged(random: Random) -> list[Conversation]:
    """Our judged texts by the dozen, without the English ones that are hard to judge; and a third of the topics."""
    found: list[Conversation] = []
    for language in LANGUAGES:
        hard = seeds.judged(language, name="sentiment") if language == "zh" else []
        texts = drawing.once([*seeds.judged(language, name="plain"), *hard])
        random.shuffle(texts)
        three = [pair for pair in texts if pair[1] == "neutral"]
        two = [pair for pair in texts if pair[1] != "neutral"]
        if three:
            three += two[: 2 * len(three)]
            random.shuffle(three)
        for group in (two, three):
            found += [judging(language, part) for part in (drawing.parts(group, DOZEN) if group else ())]
        found += drawing.topics(language, 1, random)[::3]
    return found
