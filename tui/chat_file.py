"""An open conversation as a file, for both front ends: JSON that comes back, Markdown for people."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from engine.errors import InputError, UsageError
from tui.paths import at_home, write_output, write_private
from tui.talk import Talk, Turn

FORMAT = 1


def to_json(talk: Talk, model: str) -> str:
    """The shown path as a JSON text; documents stand in their questions, as the model is shown them."""
    turns = [{"role": turn.role, "content": turn.shown_to_model().content} for turn in talk.path]
    data = {"format": FORMAT, "model": model, "system": talk.system, "messages": turns}
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def to_markdown(talk: Talk) -> str:
    """The shown path for people."""
    parts = [f"# {talk.title}"] if talk.title else []
    parts += [f"> {talk.system}".replace("\n", "\n> ")] if talk.system else []
    for turn in talk.path:
        parts.append(f"## {'You' if turn.role == 'user' else 'Model'}\n\n{turn.shown_to_model().content}")
    return "\n\n".join(parts) + "\n"


def from_json(text: str, name: str) -> Talk:
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
    talk = Talk(system)
    for turn in turns:
        talk.add(talk.tip, turn)
    return talk


def _turn(data: Any) -> Turn:
    if data["role"] not in {"user", "assistant"} or not isinstance(data["content"], str):
        raise ValueError("a message is neither user's nor assistant's text")
    return Turn(data["role"], data["content"], finish="stop" if data["role"] == "assistant" else None)


def place_of(name: str, folder: Path) -> Path:
    """Where a conversation of that name is kept; a path stays a path. Raises UsageError for a name that is no name."""
    if "/" in name or "\\" in name or name.endswith(".json"):
        return at_home(name)
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise UsageError(f"{name!r} can't be a name: letters, digits, space, . + - _ can")
    return folder / f"{name}.json"


def file_name(title: str) -> str:
    """A name for the file of a conversation: `A Fox: a tale` is `A Fox a tale.md`."""
    words = " ".join(re.sub(r"[^\w .+-]", " ", title).split())[:60].strip(" .")
    return f"{words or 'chat'}.md"


def kept(folder: Path) -> list[str]:
    """Names of the kept conversations, the newest first."""
    try:
        files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [path.stem for path in files]


def export(talk: Talk, model: str, path: Path) -> None:
    """Write the shown path where a person wants it, as its ending says. Raises InputError."""
    text = to_json(talk, model) if path.suffix == ".json" else to_markdown(talk)
    write_output(path, text.encode())


def save(talk: Talk, model: str, path: Path) -> None:
    """Keep a conversation, 0600, whole or not at all. Raises PlaceError."""
    write_private(path, to_json(talk, model).encode())
