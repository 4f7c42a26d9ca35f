"""What the rounds after the first share: judgements in conversations of many texts, and nothing that is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes import drawing, mixture, seeds
from recipes.conversations import judging

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from random import Random

    from engine.schema import Language
    from recipes.conversations import Conversation

    Pairs = list[tuple[str, str]]

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def easy(language: Language) -> Pairs:
    """Our judged texts without the English ones that are hard to judge."""
    hard = seeds.judged(language, name="sentiment") if language == "zh" else []
    return [*seeds.judged(language, name="plain"), *hard]


def by_the_dozen(
    language: Language, texts: Pairs, dozen: int, random: Random, source: str = "own"
) -> list[Conversation]:
    """About so many of the texts a conversation; neutral ones with twice as many others, where neutral is offered."""
    three, two = [pair for pair in texts if pair[1] == "neutral"], polar(texts)
    if three:
        three += two[: 2 * len(three)]
        random.shuffle(three)
    groups = [group for group in (two, three) if group]
    return [judging(language, part, source) for group in groups for part in drawing.parts(group, dozen)]


def polar(texts: Iterable[tuple[str, str]]) -> Pairs:
    """Those that are not neutral."""
    return [pair for pair in texts if pair[1] != "neutral"]


def mixed(data: Path, conversations: Sequence[Conversation], random: Random) -> mixture.Mixture:
    """Shuffled, without those that hold a text of an evaluation file."""
    kept, evaluated = mixture.unseen(data, conversations)
    shuffled = list(kept)
    random.shuffle(shuffled)
    return mixture.Mixture(tuple(shuffled), left_out=tuple(evaluated))
