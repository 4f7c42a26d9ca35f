"""The third round: texts that people judged, and texts that a larger model wrote and judged, for what the second knows.

The larger model is taught to judge first (`judge`): by people's judgements and ours, hard ones too, which it can bear.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

from recipes import drawing, later, mixture, seeds, shares
from recipes.conversations import judging_alone, sorting
from recipes.shares import Share
from recipes.sources import distinct, rows

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Language
    from recipes.conversations import Conversation
    from recipes.later import Pairs

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
    found = [*by_people(data, random)]
    for language in later.LANGUAGES:
        texts = [*seeds.judged(language, name="plain"), *seeds.judged(language, name="sentiment")]
        found += by_the_dozen(language, later.polar(texts), "own", random)
    return later.mixed(data, found, random)


def build(data: Path, seed: int = 0) -> mixture.Mixture:
    """Drawn by the seed. Raises InputError for missing data."""
    random = Random(seed)
    found = [*by_people(data, random), *messages(data, random)]
    for language in later.LANGUAGES:
        found += by_the_dozen(language, later.easy(language), "own", random)
        found += by_the_dozen(language, seeds.judged(language, name="written"), "written", random)
        found += drawing.topics(language, 1, random)[::2]
    found += shares.taken(mixture.drawn(data).train, KEPT, random)
    return later.mixed(data, found, random)


def by_people(data: Path, random: Random) -> list[Conversation]:
    """The UCI's sentences, by the dozen and, some of them, alone."""
    texts = [(row["text"].strip(), row["label"]) for row in distinct(rows(data, "uci"), "text")]
    alone = random.sample(texts, len(texts) // 4)
    return [
        *by_the_dozen("en", texts, "uci", random),
        *(judging_alone("en", text, label, text, "uci") for text, label in alone),
    ]


def messages(data: Path, random: Random) -> list[Conversation]:
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


def by_the_dozen(language: Language, texts: Pairs, source: str, random: Random) -> list[Conversation]:
    """Each text once; some of the English ones worn."""
    once = drawing.once(texts)
    random.shuffle(once)
    if language == "en":
        once = [(worn(text, random) if random.random() < WORN else text, label) for text, label in once]
    return later.by_the_dozen(language, once, DOZEN, random, source)


def worn(text: str, random: Random) -> str:
    """In lower case; half of the time with punctuation apart, as tokenizers of old leave it."""
    text = text.lower()
    if random.random() < 0.5:
        text = re.sub(r"([,;:!?()]|\.(?=\s|$)|'(?:s|re|ve|ll|d|m)\b)", r" \1 ", text.replace("n't", " n't"))
    return " ".join(text.split())
