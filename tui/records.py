"""What the history holds, as it comes out of the file: conversations, messages, hits; and their one-line forms."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation in a list."""

    id: int
    title: str
    named: bool
    """Whether a person or the model gave the title; else it is the beginning of the first question."""
    system: str | None
    model: str
    pinned: bool
    messages: int
    """In the whole tree."""
    chosen: int | None
    """The first message shown."""
    created: float
    updated: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it is kept."""

    id: int
    parent: int | None
    role: str
    text: str
    documents: tuple[tuple[str, str], ...] = ()
    """Name and text of what was given with a question."""
    finish: str | None = None
    """None while an answer is written, and of one that was killed."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What is known of an answer: model, identity, device, kernel, sampling, counts and timings; JSON types."""
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Of `ids`, natural."""
    chosen: int | None = None
    """The child that the shown path goes on with."""
    created: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found."""

    conversation: int
    title: str
    message: int
    role: str
    excerpt: str
    score: float
    """Higher is better; comparable within one search."""


KEPT = "id, title, named, system, model, pinned, messages, chosen, created, updated"
ENTRY = "id, parent, role, text, documents, finish, facts, ids, logprobs, chosen, created, updated"
"""Columns, in the order of the fields."""


def title_of(question: str, width: int = 60) -> str:
    """A title for a conversation that nobody named: the beginning of its first question."""
    line = " ".join(question.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def whole(text: str) -> str:
    """The text with halves of characters, which no file holds, as �; an export cut in an emoji has them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kept_of(row: tuple[Any, ...]) -> Kept:
    """A row of `KEPT`."""
    id_, title, named, system, model, pinned, *rest = row
    return Kept(id_, title, bool(named), system, model, bool(pinned), *rest)


def entry_of(row: tuple[Any, ...]) -> Entry:
    """A row of `ENTRY`."""
    id_, parent, role, text, documents, finish, facts, ids, logprobs, chosen, created, updated = row
    given = tuple((name, content) for name, content in json.loads(documents))
    numbers, chances = array("i", ids or b""), array("f", logprobs or b"")
    return Entry(
        id_, parent, role, text, given, finish, json.loads(facts), tuple(numbers), tuple(chances), chosen, created,
        updated,
    )  # fmt: skip
