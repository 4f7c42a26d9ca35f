"""Tasks by a word with a slash, in the line chat and the app: what is given with the word, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from engine.schema import Chunk, Coverage, Document, LabelScores
from tui.commands import escaped
from tui.files import is_file

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from engine.errors import EngineError
    from engine.session import Session
    from tui.strings import Strings
    from tui.talk import Turn

TaskKind = Literal["summarize", "ask", "translate", "judge"]
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
WORDS: dict[str, TaskKind] = {"summarize": "summarize", "translate": "translate", "sentiment": "judge"}
_BAR = 20
_LABELS = ("positive", "negative")
_LENGTH = re.compile(r"(short|medium|long|[1-9]\d?%|[1-9]\d{0,4}w)(?!\S)")
_LIKE_A_PATH = re.compile(r"@\S+|[~.]?[/\\]\S+|\S+[/\\]\S*\.\w+|[\w.-]+\.[A-Za-z]\w{0,4}")


@dataclass(frozen=True, slots=True)
class Given:
    """What stands after a word: a summary's length, and a file or a text; or neither."""

    argument: str = ""
    path: str = ""
    text: str = ""


def given(kind: TaskKind, rest: str) -> Given:
    """A name of a file that is there is the file, and what can only be meant as one, so that it is looked for."""
    argument = ""
    if kind == "summarize" and (found := _LENGTH.match(rest)):
        argument, rest = found[1], rest[found.end() :].strip()
    path = rest.removeprefix("@")
    if "\n" not in rest and (is_file(path) or _LIKE_A_PATH.fullmatch(rest)):
        return Given(argument, path=path)
    return Given(argument, text=rest)


def asked(kind: TaskKind, name: str, argument: str, say: Strings) -> str:
    """The task as the words of a question."""
    return say(f"task.{kind}.asked", name=name, argument=say.get(f"length.{argument}", argument))


def asked_of(kind: TaskKind, text: str, argument: str, say: Strings) -> str:
    """The same with the text itself, which `document_of` finds there again."""
    return f"{asked(kind, say('task.this'), argument, say)}\n\n{text}"


def document_of(question: Turn, read: Callable[[str], Document]) -> Document:
    """What a question that is a task is about: its file as it is now, the document given with it, else its own text."""
    assert question.task is not None
    if path := question.task[1]:
        return read(path)
    if question.documents:
        name, text = question.documents[0]
        return Document(name, text)
    return Document("text", question.text.partition("\n\n")[2])


def line_of(question: Turn) -> str:
    """The line that asks a question: words, or a task on a file, a text or a given document."""
    if question.task is None:
        return escaped(question.text)
    kind, path, argument = question.task
    if kind == "ask":
        return f"@{path} {argument}"
    word = next(word for word, of in WORDS.items() if of == kind)
    text = path if path or question.documents else question.text.partition("\n\n")[2]
    return " ".join(part for part in (f"/{word}", argument, text) if part)


def events(
    kind: TaskKind,
    session: Session,
    document: Document,
    argument: str,
    *,
    sampling: SamplingConfig,
    cache: Path,
    say: Strings,
) -> Generator[Any, None, None]:
    """What a task says. `argument`: the question of `ask`, the length of `summarize`; `cache`: where results lie."""
    if kind == "summarize":
        yield from _summary(session, document, argument, sampling, cache)
    elif kind == "ask":
        from engine.tasks.answer import answer

        yield from answer(session, argument, [document], sampling, overflow="search")
    elif kind == "translate":
        from engine.tasks.translate import translate

        yield from translate(session, document, sampling=sampling)
    else:
        yield from judged(session, document, say)


def _summary(
    session: Session, document: Document, length: str, sampling: SamplingConfig, cache: Path
) -> Generator[Any, None, None]:
    from engine.result_cache import ResultCache
    from engine.tasks.summarize import summarize

    with ResultCache(cache) as memory:
        yield from summarize(session, document, sampling=sampling, length=length or "medium", memory=memory)


def judged(session: Session, document: Document, say: Strings) -> Generator[Chunk, None, None]:
    """The judgement of a text as a whole and, where it has several lines, of each: as Markdown, line by line."""
    from engine.tasks.sentiment import judge_many

    lines = [line.strip() for line in document.text.splitlines() if line.strip()]
    if len(lines) == 1:
        for _, result in judge_many(session, lines):
            yield Chunk(_verdict(result, say), finish_reason="stop")
        return
    early: dict[int, LabelScores | EngineError] = {}
    shown = 0
    for number, result in judge_many(session, lines):  # in the order in which they are known
        early[number] = result
        while shown in early:
            line = lines[shown] if len(lines[shown]) <= 60 else lines[shown][:59] + "…"
            yield Chunk(f"- {_verdict(early.pop(shown), say)} {line}\n")
            shown += 1
    yield Chunk("", finish_reason="stop")


def _verdict(result: LabelScores | Exception, say: Strings) -> str:
    if not isinstance(result, LabelScores):
        return f"({say.error(str(result))})"
    label = say(f"label.{result.label}") if result.label in _LABELS else result.label
    return f"**{label}** {result.score:.2f} `{'█' * round(result.score * _BAR):<{_BAR}}`"


def read_note(read: Coverage, say: Strings) -> str:
    """What was read, and what not."""
    if read.given_whole:
        return say("note.given_whole")
    parts, lines = f"{read.chunks_read}/{read.chunks_total}", f"{read.lines_read}/{read.lines_total}"
    note = say("note.read", parts=parts, lines=lines)
    if read.complete:
        return note
    for word, stretches in (("note.unread", read.unread_lines), ("note.partly", read.partly_read)):
        lines = ", ".join(f"{first}–{last}" if first != last else str(first) for first, last in stretches[:4])
        note += say(word, lines=lines) if lines else ""
    return note
