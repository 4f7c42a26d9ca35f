"""Rows of our own: judged texts, sorted texts and dialogues, in plain text files that are easy to read and correct.

`sentiment.LANGUAGE.txt`, hard to judge, and `plain.LANGUAGE.txt`: `+ text`, `- text` or `= text` (neutral).
`topics.LANGUAGE.txt`: a label, a tab, a text.
`dialogues.LANGUAGE.txt`: turns begin with `> ` (a person) or `< ` (the reply); further lines of a turn with `| `; an
empty line ends a dialogue.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.schema import Message

if TYPE_CHECKING:
    from engine.schema import Language

FOLDER = Path(__file__).with_name("seeds")
SIGNS = {"+": "positive", "-": "negative", "=": "neutral"}


def judged(language: Language, folder: Path = FOLDER, name: str = "sentiment") -> list[tuple[str, str]]:
    """Texts and their sentiment. Raises InputError for a line of another form."""
    found = []
    for number, line in _lines(folder / f"{name}.{language}.txt"):
        if not line:
            continue
        sign, _, text = line.partition(" ")
        if sign not in SIGNS or not text.strip():
            raise InputError(f"{name}.{language}.txt line {number}: expected + - or = and a text, got {line!r:.60}")
        found.append((text.strip(), SIGNS[sign]))
    return found


def sorted_texts(language: Language, folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Texts and their topics. Raises InputError for a line of another form."""
    found = []
    for number, line in _lines(folder / f"topics.{language}.txt"):
        if not line:
            continue
        label, tab, text = line.partition("\t")
        if not (label.strip() and tab and text.strip()):
            raise InputError(f"topics.{language}.txt line {number}: expected a label, a tab, a text, got {line!r:.60}")
        found.append((text.strip(), label.strip()))
    return found


def dialogues(language: Language, folder: Path = FOLDER) -> list[list[Message]]:
    """Conversations that begin with a person and end with a reply. Raises InputError for any other."""
    found: list[list[Message]] = []
    turns: list[Message] = []
    for number, line in [*_lines(folder / f"dialogues.{language}.txt"), (0, "")]:
        mark, text = line[:2], line[2:]
        if not line:
            if turns:
                found.append(turns)
            turns = []
        elif mark.rstrip() == "|" and turns:  # the space of an empty line may have been trimmed
            turns[-1] = Message(turns[-1].role, f"{turns[-1].content}\n{text}")
        elif mark == ("< " if len(turns) % 2 else "> "):
            turns.append(Message("assistant" if mark == "< " else "user", text))
        else:
            raise InputError(f"dialogues.{language}.txt line {number}: a turn that can't stand there: {line!r:.60}")
    if odd := next((turns for turns in found if len(turns) % 2), None):
        raise InputError(f"dialogues.{language}.txt: no reply to {odd[-1].content!r:.60}")
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {error}") from error
    return [(number, line.rstrip()) for number, line in enumerate(text.split("\n"), 1)]
