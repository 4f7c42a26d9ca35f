"""Training rows: conversations in JSONL, as tokens in the model's own chat format, and which of them are learnt.

A row is {"messages": [{"role", "content"}…]} with "train": "last" (unless told) or "all" for the assistant's turns
that count; or {"instruction", "context"?, "response"}; or {"text", "label"}, judged as `llm sentiment` would.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine.counter import with_controls
from engine.errors import EngineError, InputError, UsageError
from engine.manifest import sha256_of
from engine.schema import Document, Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from engine.chat_format import ChatFormat
    from engine.tokenizer import Tokenizer

ROLES = ("system", "user", "assistant")
_FORM = 'expected one JSON object a line: {"messages": […]}, or instruction and response, or text and label'


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row as it was read."""

    messages: tuple[Message, ...]
    every: bool = False
    """Whether all turns of the assistant are learnt, not only the last."""
    file: str = field(default="rows", compare=False)
    line: int = field(default=0, compare=False)
    """Where it was read, from 1."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as tokens."""

    ids: tuple[int, ...]
    learnt: tuple[int, ...]
    """Places, from 1, of the tokens that count: the assistant's words and the end of its turn."""


def read(document: Document) -> list[Conversation]:
    """The rows of a JSONL file. Raises InputError that names the line."""
    rows = []
    # Not splitlines: U+2028 and its like may stand inside JSON strings.
    for number, line in enumerate(document.text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(replace(_conversation(json.loads(line)), file=document.name, line=number))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(f"{document.name}, line {number}: {_wrong(error)}", hint=_FORM) from error
    if not rows:
        raise InputError(f"{document.name} holds no rows", hint=_FORM)
    return rows


def _wrong(error: Exception) -> str:
    """What is wrong with a row."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg} (character {error.pos + 1})"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def _conversation(row: Any) -> Conversation:
    if not isinstance(row, dict):
        raise TypeError(f"expected an object, got {row!r:.40}")
    if "messages" in row:
        if not isinstance(row["messages"], list):
            raise TypeError(f"messages should be a list, is {row['messages']!r:.40}")
        messages = tuple(map(_message, row["messages"]))
        if row.get("train", "last") not in ("last", "all"):
            raise ValueError(f"train should be last or all, is {row['train']!r:.40}")
        if not messages or messages[-1].role != "assistant":
            raise ValueError("the last message should be the assistant's")
        every = row.get("train") == "all"
        if messages[0].role == "assistant" and (every or len(messages) == 1):
            raise ValueError("the first message is the assistant's: it answers nothing")
        return Conversation(messages, every)
    if "instruction" in row:
        from engine.tasks.answer import prompt

        given = [Document("context", _text(row, "context"))] if row.get("context") else []
        return Conversation((*prompt(_text(row, "instruction"), given), Message("assistant", _text(row, "response"))))
    if "text" not in row:
        got = ", ".join(row)
        raise ValueError(f"expected the field messages, instruction or text, got {got or 'none':.60}")
    from engine.language import language_of
    from engine.tasks.sentiment import WORDS, question

    text, label = _text(row, "text"), _text(row, "label")
    words = WORDS[language_of(text)]
    if label not in words:
        raise ValueError(f"label should be one of {', '.join(words)}, is {label!r:.40}")
    asked = question(language_of(text), neutral=label == "neutral")
    return Conversation((asked.before[0], Message("user", text), Message("assistant", words[label])))


def _text(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} should be a text, is {value!r:.40}")
    return value


def _message(item: Any) -> Message:
    if not isinstance(item, dict):
        raise TypeError(f"a message should be an object, is {item!r:.40}")
    role, content = item["role"], item["content"]
    if role not in ROLES or not isinstance(content, str):
        raise ValueError(f"a message has the role {role!r:.20} and a content of type {type(content).__name__}")
    return Message(role, content)


def encode(conversation: Conversation, chat: ChatFormat, tokenizer: Tokenizer, end: int) -> Encoded:
    """The tokens of a row. An earlier turn counts where it stands as it would be generated.

    Raises InputError, which names the row, for what the tokenizer or the chat template refuse.
    """
    try:
        return _encode(conversation, chat, tokenizer, end)
    except EngineError as error:
        raise InputError(f"{conversation.file}, line {conversation.line}: {error.message}", hint=error.hint) from error


def _encode(conversation: Conversation, chat: ChatFormat, tokenizer: Tokenizer, end: int) -> Encoded:
    messages = conversation.messages
    turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
    counting = turns if conversation.every else turns[-1:]
    prompts = chat.encode_many([messages[:length] for length in counting])
    replies = [[*tokenizer.encode(messages[at].content), end] for at in counting]
    ids = [*prompts[-1], *replies[-1]]
    learnt: list[int] = []
    for start, reply in zip(map(len, prompts), replies, strict=True):
        if ids[start : start + len(reply)] == reply:
            learnt += range(start, start + len(reply))
    return Encoded(tuple(ids), tuple(learnt))


def end_of_turn(chat: ChatFormat, tokenizer: Tokenizer) -> int:
    """The token that ends the assistant's turn. Raises UsageError for a model that was not taught to chat."""
    if not chat.is_chat:
        raise UsageError("this is a base model: it has no end of a turn to learn", hint="choose an instruct model")
    messages = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    before, whole = chat.encode(messages[:1]), chat.encode(messages)
    return whole[len(before) + len(tokenizer.encode("b"))]


def turns(chat: ChatFormat, tokenizer: Tokenizer) -> str:
    """The turn markers, as the rows had them: a short conversation with its words left open."""
    messages = [Message("user", "{user}"), Message("assistant", "{assistant}"), Message("user", "{user}")]
    return with_controls(tokenizer, chat.encode(messages))


def file_record(path: Path, rows: int) -> dict[str, Any]:
    """What an adapter's manifest says of a file that it was trained on. Raises InputError."""
    try:
        return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path), "rows": rows}
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def text_record(document: Document, rows: int) -> dict[str, Any]:
    """The same of what can be read only once: stdin, a pipe."""
    data = document.text.encode("utf-8", "surrogatepass")
    return {"name": document.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rows": rows}


def split(rows: Sequence[Encoded], share: float, seed: int) -> tuple[list[Encoded], list[Encoded]]:
    """Rows to train on, and so large a share to measure with: which, only a row's own tokens and the seed say."""

    def place(row: Encoded) -> str:
        return hashlib.sha256(f"{seed} {row.ids}".encode()).hexdigest()

    order = sorted(rows, key=place)
    count = min(round(share * len(order)), len(order) - 1)
    return order[count:], order[:count]


def digest(rows: Iterable[Encoded]) -> str:
    """The sha256 of all rows as tokens: a run goes on only with the data that it began with."""
    total = hashlib.sha256()
    for row in rows:
        total.update(repr((row.ids, row.learnt)).encode())
    return total.hexdigest()


def steps_of(rows: Sequence[Encoded], step_tokens: int, epochs: int, seed: int) -> list[list[int]]:
    """Which rows each step takes: every row once an epoch, in an order of the epoch's own."""
    import random

    steps: list[list[int]] = []
    for epoch in range(epochs):
        order = list(range(len(rows)))
        random.Random(f"{seed} {epoch}").shuffle(order)
        step, tokens = list[int](), 0
        for row in order:
            step.append(row)
            tokens += len(rows[row].ids)
            if tokens >= step_tokens:
                steps.append(step)
                step, tokens = [], 0
        if step:
            steps.append(step)
    return steps


def passes_of(rows: Sequence[Encoded], pass_tokens: int) -> list[list[Encoded]]:
    """Rows of like length together, so that little is padded."""
    passes: list[list[Encoded]] = []
    for row in sorted(rows, key=lambda row: len(row.ids), reverse=True):
        if passes and (len(passes[-1]) + 1) * len(passes[-1][0].ids) <= pass_tokens:
            passes[-1].append(row)
        else:
            passes.append([row])
    return passes
