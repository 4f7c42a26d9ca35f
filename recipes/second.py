"""The second round: what judges and what answers in few words comes again, with enough of the rest to keep it.

In the first round long replies outweigh short ones: of its learnt tokens, one in forty is a judgement.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from engine.tasks.answer import REFUSALS
from recipes import drawing, mixture, seeds
from recipes.conversations import judging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.schema import Language
    from recipes.conversations import Conversation

    Wanted = Callable[[Conversation], bool]

LANGUAGES: tuple[Language, ...] = ("en", "zh")
DOZEN = 12


def build(data: Path, seed: int = 0) -> mixture.Mixture:
    """Drawn by the seed, of the first round's mixture and of our judged texts. Raises InputError for missing data."""
    random = Random(seed)
    first = mixture.drawn(data).train
    rest = [one for count, wanted in _shares() for one in drawn(first, count, wanted, random)]
    kept, evaluated = mixture.unseen(data, [*_judged(random), *rest])
    mixed = list(kept)
    random.shuffle(mixed)
    return mixture.Mixture(tuple(mixed), left_out=tuple(evaluated))


def _shares() -> list[tuple[int, Wanted]]:
    """How many conversations of which kind."""
    return [
        (2000, lambda one: kind("summarize")(one) and "+own" in one.source),
        (160, lambda one: kind("summarize")(one) and "+own" not in one.source),
        (800, lambda one: kind("qa.en")(one) and not refused(one)),
        (100, lambda one: kind("qa.en")(one) and refused(one)),
        (220, lambda one: kind("qa.zh")(one) and not refused(one)),
        (40, lambda one: kind("qa.zh")(one) and refused(one)),
        (80, lambda one: one.source == "tatoeba"),
        (150, lambda one: kind("translate")(one) and one.source != "tatoeba"),
        (700, lambda one: kind("chat")(one) and one.source == "own"),
        (250, lambda one: kind("chat")(one) and one.source != "own"),
    ]


def refused(one: Conversation) -> bool:
    """Whether the text is said not to answer."""
    return one.messages[-1].content in REFUSALS.values()


def kind(name: str) -> Wanted:
    """Whether a conversation is of a task, or of a task in a language."""
    return lambda one: one.kind.startswith(name)


def drawn(first: Sequence[Conversation], count: int, wanted: Wanted, random: Random) -> list[Conversation]:
    """So many at most, each once."""
    once: dict[tuple[str, str], Conversation] = {}
    for one in filter(wanted, first):
        once.setdefault((one.messages[-2].content, one.messages[-1].content), one)
    return random.sample(list(once.values()), min(count, len(once)))


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
