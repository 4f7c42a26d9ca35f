"""What later rounds keep of the first, so that it stays known: so many of each kind, ours and others' apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.tasks.answer import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from recipes.conversations import Conversation


@dataclass(frozen=True, slots=True)
class Share:
    """So many conversations of a kind, at most."""

    count: int
    kind: str
    """A task, or a task in a language."""
    own: bool | None = None
    """Whether we wrote a part of them; None: either."""
    refused: bool | None = None
    """Whether the text is said not to answer; None: either."""

    def has(self, one: Conversation) -> bool:
        """Whether a conversation is of those meant."""
        own, refused = "own" in one.source.split("+"), one.messages[-1].content in REFUSALS.values()
        return one.kind.startswith(self.kind) and self.own in {None, own} and self.refused in {None, refused}


def taken(first: Sequence[Conversation], shares: Iterable[Share], random: Random) -> list[Conversation]:
    """Drawn of the first round for each share in turn."""
    return [one for share in shares for one in _drawn(first, share, random)]


def _drawn(first: Sequence[Conversation], share: Share, random: Random) -> list[Conversation]:
    """Each once."""
    once: dict[tuple[str, str], Conversation] = {}
    for one in filter(share.has, first):
        once.setdefault((one.messages[-2].content, one.messages[-1].content), one)
    return random.sample(list(once.values()), min(share.count, len(once)))
