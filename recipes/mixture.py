"""The mixture: how much of what, split by passage, in an order whose beginning is as mixed as the whole."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from recipes import drawing, ours
from recipes.ours import Texts
from recipes.seeds import FOLDER
from recipes.sources import SOURCES, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from engine.schema import Language
    from recipes.conversations import Conversation

HELD = 0.04
"""Of the conversations: the loss on them is watched, they are never trained on."""
UNANSWERABLE = 0.2
"""Of the questions drawn; most of our own have no answer either."""
TURN_TOKENS = 5
"""Of the chat format around a turn; the system's text that some models add where there is none is not counted."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """What is trained on and what is held back."""

    train: tuple[Conversation, ...]
    held: tuple[Conversation, ...] = ()
    left_out: tuple[str, ...] = ()
    """Texts that an evaluation file has, too; without the conversations that hold them."""


def build(data: Path, seed: int = 0) -> Mixture:
    """The first round; the same seed gives the same mixture. Raises InputError for missing data."""
    whole = drawn(data, seed)
    train, evaluated = unseen(data, whole.train)
    held, more = unseen(data, whole.held)
    return Mixture(train, held, (*evaluated, *more))


def drawn(data: Path, seed: int = 0) -> Mixture:
    """Drawn, shuffled and split, with what evaluation files have. Raises InputError for missing data."""
    random = Random(seed)
    everything = _spread(list(_everything(data, random)), random)
    groups = sorted({conversation.group for conversation in everything if conversation.group})
    held_groups = set(random.sample(groups, round(len(groups) * HELD)))
    loose = [number for number, one in enumerate(everything) if not one.group]
    held_loose = set(random.sample(loose, round(len(loose) * HELD)))
    held = [n for n, one in enumerate(everything) if one.group in held_groups or n in held_loose]
    kept = set(held)
    return Mixture(tuple(one for n, one in enumerate(everything) if n not in kept), tuple(everything[n] for n in held))


def _spread(conversations: list[Conversation], random: Random) -> list[Conversation]:
    """Shuffled, with each kind spread evenly over the whole, so that every beginning holds its share of all."""
    kinds: dict[str, list[Conversation]] = {}
    for one in conversations:
        kinds.setdefault(one.kind, []).append(one)
    placed = []
    for alike in kinds.values():
        random.shuffle(alike)
        placed += [((at + random.random()) / len(alike), one) for at, one in enumerate(alike)]
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]


def _everything(data: Path, random: Random) -> Iterable[Conversation]:
    """So many rows of each source, which has more; our own rows all, some of them several times."""
    questions: dict[Language, int] = {"en": 4000, "zh": 3000}
    texts = {language: Texts(data, language) for language in questions}
    for language, count in questions.items():
        yield from drawing.sentiments(language, 1, random)
        yield from drawing.topics(language, 2, random)
        yield from drawing.questions(data, language, count, UNANSWERABLE, random)
        yield from ours.own_questions(texts[language], language, drawing.NAMES, random)
        yield from drawing.summaries(data, language, 1200, random)
        for _ in range(2):
            yield from ours.own_summaries(texts[language], language)
        for _ in range(3):
            yield from drawing.own_dialogues(language)
    for _ in range(2):
        yield from ours.own_translations(texts)
    yield from drawing.prose_summaries(data, 300, random)
    yield from drawing.translations(data, 2400, random)
    yield from drawing.instructions(data, 2000, random)
    yield from drawing.assistant_english(data, 600, random)
    yield from drawing.assistant_chinese(data, 600, random)
    yield from drawing.knowing_chinese(data, 60, random)


def tokens(conversation: Conversation, count: Callable[[str], int]) -> int:
    """Of all turns with the chat format around them."""
    return sum(count(message.content) + TURN_TOKENS for message in conversation.messages)


def head(conversations: Sequence[Conversation], budget: int, count: Callable[[str], int]) -> tuple[Conversation, ...]:
    """As many from the beginning as fit a budget of tokens."""
    kept, left = [], budget
    for conversation in conversations:
        left -= tokens(conversation, count)
        if left < 0:
            break
        kept.append(conversation)
    return tuple(kept)


SHORTEST = 12
"""Letters or digits under which two texts may be the same by chance."""


def unseen(data: Path, conversations: Iterable[Conversation]) -> tuple[tuple[Conversation, ...], list[str]]:
    """Conversations without those that hold a text of an evaluation file, case, spaces and punctuation aside, as a
    turn or a document in it; and these texts."""
    forbidden = {key for text in _evaluated(data) if len(key := plain(text)) >= SHORTEST}
    kept, found = [], []
    for conversation in conversations:
        texts = [message.content for message in conversation.messages]
        if conversation.group:
            texts.append(conversation.group)
        same = [text for text in texts if plain(text) in forbidden]
        found += same
        if not same:
            kept.append(conversation)
    return tuple(kept), found


def _evaluated(data: Path) -> Iterable[str]:
    """Every text of every evaluation row, and its lines."""
    for path in sorted((data / "eval").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                yield from _strings(json.loads(line))
    for path in sorted((data / "eval").glob("*.txt")):
        yield from path.read_text(encoding="utf-8").split("\n")


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def encoded(conversations: Iterable[Conversation]) -> bytes:
    """JSONL, a conversation a line."""
    return "".join(json.dumps(one.row(), ensure_ascii=False) + "\n" for one in conversations).encode()


def counts(conversations: Sequence[Conversation], count: Callable[[str], int]) -> dict[str, dict[str, int]]:
    """By kind and source: conversations, replies and tokens."""
    table: dict[str, Counter[str]] = {}
    for one in conversations:
        row = table.setdefault(f"{one.kind} {one.source}", Counter())
        row["conversations"] += 1
        row["replies"] += sum(message.role == "assistant" for message in one.messages)
        row["tokens"] += tokens(one, count)
    return {name: dict(table[name]) for name in sorted(table)}


def hashes(data: Path) -> dict[str, str]:
    """sha256 of every file that the mixture is made from."""
    files = [data / "sft" / f"{source.file}.jsonl.gz" for source in SOURCES.values()]
    try:
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in [*files, *sorted(FOLDER.iterdir())]
        }
    except OSError as error:
        raise InputError(f"can't be read: {error}") from error
