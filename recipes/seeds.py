"""Rows of our own, in plain text files that are easy to read and correct.

`sentiment.LANGUAGE.txt`, hard to judge, `plain.LANGUAGE.txt`, and `written.LANGUAGE.txt`, by a larger model:
`+ text`, `- text` or `= text` (neutral).
`topics.LANGUAGE.txt`: a label, a tab, a text.
`dialogues.LANGUAGE.txt`, and `everyday.LANGUAGE.txt`, requests with a reply each: turns begin with `> ` (a person) or
`< ` (the reply); further lines of a turn with `| `; an empty line ends a dialogue.

What we wrote about texts of other sets names them by `digest`; the texts themselves stay in their sets:
`questions.LANGUAGE.txt`: digest of the passage, a tab, a question; where the passage answers it, a tab and the answer.
`translations.LANGUAGE.txt`, into that language: digest of the sentence, a tab, its translation.
`summaries.LANGUAGE.jsonl`: digests of one passage or several, and the summaries by their lengths.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.schema import Message
from recipes.sources import plain

if TYPE_CHECKING:
    from engine.schema import Language

FOLDER = Path(__file__).with_name("seeds")
SIGNS = {"+": "positive", "-": "negative", "=": "neutral"}


@dataclass(frozen=True, slots=True)
class Summaries:
    """What we wrote of a text."""

    texts: tuple[str, ...]
    """Digests of the passages that it consists of, in order."""
    cuts: tuple[int, ...] = ()
    """Where a single passage is cut into parts, in characters."""
    parts: tuple[str, ...] = ()
    """A sentence on each part."""
    whole: dict[str, str] = field(default_factory=dict)
    """By length: one (sentence), short, medium, long."""


def digest(text: str) -> str:
    """What a text of another set is named by: its letters and digits alone count."""
    return hashlib.sha256(plain(text).encode()).hexdigest()[:12]


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


def dialogues(language: Language, folder: Path = FOLDER, name: str = "dialogues") -> list[list[Message]]:
    """Conversations that begin with a person and end with a reply. Raises InputError for any other."""
    found: list[list[Message]] = []
    turns: list[Message] = []
    for number, line in [*_lines(folder / f"{name}.{language}.txt"), (0, "")]:
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
            raise InputError(f"{name}.{language}.txt line {number}: a turn that can't stand there: {line!r:.60}")
    if odd := next((turns for turns in found if len(turns) % 2), None):
        raise InputError(f"{name}.{language}.txt: no reply to {odd[-1].content!r:.60}")
    return found


def questions(language: Language, folder: Path = FOLDER) -> list[tuple[str, str, str]]:
    """Digest of a passage, question, and the answer, empty where the passage has none."""
    name = f"questions.{language}.txt"
    found = []
    for number, line in _lines(folder / name):
        if not line:
            continue
        passage, *said = line.split("\t")
        if not said or not said[0].strip() or len(said) > 2:
            raise InputError(f"{name} line {number}: expected a digest, a question, an answer, got {line!r:.60}")
        found.append((passage, said[0].strip(), said[1].strip() if len(said) > 1 else ""))
    return found


def translations(to: Language, folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Digest of a sentence, and what it is in the language `to`."""
    name = f"translations.{to}.txt"
    found = []
    for number, line in _lines(folder / name):
        sentence, tab, translation = line.partition("\t")
        if line and not (tab and translation.strip()):
            raise InputError(f"{name} line {number}: expected a digest, a tab, a translation, got {line!r:.60}")
        if line:
            found.append((sentence, translation.strip()))
    return found


def summaries(language: Language, folder: Path = FOLDER) -> list[Summaries]:
    """What we wrote of texts, in the order of the file."""
    name = f"summaries.{language}.jsonl"
    found = []
    for number, line in _lines(folder / name):
        if not line:
            continue
        try:
            row = json.loads(line)
            texts, cuts, parts = (tuple(row.pop(key, ())) for key in ("texts", "cuts", "parts"))
            found.append(Summaries(texts, cuts, parts, {str(key): str(value) for key, value in row.items()}))
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{name} line {number}: {error}") from error
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {error}") from error
    return [(number, line.rstrip()) for number, line in enumerate(text.split("\n"), 1)]
