"""The words that begin with a slash: one table for the line chat and the full-screen app. Says nothing of how."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from engine.errors import UsageError

Argument = Literal["none", "text", "path", "model", "setting", "word"]


@dataclass(frozen=True, slots=True)
class Command:
    """A word of the chat, without its slash."""

    name: str
    help: str
    usage: str = ""
    """What may follow it."""
    aliases: tuple[str, ...] = ()
    argument: Argument = "none"
    """What completes after it."""
    lines: bool = False
    """Whether what follows may be a text of several lines."""


COMMANDS = (
    Command("help", "list these words, or explain one", "[WORD]", ("?",), "word"),
    Command("exit", "leave (Ctrl-D on an empty line too)", "", ("quit", "bye")),
    Command("clear", "start a new conversation; the system prompt stays", "", ("new",)),
    Command("regen", "answer the last question again", "", ("retry",)),
    Command("continue", "go on with an answer that was cut"),
    Command("undo", "take back the last question and its answer"),
    Command("edit", "change the last question, here or in $EDITOR, and ask it again", "[TEXT]", (), "text"),
    Command("system", "show or set the system prompt; - removes it", "[TEXT|@FILE|-]", (), "text"),
    Command("model", "show the model or change to another", "[NAME]", (), "model"),
    Command("set", "show or change settings of this chat", "[KEY VALUE]", (), "setting"),
    Command("save", "keep this conversation", "[NAME|FILE.json]", (), "path"),
    Command("load", "take up a kept conversation; lists them without a name", "[NAME|FILE.json]", (), "path"),
    Command("export", "write the conversation to a file, .md or .json", "FILE", (), "path"),
    Command("copy", "copy the last answer, or the n-th from the end", "[N]"),
    Command("file", "give a document with the next question", "FILE", ("read", "upload"), "path"),
    Command(
        "summarize",
        "sum up a file or a text; short, long or 20% may stand first",
        "[FILE|TEXT]",
        (),
        "path",
        lines=True,
    ),
    Command("translate", "translate a file or a text, English or Chinese", "[FILE|TEXT]", (), "path", lines=True),
    Command("sentiment", "judge each line of a file or a text", "[FILE|TEXT]", ("judge",), "path", lines=True),
    Command("context", "how much of the context is used"),
    Command("stats", "timings of the last answer; on or off: after each", "[on|off]"),
    Command("compact", "put a summary in place of the conversation so far"),
    Command("multi", 'write several lines, ended by """ on a line of its own'),
)
_DIGITS = 18
"""Of a number that anything can have."""
_BY_WORD = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}


def words() -> list[str]:
    """Every word and alias with its slash, in the order of the table."""
    return [f"/{word}" for word in _BY_WORD]


def find(word: str) -> Command:
    """The command of a word or alias, slash or not. Raises UsageError that names the nearest."""
    bare = word.removeprefix("/").lower()
    if bare in _BY_WORD:
        return _BY_WORD[bare]
    near = difflib.get_close_matches(bare, _BY_WORD, n=1)
    hint = f"did you mean /{near[0]}?" if near else "/help lists the words"
    raise UsageError(f"unknown word /{bare}", hint=f"{hint} (//{bare} sends /{bare} to the model)")


def parse(line: str) -> tuple[Command, str] | None:
    """A line's command with the rest, or None for what goes to the model. Raises UsageError for an unknown word.

    Several lines are a command only where its word takes a text.
    """
    if not line.startswith("/") or line.startswith("//"):
        return None
    word, *rest = re.split(r"\s", line[1:], maxsplit=1)
    if "\n" in line and not (word.lower() in _BY_WORD and find(word).lines):
        return None
    return find(word), "".join(rest).strip()


def number_of(text: str) -> int | None:
    """A number from 1 that stands after a word; None for what is none that counts anything."""
    return int(text) or None if text.isdecimal() and len(text) <= _DIGITS else None


def unescaped(line: str) -> str:
    """What a line says to the model: `//x` sends `/x`."""
    return line[1:] if line.startswith("//") else line


def escaped(text: str) -> str:
    """The line that says a text to the model."""
    return f"/{text}" if text.startswith("/") else text
