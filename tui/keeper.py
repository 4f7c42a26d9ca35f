"""Brings the open conversations into the history and back: whatever is said is on the disk within a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from engine.schema import FinishReason
from tui.records import Entry, title_of
from tui.store import Store
from tui.talk import Talk, Turn
from tui.task_words import KINDS

EVERY = 1.0
"""Seconds between two saves of a growing answer: what a killed process may lose."""
_FACTS = ("model", "prompt_tokens", "output_tokens", "cached_tokens", "first_token", "decode", "note", "identity",
          "device", "kernel", "sampling")  # fmt: skip


class Keeper:
    """Saves what differs from what was saved. Without a store (`--no-save`) it keeps nothing."""

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self._saved: dict[int, tuple[Any, ...]] = {}
        """By message: what the file has of it."""
        self._shown: dict[tuple[int, int | None], int | None] = {}
        self._systems: dict[int, str | None] = {}
        """By conversation: the system prompt that the file has."""
        self._nameless: set[int] = set()
        """Conversations of this run whose first question was sent before a model was there."""
        self._taken_back: deque[Callable[[], object]] = deque()
        """How to forget what the file still has of it."""
        self._last = 0.0

    def open(self, conversation: int) -> Talk:
        """A kept conversation, whole; one that has messages opens with some. Raises UsageError if it was deleted."""
        assert self.store is not None
        kept = self.store.kept(conversation)
        talk = Talk(kept.system)
        talk.kept, talk.title, talk.named = kept.id, kept.title, kept.named
        self._systems[kept.id] = kept.system
        turns: dict[int | None, Turn] = {None: talk.root}
        entries = self.store.messages(conversation)
        for entry in entries:
            parent = turns.get(entry.parent)
            if parent is None:
                continue
            turn = turn_of(entry)
            turn.parent = parent
            parent.children.append(turn)
            turns[entry.id] = turn
            self._saved[entry.id] = _state(turn)
        for parent_id, chosen in [(None, kept.chosen), *((entry.id, entry.chosen) for entry in entries)]:
            if parent_id in turns and chosen in turns and turns[chosen].parent is turns[parent_id]:
                turns[parent_id].chosen = turns[parent_id].children.index(turns[chosen])
            self._shown[conversation, parent_id] = chosen
        if talk.root.chosen is None and talk.root.children:
            # All was taken back, or an app of before was killed while the next answer had no word yet.
            talk.root.chosen = len(talk.root.children) - 1
        return talk

    def keep(self, talk: Talk) -> None:
        """Save what has changed. Raises StoreError."""
        if self.store is None:
            return
        while self._taken_back:
            self._taken_back[0]()
            self._taken_back.popleft()
        if not talk.root.children:
            return
        model = next((turn.model for turn in _all(talk.root) if turn.model), "")
        if talk.kept is None:
            first = talk.root.children[0]
            talk.title = talk.title or title_of(first.text)
            talk.kept = self.store.create(talk.title, system=talk.system, model=model)
            if talk.named:
                self.store.rename(talk.kept, talk.title)
            self._nameless |= set() if model else {talk.kept}
        elif self._systems.get(talk.kept) != talk.system:
            self.store.set_system(talk.kept, talk.system)
        if model and talk.kept in self._nameless:
            self.store.set_model(talk.kept, model)
            self._nameless.remove(talk.kept)
        self._systems[talk.kept] = talk.system
        for turn in _all(talk.root):
            self._keep_turn(talk.kept, turn)
        for turn in (talk.root, *_all(talk.root)):
            shown = turn.children[turn.chosen] if turn.chosen is not None else None
            child = shown.kept if shown is not None else None
            if (turn.kept is None and turn is not talk.root) or (shown is not None and child is None):
                continue  # an answer without a word is not in the file: what was shown before it stays
            if self._shown.get((talk.kept, turn.kept)) != child:
                self.store.choose(talk.kept, turn.kept, child)
                self._shown[talk.kept, turn.kept] = child
        self._last = time.monotonic()

    def keep_soon(self, talk: Talk) -> None:
        """The same while an answer grows, at most once a second."""
        if time.monotonic() - self._last >= EVERY:
            self.keep(talk)

    def take_back(self, talk: Talk, turn: Turn) -> None:
        """Take a turn out of a conversation; the next `keep` takes it out of the file.

        A conversation whose only question it was is as if it had not begun.
        """
        talk.drop(turn)
        if self.store is None:
            return
        if not talk.root.children and talk.kept is not None and not talk.named:
            self._taken_back.append(partial(self.store.delete, [talk.kept]))
            talk.kept, talk.title = None, ""
        elif turn.kept is not None:
            self._taken_back.append(partial(self.store.delete_message, turn.kept))

    def _keep_turn(self, conversation: int, turn: Turn) -> None:
        assert self.store is not None
        state = _state(turn)
        if turn.kept is None:
            if turn.role == "assistant" and not turn.text and not turn.children:
                return  # nothing was said yet
            assert turn.parent is not None
            finish = turn.finish if turn.role == "assistant" else "stop"
            turn.kept = self.store.add(
                conversation, turn.parent.kept, turn.role, turn.text, documents=turn.documents, finish=finish,
                facts=_facts(turn),
            )  # fmt: skip
            self._shown[conversation, turn.parent.kept] = turn.kept
        elif self._saved.get(turn.kept) == state:
            return
        elif turn.role == "assistant" and turn.finish is None:
            self.store.update(turn.kept, turn.text, facts=_facts(turn), ids=turn.ids, logprobs=turn.logprobs)
        if turn.role == "assistant" and turn.finish is not None and self._saved.get(turn.kept) != state:
            self.store.finish(
                turn.kept, turn.text, turn.finish, facts=_facts(turn), ids=turn.ids, logprobs=turn.logprobs
            )
        self._saved[turn.kept] = state


def _all(root: Turn) -> Iterator[Turn]:
    """Every turn below one, parents before children."""
    waiting = list(reversed(root.children))
    while waiting:
        turn = waiting.pop()
        yield turn
        waiting += reversed(turn.children)


def _state(turn: Turn) -> tuple[Any, ...]:
    return (len(turn.text), turn.finish, turn.output_tokens, turn.note)


def _facts(turn: Turn) -> dict[str, Any]:
    facts = {name: getattr(turn, name) for name in _FACTS}
    if turn.task:
        facts["task"] = list(turn.task)
    return {name: value for name, value in facts.items() if value}


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a fact is of the type that it always has: a conversation that came in may say anything."""
    return isinstance(value, int | float if isinstance(usual, float) else type(usual)) and not isinstance(value, bool)


def turn_of(entry: Entry) -> Turn:
    """A kept message as a turn, without its place in the tree."""
    facts = entry.facts
    turn = Turn(entry.role, entry.text, documents=entry.documents, kept=entry.id)
    for name in _FACTS:
        if name in facts and _is_like(facts[name], getattr(turn, name)):
            setattr(turn, name, facts[name])
    task = facts.get("task")
    if isinstance(task, list) and len(task) == 3 and all(isinstance(part, str) for part in task) and task[0] in KINDS:
        turn.task = cast("tuple[str, str, str]", tuple(task))
    turn.finish = cast("FinishReason", entry.finish or "stopped") if entry.role == "assistant" else None
    turn.ids, turn.logprobs = list(entry.ids), list(entry.logprobs)
    return turn
