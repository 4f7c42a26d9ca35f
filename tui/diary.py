"""A running conversation on its way into the history: each turn as it is said, answers while they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.schema import Document, Message
from engine.tasks.answer import block
from tui.records import Entry, title_of
from tui.store import Store

EVERY = 1.0
"""Seconds between two saves of an answer that is still written: what a killed process may lose."""

Said = tuple[str, Sequence[tuple[str, str]]]
"""What a person typed, and name and text of the documents given with it."""


def message_of(entry: Entry) -> Message:
    """A kept message as the model is shown it: documents stand before the question."""
    blocks = [block(Document(name, text)) for name, text in entry.documents]
    return Message("user" if entry.role == "user" else "assistant", "\n\n".join([*blocks, entry.text]))


class Diary:
    """Follows a list of turns: what is added goes below what it follows, what is taken back stays as a sibling."""

    def __init__(self, store: Store, model: str, system: str | None = None) -> None:
        self.store, self._model, self._system = store, model, system
        self.conversation: int | None = None
        """Its id in the history, once something was said."""
        self._path: list[tuple[int, Message]] = []
        self._answer: int | None = None
        """The answer that is being written."""
        self._text = ""
        self._saved = 0.0

    @classmethod
    def resume(cls, store: Store, conversation: int, model: str) -> tuple[Diary, list[Message]]:
        """Go on with a kept conversation; its shown turns come with it. Raises UsageError."""
        kept = store.kept(conversation)
        diary = cls(store, model, kept.system)
        diary.conversation = conversation
        diary._path = [(entry.id, message_of(entry)) for entry in store.shown(conversation)]
        return diary, [message for _, message in diary._path]

    def follow(self, turns: Sequence[Message], said: Callable[[Message], Said], system: str | None) -> None:
        """Bring the history to these turns."""
        common = 0
        for (_, ours), theirs in zip(self._path, turns, strict=False):
            if ours != theirs:
                break
            common += 1
        if len(turns) == common == len(self._path) and system == self._system:
            return
        if self.conversation is None:
            if not turns:
                return
            self.conversation = self.store.create(title_of(said(turns[0])[0]), system=system, model=self._model)
        elif system != self._system:
            self.store.set_system(self.conversation, system)
        self._system = system
        if len(self._path) > common:
            self._path = self._path[:common]
            self.store.choose(self.conversation, self._end, None)
        for turn in turns[common:]:
            text, documents = said(turn)
            finish = "stop" if turn.role == "assistant" else None
            added = self.store.add(self.conversation, self._end, turn.role, text, documents=documents, finish=finish)
            self._path.append((added, turn))

    @property
    def _end(self) -> int | None:
        return self._path[-1][0] if self._path else None

    def begin(self, *, continued: bool) -> None:
        """An answer begins, or goes on (`continued`)."""
        self._answer = self._path[-1][0] if continued and self._path else None
        self._text = self._path[-1][1].content if continued and self._path else ""
        self._saved = time.monotonic()

    def hear(self, text: str) -> None:
        """A piece of it."""
        self._text += text
        if self.conversation is None:
            return
        now = time.monotonic()
        if self._answer is None:
            self._answer = self.store.add(self.conversation, self._end, "assistant", self._text)
        elif now - self._saved < EVERY:
            return
        else:
            self.store.update(self._answer, self._text)
        self._saved = now

    def end(
        self, turn: Message | None, finish: str, facts: dict[str, Any], ids: Sequence[int], logprobs: Sequence[float]
    ) -> None:
        """It is over and became this turn; None: nothing came of it."""
        answer, self._answer = self._answer, None
        if turn is None or answer is None:
            return
        self.store.finish(answer, turn.content, finish, facts=facts, ids=ids, logprobs=logprobs)
        self._path = [(id_, message) for id_, message in self._path if id_ != answer]
        self._path.append((answer, turn))
