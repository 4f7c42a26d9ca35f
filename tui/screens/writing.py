"""Answers on their way: a question goes to the model's thread, what it says comes back, and the screen follows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.content import Content
from textual.screen import Screen

from engine.errors import EngineError, InputTooLong, ModelNotFound
from engine.schema import Document
from tui import messages
from tui.jobs import Answer
from tui.runner import Work
from tui.settings import seeded
from tui.talk import Talk, Turn, Writing
from tui.task_words import line_of
from tui.widgets.attachments import Attachments
from tui.widgets.prompt import Prompt
from tui.widgets.status import Status
from tui.widgets.text import one_line, visible
from tui.widgets.title_bar import TitleBar
from tui.widgets.transcript import Transcript
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from tui.app import LlmApp


REPAINT = 0.1
"""Seconds between repaints of a growing answer."""


class WritingScreen(Screen[None]):
    """Owns the open conversation and all answers that are being written, in other conversations too."""

    app: LlmApp

    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self.talk = talk
        self.pending: list[Document] = []
        """Documents for the next question."""
        self.writings: dict[int, Writing] = {}
        """The answers that are being written or wait for their turn, by job; in other conversations, too."""
        self.ended_at = -1e9
        """When an answer of the shown conversation last came to its own end."""

    async def on_mount(self) -> None:
        """Growing answers are drawn at a pace that leaves time for keys."""
        self.set_interval(REPAINT, self._repaint)
        self._recall_asked()
        await self.show()

    @property
    def prompt(self) -> Prompt:
        """Where the person writes."""
        return self.query_one(Prompt)

    @property
    def transcript(self) -> Transcript:
        """The shown path."""
        return self.query_one(Transcript)

    @property
    def status(self) -> Status:
        """The line about the model."""
        return self.query_one(Status)

    @property
    def answering(self) -> Turn | None:
        """The answer of this conversation that is being written or waits for its turn."""
        return next((writing.turn for writing in self.writings.values() if writing.talk is self.talk), None)

    async def show(self) -> None:
        """Draw the path as it is."""
        strings = self.app.strings
        models = self.app.models
        model = models.name or ("…" if models.installing else strings("greeting.no_model"))
        place = "$model" if models.installing else "[$warning]$model[/]"
        where = "greeting.server" if models.at_server else "greeting.here"
        said = strings("greeting", model=place, where=strings(where, place="$server"))
        if models.better:
            said += "\n\n" + strings("greeting.better", name=models.better)
        greeting = Content.from_markup(said, model=visible(model), server=visible(models.place.removesuffix("/api")))
        await self.transcript.show(self.talk.path, greeting)
        if self.app.left:  # meanwhile
            return
        self._mark_waiting()
        self.query_one(TitleBar).show(self.talk.title, self.app.models.name)
        self.app.values.fill_panel()
        self.app.meter.measure()
        self.refresh_bindings()  # there may be other versions now

    def _mark_waiting(self) -> None:
        """An answer that has no word yet says what it waits for, however one came to see it."""
        for at, writing in enumerate(self.writings.values()):
            if writing.talk is self.talk and (view := self.transcript.view_of(writing.turn)):
                view.waiting = writing.fresh and not writing.turn.text
                view.begun = writing.began or at == 0
                view.refresh_facts()

    def refuse_while_answering(self) -> None:
        """Raises EngineError while an answer is being written: the tree must not change below it."""
        if self.answering is not None:
            raise EngineError(self.app.strings("said.busy"))

    async def ask(self, text: str) -> None:
        """A question to the model. Raises EngineError."""
        self.refuse_while_answering()
        question = self.talk.ask(text, self.pending)
        self.prompt.sent_before.append(line_of(question))
        self.give([])
        await self.answer(question)

    def give(self, documents: list[Document]) -> None:
        """These documents with the next question, in place of those before."""
        self.pending = documents
        self.query_one(Attachments).show([document.name for document in documents])

    async def answer(self, question: Turn, *, start: str = "", continued: Turn | None = None) -> None:
        """Answer a question; `start`: how the answer begins; `continued`: what to go on with. Raises EngineError."""
        self.refuse_while_answering()
        if question.task and not start and continued is None:
            self.app.tasks.run(question)
            return
        turn = continued or self.talk.begin_answer(question, start)
        turn.go_on()
        fresh = not turn.text
        shown = self.talk.messages(question if fresh else turn)
        job = Answer(
            shown,
            seeded(self.app.values.sampling()),
            continued=not fresh,
            end_loops=self.app.settings["end_loops"],
        )
        await self.write(job, turn, one_line(question.text, 30))

    async def write(self, job: Work, turn: Turn, what: str) -> None:
        """Let a job write an answer, and show it."""
        self.begin(job, turn, what)
        await self.follow(turn)

    def begin(self, job: Work, turn: Turn, what: str) -> None:
        """Let a job write an answer in the shown conversation; it may have to wait for others."""
        ended, turn.model, turn.finish, turn.note = turn.finish, self.app.models.name, None, ""
        if isinstance(job, Answer):
            turn.sampling = {} if job.continued else job.sampling.to_json()
        before = next((one for one in self.writings.values() if one.brief or not job.brief), None)
        self.writings[job.key] = Writing(self.talk, turn, not turn.text, what, len(turn.text), ended, job.brief)
        self.app.memory.keep(self.talk)
        self.app.runner.submit(job)
        if before is not None:
            self.status.say(self.app.strings("status.waiting", what=before.what), kind="warning")

    async def follow(self, turn: Turn) -> None:
        """Draw the path with an answer that has just begun."""
        at_message = isinstance(self.focused, TurnView)
        await self.show()
        if at_message and (view := self.transcript.view_of(turn)):
            view.focus()  # the one that was chosen may be gone: the keys belong to the new version

    async def open(self, talk: Talk) -> None:
        """Another conversation in place of this one; an answer that is being written goes on behind it."""
        writing = next((one for one in self.writings.values() if one.talk.kept and one.talk.kept == talk.kept), None)
        self.talk = writing.talk if writing else talk
        self._recall_asked()
        self.app.meter.left_out = 0
        self.transcript.mark_left_out(0, [])
        await self.show()
        self.app.memory.list_again()
        self.prompt.focus()

    def _recall_asked(self) -> None:
        asked = [turn for turn in self.talk.path if turn.role == "user"]
        self.prompt.recall_from([line_of(turn) for turn in asked])

    def stop(self) -> bool:
        """End the answer that is being written; False if there is none."""
        keys = [key for key, writing in self.writings.items() if writing.talk is self.talk]
        for key in keys:
            self.app.runner.stop(key)
        return bool(keys)

    def forget(self, conversation: int) -> None:
        """End what is being written in a conversation that was deleted; nothing comes of it."""
        for key in [key for key, writing in self.writings.items() if writing.talk.kept == conversation]:
            self.app.runner.stop(key)
            del self.writings[key]
        if not self.writings:
            self.app.models.say_ready()

    # What the model's thread says

    def on_answer_began(self, event: messages.AnswerBegan) -> None:
        """The prompt is being read."""
        if (writing := self.writings.get(event.key)) is None:
            return
        writing.began = True
        turn = writing.turn
        turn.model = event.model or turn.model
        turn.identity, turn.device, turn.kernel = event.identity, event.device, event.kernel
        if event.left_out:  # another prompt than the whole path
            turn.sampling = {}
        if writing.talk is self.talk:
            self.status.say(self.app.strings("status.reading", count=len(self.talk.path) - 1), kind="accent")
            self.app.meter.left_out = event.left_out
            self.transcript.mark_left_out(event.left_out, self.talk.path)
            if view := self.transcript.view_of(turn):
                view.begun = True
                view.refresh_facts()

    def on_answer_grew(self, event: messages.AnswerGrew) -> None:
        """One more token; the repaint timer draws it."""
        if (writing := self.writings.get(event.key)) is None:
            return
        turn, chunk = writing.turn, event.chunk
        if (chunk.ids or chunk.text) and not turn.first_token:
            turn.first_token = event.elapsed
        turn.grow(chunk)
        if writing.talk is self.talk and (view := self.transcript.view_of(turn)):
            view.waiting = view.waiting and not chunk.text
            view.grow(chunk.text)

    def on_task_progressed(self, event: messages.TaskProgressed) -> None:
        """A task has done one more of its parts."""
        if writing := self.writings.get(event.key):
            writing.progress = f"{event.done}/{event.total}"

    async def on_answer_ended(self, event: messages.AnswerEnded) -> None:
        """The answer is whole, cut or stopped; whatever came is kept."""
        if writing := self.writings.get(event.key):
            writing.turn.note = event.note
            if event.stopped:
                writing.turn.finish = "stopped"
            await self._finish(event.key)

    async def on_job_failed(self, event: messages.JobFailed) -> None:
        """An error of an answer is told here; others go on to the app."""
        if event.key not in self.writings:
            return
        event.stop()
        self.writings[event.key].turn.finish = "error"
        error = event.error
        if isinstance(error, InputTooLong):
            error = InputTooLong(error.message, hint=self.app.strings("hint.too_long"))
        elif isinstance(error, ModelNotFound):
            error = ModelNotFound(self.app.strings("said.no_model"), hint=self.app.strings("hint.models"))
        await self._finish(event.key)
        self.app.tell(error)

    async def _finish(self, key: int) -> None:
        writing = self.writings.pop(key)
        turn, talk = writing.turn, writing.talk
        if talk is self.talk and turn.finish != "stopped":
            self.ended_at = time.monotonic()
        if talk is self.talk and (view := self.transcript.view_of(turn)):
            view.waiting = False
            await view.settle()
        if not turn.text and writing.fresh:
            self._take_back(talk, turn)
        elif len(turn.text) == writing.length and turn.finish == "stop":
            self.app.note(self.app.strings("said.nothing_more"))
        elif len(turn.text) == writing.length:
            turn.finish = writing.ended or turn.finish  # nothing was added
        self.app.memory.keep(talk)
        if talk is self.talk:
            await self.show()
            if self.app.settings["stats"] and turn.text and turn.output_tokens:
                self.app.show_stats(turn)
        if not self.writings:
            self.app.models.say_ready()
        self.app.memory.answered(talk)

    def _take_back(self, talk: Talk, turn: Turn) -> None:
        """An answer without a word leaves no trace; a question that has no other goes back to the prompt."""
        question, take_back = turn.parent, self.app.memory.keeper.take_back
        take_back(talk, turn)
        if question is None or question.children:
            return
        if question.task and question.task[1]:  # its words alone would ask something else
            take_back(talk, question)
            if turn.finish == "stopped":
                self.app.note(self.app.strings("said.task_stopped", what=one_line(question.text, 60)))
            return
        if self.prompt.text or talk is not self.talk:
            return
        self.give([Document(name, text) for name, text in question.documents])
        take_back(talk, question)
        self.prompt.give_back(line_of(question))
        if turn.finish == "stopped":
            self.app.note(self.app.strings("said.taken_back"))

    async def _repaint(self) -> None:
        self.app.memory.still_at(self.writings.values())
        writing = next((one for one in self.writings.values() if one.began), None)
        if writing is None:
            return
        self.status.say(self._doing(writing), kind="accent")  # before what is waited for: the answer may end meanwhile
        self.app.memory.keep_soon(writing.talk)
        if writing.talk is self.talk and (view := self.transcript.view_of(writing.turn)):
            await view.settle()
            view.refresh_facts()
            self.app.meter.measure()

    def _doing(self, writing: Writing) -> str:
        strings, turn = self.app.strings, writing.turn
        if writing.progress:
            text = strings("status.task", what=writing.what, progress=writing.progress)
        elif not turn.output_tokens:
            return strings("status.reading", count=len(writing.talk.path) - 1)
        else:
            text = strings("status.writing", rate=f"{turn.rate:.0f}" if turn.rate else "…")
        waiting = len(self.writings) - 1
        return text + (" · " + strings("status.queue", count=waiting) if waiting else "")
