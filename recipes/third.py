"""The third round: texts that people judged, and texts that a larger model wrote and judged, for what the second knows.

The larger model is taught to judge first (`judge`): by people's judgements and ours, hard ones too, which it can bear.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

from recipes import drawing, mixture, seeds, shares
from recipes.conversations import judging, judging_alone, sorting
from recipes.shares import Share
from recipes.sources import distinct, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.schema import Language
    from recipes.conversations import Conversation

    Pairs = list[tuple[str, str]]

LANGUAGES: tuple[Language, ...] = ("en", "zh")
DOZEN = 14
WORN = 0.3
"""Of the English texts: without capitals, as people type and as old corpora have them."""
HAM = 1500
"""Messages that are no spam, beside all that are."""
KEPT = (
    Share(1600, "summarize", own=True),
    Share(200, "summarize", own=False),
    Share(800, "qa.en", refused=False),
    Share(140, "qa.en", refused=True),
    Share(350, "qa.zh", refused=False),
    Share(120, "qa.zh", refused=True),
    Share(80, "translate", own=False),
    Share(200, "translate", own=True),
    Share(4000, "chat", own=True),
    Share(300, "chat", own=False),
)


def judge(data: Path, seed: int = 0) -> mixture.Mixture:
    """What the larger model is taught by before it judges what it wrote. Raises InputError for missing data."""
    random = Random(seed)
    found = [*_by_people(data, random)]
    for language in LANGUAGES:
        texts = [*seeds.judged(language, name="plain"), *seeds.judged(language, name="sentiment")]
        found += _by_the_dozen(language, _polar(texts), "own", random)
    return _mixed(data, found, random)


def build(data: Path, seed: int = 0) -> mixture.Mixture:
    """Drawn by the seed. Raises InputError for missing data."""
    random = Random(seed)
    found = [*_by_people(data, random), *_messages(data, random)]
    for language in LANGUAGES:
        hard = seeds.judged(language, name="sentiment") if language == "zh" else []
        found += _by_the_dozen(language, [*seeds.judged(language, name="plain"), *hard], "own", random)
        found += _by_the_dozen(language, seeds.judged(language, name="written"), "written", random)
        found += drawing.topics(language, 1, random)[::2]
    found += shares.taken(mixture.drawn(data).train, KEPT, random)
    return _mixed(data, found, random)


def _mixed(data: Path, conversations: Sequence[Conversation], random: Random) -> mixture.Mixture:
    kept, evaluated = mixture.unseen(data, conversations)
    mixed = list(kept)
    random.shuffle(mixed)
    return mixture.Mixture(tuple(mixed), left_out=tuple(evaluated))


def _by_people(data: Path, random: Random) -> list[Conversation]:
    """The UCI's sentences, by the dozen and, some of them, alone."""
    texts = [(row["text"].strip(), row["label"]) for row in distinct(rows(data, "uci"), "text")]
    alone = random.sample(texts, len(texts) // 4)
    return [
        *_by_the_dozen("en", texts, "uci", random),
        *(judging_alone("en", text, label, text, "uci") for text, label in alone),
    ]


def _messages(data: Path, random: Random) -> list[Conversation]:
    """Text messages, by the dozen, under labels as one might call them."""
    texts = [(row["text"].strip(), row["label"]) for row in distinct(rows(data, "sms"), "text")]
    spam = [text for text, label in texts if label == "spam"]
    ham = [text for text, label in texts if label == "ham"]
    both = [*((text, True) for text in spam), *((text, False) for text in random.sample(ham, min(HAM, len(ham))))]
    random.shuffle(both)
    found = []
    for part in drawing.parts(both, DOZEN):
        names = random.choice((("spam", "ham"), ("spam", "not spam"), ("advertising or fraud", "personal message")))
        labelled = [(text, names[0] if wanted else names[1]) for text, wanted in part]
        found.append(sorting(random.sample(names, 2), labelled, "en", "sms"))
    return found


def _by_the_dozen(language: Language, texts: Pairs, source: str, random: Random) -> list[Conversation]:
    """Each text once; neutral ones with twice as many others, where neutral is offered."""
    once = drawing.once(texts)
    random.shuffle(once)
    if language == "en":
        once = [(worn(text, random) if random.random() < WORN else text, label) for text, label in once]
    three, two = [pair for pair in once if pair[1] == "neutral"], _polar(once)
    if three:
        three += two[: 2 * len(three)]
        random.shuffle(three)
    return [
        judging(language, part, source)
        for group in (two, three)
        for part in (drawing.parts(group, DOZEN) if group else ())
    ]


def _polar(texts: Pairs) -> Pairs:
    return [pair for pair in texts if pair[1] != "neutral"]


def worn(text: str, random: Random) -> str:
    """In lower case; half of the time with punctuation apart, as tokenizers of old leave it."""
    text = text.lower()
    if random.random() < 0.5:
        text = re.sub(r"([,;:!?()]|\.(?=\s|$)|'(?:s|re|ve|ll|d|m)\b)", r" \1 ", text.replace("n't", " n't"))
    return " ".join(text.split())
