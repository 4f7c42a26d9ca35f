"""Tasks in the chat: a file is summarized, asked about, translated or judged, and the result is an answer there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from engine.errors import EngineError, UsageError
from engine.schema import Document
from tui.files import is_file
from tui.paths import at_home
from tui.screens.asking import AskingScreen
from tui.screens.choosing import Choice, ChoosingScreen
from tui.settings import sampling
from tui.talk import Talk
from tui.task_jobs import Task
from tui.task_words import TaskKind, asked, asked_of, document_of, given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.app import LlmApp
    from tui.talk import Turn

LENGTHS = ("short", "medium", "long")


class Tasks:
    """What can be done with a file, as a question and its answer."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app

    def run(self, question: Turn) -> None:
        """The answer to a question that is a task. Raises InputError for a file that can't be read."""
        assert question.task is not None
        kind, _, argument = question.task
        task = self._job(cast("TaskKind", kind), document_of(question, lambda path: self._read(kind, path)), argument)
        chat = self._app.chat
        turn = chat.talk.begin_answer(question)
        chat.begin(task, turn, question.text)
        chat.call_later(chat.follow, turn)

    def _read(self, kind: str, path: str) -> Document:
        """The file of a task; a translation keeps a page's marks."""
        return Document(path, self._app.read_source(path)) if kind == "translate" else self._app.read_document(path)

    def _job(self, kind: TaskKind, document: Document, argument: str) -> Task:
        drawn = sampling(self._app.settings, temperature=0.0, max_tokens=1024)
        return Task(kind, document, argument, drawn, self._app.places.cache / "results.db", self._app.strings)

    def start(self, kind: TaskKind, path: str, argument: str = "") -> None:
        """A task on a file, as a question of its own at the end of the conversation. Raises EngineError."""
        chat = self._app.chat
        chat.refuse_while_answering()
        name = Path(path).name
        if self._read(kind, path).page:  # what is wrong with it is said before anything is changed
            self._app.note(self._app.strings("said.page", name=name))
        shown = f"{argument} ({name})" if kind == "ask" else asked(kind, name, argument, self._app.strings)
        self._begin(kind, shown, str(at_home(path).absolute()), argument)

    def _begin(self, kind: TaskKind, shown: str, path: str, argument: str, given: Sequence[Document] = ()) -> None:
        question = self._app.chat.talk.ask(shown, given)
        question.task = (kind, path, argument)
        self.run(question)

    def by_word(self, kind: TaskKind, rest: str) -> None:
        """A task on the file or the text after its word, else on what is attached; else a file is chosen.

        Raises EngineError.
        """
        chat, said = self._app.chat, given(kind, rest)
        argument = said.argument or ("medium" if kind == "summarize" else "")
        chat.refuse_while_answering()
        if said.path:
            self.start(kind, said.path, argument)
        elif said.text:
            self._begin(kind, asked_of(kind, said.text, argument, self._app.strings), "", argument)
        elif not chat.pending:
            self.choose(kind, said.argument)
        elif len(chat.pending) > 1:
            raise UsageError(self._app.strings("said.one_file", count=len(chat.pending)))
        else:
            [document] = chat.pending
            if is_file(document.name):
                self.start(kind, document.name, argument)
            else:  # what came through stdin
                shown = asked(kind, Path(document.name).name, argument, self._app.strings)
                self._begin(kind, shown, "", argument, [document])
            chat.action_detach(0)

    def compact(self) -> None:
        """A summary of the conversation, as the beginning of another; this one stays. Raises EngineError."""
        chat, talk = self._app.chat, self._app.chat.talk
        if len(talk.path) < 2:
            raise UsageError(self._app.strings("said.nothing_to_compact"))
        said = [f"{message.role}: {message.content}" for message in talk.messages() if message.role != "system"]
        task = self._job("summarize", Document("conversation", "\n\n".join(said)), "medium")
        said_to_do = self._app.strings("task.compact.asked")
        fresh = Talk(talk.system)
        fresh.title = talk.title
        turn = fresh.begin_answer(fresh.ask(said_to_do))

        async def begin() -> None:
            await chat.open(fresh)
            await chat.write(task, turn, said_to_do)

        chat.call_later(begin)

    def choose(self, kind: TaskKind, length: str = "") -> None:
        """A task: the file is chosen first, then what the task needs to know; `length`: of a summary, where it is."""

        def begin(path: str, argument: str) -> None:
            try:
                self.start(kind, path, argument)
            except EngineError as error:
                self._app.tell(error)

        def chosen(path: str | None) -> None:
            if path is None:
                return
            if kind == "ask":
                asking = AskingScreen(self._app.strings("title.task_question"), "", self._app.strings)
                self._app.push_screen(asking, lambda question: begin(path, question) if question else None)
            elif kind == "summarize" and not length:
                lengths = [Choice(name, self._app.strings(f"length.{name}")) for name in LENGTHS]
                asking_length = ChoosingScreen(self._app.strings("title.task_length"), lengths, self._app.strings)
                self._app.push_screen(asking_length, lambda length: begin(path, length) if length else None)
            else:
                begin(path, length)

        self._app.choose_file(chosen)
