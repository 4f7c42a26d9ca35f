"""`/summarize`, `/translate` and `/sentiment` in the line chat: a task's result is an answer there, too."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from engine.errors import UsageError
from engine.schema import Chunk, Coverage, Document
from tui.cli.inputs import as_read, read_file, with_text
from tui.pages import page_of
from tui.paths import at_home
from tui.task_words import WORDS, asked, asked_of, document_of, events, given, read_note

if TYPE_CHECKING:
    from tui.cli.line_chat import Chat
    from tui.talk import Turn
    from tui.task_words import TaskKind


def ask(chat: Chat, word: str, rest: str) -> None:
    """Ask for a task: on the file or the text after its word, else on the document that waits. Raises UsageError."""
    kind, documents = WORDS[word], list[Document]()
    said = given(kind, rest)
    argument = said.argument or ("medium" if kind == "summarize" else "")
    if said.path:
        _read(chat, kind, said.path)  # what is wrong with it is said before anything is asked
        shown = asked(kind, Path(said.path).name, argument, chat.say)
    elif said.text:
        shown = asked_of(kind, said.text, argument, chat.say)
    elif len(chat.pending) == 1:
        documents = chat.pending
        shown = asked(kind, Path(documents[0].name).name, argument, chat.say)
    else:
        count = f"{len(chat.pending)} wait" if chat.pending else "got none"
        raise UsageError(f"/{word} needs a file or a text, {count}", hint=f"/{word} notes.txt")
    question = chat.talk.ask(shown, documents)
    question.task = (kind, str(at_home(said.path).absolute()) if said.path else "", argument)
    chat.pending = [] if documents else chat.pending


def chunks(chat: Chat, question: Turn, notes: list[str]) -> Generator[Chunk, None, None]:
    """What a question that is a task brings; `notes` gets what is said of it."""
    assert question.task is not None
    kind = cast("TaskKind", question.task[0])
    for event in events(
        kind,
        chat.session,
        document_of(question, lambda path: _read(chat, kind, path, tell=True)),
        question.task[2],
        sampling=chat.run.sampling(temperature=0.0, max_tokens=1024),
        cache=chat.run.places.cache / "results.db",
        say=chat.say,
    ):
        if isinstance(event, Chunk):
            yield event
        elif isinstance(event, Coverage):
            notes.append(read_note(event, chat.say))


def _read(chat: Chat, kind: TaskKind, path: str, *, tell: bool = False) -> Document:
    options = chat.run.options
    document = with_text(read_file(str(at_home(path)), options.encoding, options.errors), path)
    if kind == "translate":  # marks stay as they are, a page's too
        return document
    return as_read(document, options.html) if tell else page_of(document, options.html) or document
