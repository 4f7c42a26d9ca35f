"""What a task puts before its model: every conversation that goes through a session, while the model really answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pytest

    from engine.schema import Message
    from engine.session import Session


@dataclass
class Asked:
    """The conversations in the order in which they were asked, and how many streams are still open."""

    conversations: list[list[Message]] = field(default_factory=list)
    running: int = 0

    @property
    def texts(self) -> list[str]:
        """The last message of each conversation."""
        return [messages[-1].content for messages in self.conversations]

    def watch(self, session: Session, patch: pytest.MonkeyPatch) -> Asked:
        """Listen to a session from now on."""
        stream, stream_many = session.stream, getattr(session, "stream_many", None)

        def one(messages: Sequence[Message], *arguments: Any, **settings: Any) -> Iterator[Any]:
            self.conversations.append(list(messages))
            return self._counted(stream(messages, *arguments, **settings))

        def many(conversations: Iterable[Sequence[Message]], *arguments: Any, **settings: Any) -> Iterator[Any]:
            assert stream_many is not None
            return self._counted(stream_many(self._noted(conversations), *arguments, **settings))

        patch.setattr(session, "stream", one)
        if stream_many is not None:
            patch.setattr(session, "stream_many", many)
        return self

    def _noted(self, conversations: Iterable[Sequence[Message]]) -> Iterator[Sequence[Message]]:
        for messages in conversations:
            self.conversations.append(list(messages))
            yield messages

    def _counted(self, chunks: Iterator[Any]) -> Iterator[Any]:
        self.running += 1
        try:
            yield from chunks
        finally:
            self.running -= 1
