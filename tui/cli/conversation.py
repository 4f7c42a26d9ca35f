"""A conversation of the line chat: its turns, given documents, and how it is kept in a file. No terminal, no model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import InputError, UsageError
from engine.schema import Document, Message
from engine.tasks.answer import block
from tui.paths import write_private

FORMAT = 1


@dataclass
class Conversation:
    """Turns of user and assistant, alternating; the system prompt apart."""

    system: str | None = None
    turns: list[Message] = field(default_factory=list)
    pending: list[Document] = field(default_factory=list)
    """Documents for the next question."""
    _typed: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict, repr=False, compare=False)
    """By a turn's content: what was typed, and the documents given with it."""

    def messages(self) -> list[Message]:
        """What the model is shown."""
        return [*([Message("system", self.system)] if self.system else []), *self.turns]

    def ask(self, question: str) -> None:
        """Add a question, with the documents given for it."""
        blocks = [block(document) for document in self.pending]
        content = "\n\n".join([*blocks, question])
        self._typed[content] = (question, tuple((document.name, document.text) for document in self.pending))
        self.turns.append(Message("user", content))
        self.pending = []

    def said(self, turn: Message) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What was typed for a turn, and the documents (name and text) given with it."""
        return self._typed.get(turn.content, (turn.content, ())) if turn.role == "user" else (turn.content, ())

    def answer(self, text: str, *, continued: bool = False) -> None:
        """Add an answer, or what continues the last one."""
        if continued:
            text = self.turns.pop().content + text
        self.turns.append(Message("assistant", text))

    def drop_answer(self) -> None:
        """Take back the last answer, so that its question can be answered again. Raises UsageError."""
        if not self.turns:
            raise UsageError("nothing was asked yet")
        if self.turns[-1].role == "assistant":
            self.turns.pop()

    def drop_question(self) -> str:
        """Take back the last question and its answer; returns the question. Raises UsageError."""
        self.drop_answer()
        return self.turns.pop().content if self.turns else ""

    def answers(self) -> list[str]:
        """All answers, the newest first."""
        return [turn.content for turn in reversed(self.turns) if turn.role == "assistant"]

    def to_json(self, model: str) -> str:
        """The conversation as a JSON text."""
        turns = [{"role": turn.role, "content": turn.content} for turn in self.turns]
        data = {"format": FORMAT, "model": model, "system": self.system, "messages": turns}
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"

    def to_markdown(self) -> str:
        """The conversation for people."""
        parts = [f"> {self.system}".replace("\n", "\n> ")] if self.system else []
        parts += [f"## {'You' if turn.role == 'user' else 'Model'}\n\n{turn.content}" for turn in self.turns]
        return "\n\n".join(parts) + "\n"


def from_json(text: str, name: str) -> Conversation:
    """A kept conversation. Raises InputError if it is none."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        turns = [_turn(turn) for turn in data["messages"]]
        system = data["system"]
        if system is not None and not isinstance(system, str):
            raise TypeError("the system prompt is no text")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{name} is no kept conversation: {error}") from error
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if [turn.role for turn in turns] != expected[: len(turns)]:
        raise InputError(f"{name}: the turns of user and assistant do not alternate")
    return Conversation(system, turns)


def _turn(data: Any) -> Message:
    if data["role"] not in {"user", "assistant"} or not isinstance(data["content"], str):
        raise ValueError("a message is neither user's nor assistant's text")
    return Message(data["role"], data["content"])


def place_of(name: str, folder: Path) -> Path:
    """Where a conversation of that name is kept; a path stays a path. Raises UsageError for a name that is no name."""
    if "/" in name or "\\" in name or name.endswith(".json"):
        return Path(name).expanduser()
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise UsageError(f"{name!r} can't be a name: letters, digits, space, . + - _ can")
    return folder / f"{name}.json"


def kept(folder: Path) -> list[str]:
    """Names of the kept conversations, the newest first."""
    try:
        files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [path.stem for path in files]


def save(conversation: Conversation, model: str, path: Path) -> None:
    """Keep a conversation, 0600, whole or not at all. Raises PlaceError."""
    write_private(path, conversation.to_json(model).encode())
