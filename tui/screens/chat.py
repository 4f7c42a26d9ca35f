"""The chat: owns the open conversation and the answers on their way. Widgets show, the model's thread posts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Button, Input, OptionList

from engine.errors import EngineError, InputTooLong
from engine.schema import Document
from tui import commands, messages
from tui.jobs import Answer
from tui.runner import Work
from tui.screens import deeds
from tui.screens.editing import EditingScreen
from tui.settings import seeded
from tui.talk import Talk, Turn, Writing
from tui.widgets.attachments import Attachments
from tui.widgets.hints import Hints
from tui.widgets.panel import Panel
from tui.widgets.prompt import Prompt
from tui.widgets.status import Status
from tui.widgets.suggestions import Suggestions
from tui.widgets.text import one_line
from tui.widgets.title_bar import TitleBar
from tui.widgets.transcript import Transcript
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from tui.app import LlmApp

REPAINT = 0.1
"""Seconds between repaints of a growing answer."""


class ChatScreen(Screen[None]):
    """Transcript, prompt and the lines around them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "key.stop", id="stop", show=False),
        Binding("ctrl+n", "new", "key.new", id="new"),
        Binding("ctrl+r", "history", "key.history", id="history"),
        Binding("f1", "help", "key.help", id="help"),
        Binding("f2", "panel", "key.panel", id="panel"),
        Binding("f3", "models", "key.models", id="models", show=False),
        Binding("ctrl+c", "interrupt", "key.interrupt", id="interrupt", show=False, priority=True),
        Binding("alt+left", "last_turn('previous')", "key.sibling_previous", id="sibling_previous", show=False),
        Binding("alt+right", "last_turn('next')", "key.sibling_next", id="sibling_next", show=False),
        Binding("ctrl+y", "copy_last", "key.copy_last", id="copy_last", show=False),
        Binding("pageup", "page(-1)", "key.page_up", id="page_up", show=False, priority=True),
        Binding("pagedown", "page(1)", "key.page_down", id="page_down", show=False, priority=True),
    ]
    app: LlmApp

    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self.talk = talk
        self.pending: list[Document] = []
        """Documents for the next question."""
        self.writings: dict[int, Writing] = {}
        """The answers that are being written or wait for their turn, by job; in other conversations, too."""

    def compose(self) -> ComposeResult:
        """Everything from top to bottom."""
        strings = self.app.strings
        yield TitleBar(strings)
        with Horizontal(id="body"):
            with Vertical(id="centre"):
                yield Transcript(strings)
            yield Panel(strings)
        yield Suggestions(strings)
        yield Attachments()
        with Vertical(id="prompt-box"):
            yield Prompt(strings("prompt.placeholder"))
        yield Status(strings)
        yield Hints(strings)

    async def on_mount(self) -> None:
        """The prompt waits at once; the model comes when it is there."""
        self.set_interval(REPAINT, self._repaint)
        self.prompt.focus()
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
        await self.transcript.show(self.talk.path, strings("greeting", model=self.app.model_name or "…"))
        self.query_one(TitleBar).show(self.talk.title, self.app.model_name)
        self.app.measure()

    def refuse_while_answering(self) -> None:
        """Raises EngineError while an answer is being written: the tree must not change below it."""
        if self.answering is not None:
            raise EngineError(self.app.strings("said.busy"))

    # What a person wrote

    @on(Prompt.Sent)
    async def _sent(self, event: Prompt.Sent) -> None:
        text = event.text.strip()
        try:
            if "\n" not in text and commands.parse(text):
                self.prompt.write("")
                await self.ask_word(text)
            else:
                await self.ask(commands.unescaped(text))
        except EngineError as error:
            self.app.tell(error)

    async def ask_word(self, line: str) -> None:
        """Do what a line with a slash says; errors are told."""
        try:
            if command := commands.parse(line):
                await deeds.obey(self, *command)
        except EngineError as error:
            self.app.tell(error)

    async def ask(self, text: str) -> None:
        """A question to the model. Raises EngineError."""
        self.refuse_while_answering()
        question = self.talk.ask(text, self.pending)
        self.prompt.sent_before.append(text)
        self.prompt.write("")
        self.pending = []
        self.query_one(Attachments).show([])
        await self.answer(question)

    async def answer(self, question: Turn, *, start: str = "", continued: Turn | None = None) -> None:
        """Answer a question; `start`: how the answer begins; `continued`: what to go on with. Raises EngineError."""
        self.refuse_while_answering()
        if question.task and not start and continued is None:
            self.app.run_task(self, question)
            return
        turn = continued or self.talk.begin_answer(question, start)
        fresh = not turn.text
        shown = self.talk.messages(question if fresh else turn)
        await self.write(
            Answer(shown, seeded(self.app.sampling()), continued=not fresh), turn, one_line(question.text, 30)
        )

    async def write(self, job: Work, turn: Turn, what: str) -> None:
        """Let a job write an answer; it may have to wait for others."""
        turn.model, turn.finish, turn.note = self.app.model_name, None, ""
        if isinstance(job, Answer):
            turn.sampling = {} if job.continued else job.sampling.to_json()
        writing = Writing(self.talk, turn, not turn.text, what)
        before = next(iter(self.writings.values()), None)
        self.writings[job.key] = writing
        self.app.keep(self.talk)
        await self.show()
        if view := self.transcript.view_of(turn):
            view.waiting = writing.fresh
            view.refresh_facts()
        self.app.runner.submit(job)
        if before is not None:
            self.status.say(self.app.strings("status.waiting", what=before.what), kind="warning")

    # What the model's thread says

    def on_answer_began(self, event: messages.AnswerBegan) -> None:
        """The prompt is being read."""
        if (writing := self.writings.get(event.key)) is None:
            return
        writing.began = True
        turn = writing.turn
        turn.identity, turn.device, turn.kernel = event.identity, event.device, event.kernel
        if event.left_out:  # another prompt than the whole path
            turn.sampling = {}
        if writing.talk is self.talk:
            self.status.say(self.app.strings("status.reading", count=len(self.talk.path) - 1), kind="accent")
            self.app.left_out = event.left_out
            self.transcript.mark_left_out(event.left_out, self.talk.path)

    def on_answer_grew(self, event: messages.AnswerGrew) -> None:
        """One more token; the repaint timer draws it."""
        if (writing := self.writings.get(event.key)) is None:
            return
        turn, chunk = writing.turn, event.chunk
        if (chunk.ids or chunk.text) and not turn.output_tokens:
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
        await self._finish(event.key)
        self.app.tell(error)

    async def _finish(self, key: int) -> None:
        writing = self.writings.pop(key)
        turn, talk = writing.turn, writing.talk
        if talk is self.talk and (view := self.transcript.view_of(turn)):
            view.waiting = False
            await view.settle()
        if not turn.text and writing.fresh:
            self._take_back(talk, turn)
        self.app.keep(talk)
        if talk is self.talk:
            await self.show()
        if not self.writings:
            self.app.say_ready()
        self.app.answered(talk)

    def _take_back(self, talk: Talk, turn: Turn) -> None:
        """An answer without a word leaves no trace; a question that has no other goes back to the prompt."""
        question = turn.parent
        self.app.drop(talk, turn)
        if question is None or question.children or self.prompt.text or talk is not self.talk or question.task:
            return
        self.pending = [Document(name, text) for name, text in question.documents]
        self.query_one(Attachments).show([name for name, _ in question.documents])
        self.app.drop(talk, question)
        self.prompt.write(question.text)
        if turn.finish == "stopped":
            self.app.note(self.app.strings("said.taken_back"))

    async def _repaint(self) -> None:
        writing = next((one for one in self.writings.values() if one.began), None)
        if writing is None:
            return
        turn = writing.turn
        if writing.talk is self.talk and (view := self.transcript.view_of(turn)):
            await view.settle()
            view.refresh_facts()
            self.app.measure()
        self.status.say(self._doing(writing), kind="accent")
        self.app.keep_soon(writing.talk)

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

    # What can be done with a turn

    @on(TurnView.Asked)
    async def _asked(self, event: TurnView.Asked) -> None:
        await self.do(event.what, event.turn)

    async def action_turn(self, what: str) -> None:
        """The same, by mouse, for the turn that was clicked."""
        if isinstance(self.focused, TurnView):
            await self.do(what, self.focused.turn)

    async def action_last_turn(self, what: str) -> None:
        """The same, from the prompt, for the last turn."""
        if self.talk.path:
            await self.do(what, self.talk.tip)

    async def do(self, what: str, turn: Turn) -> None:
        """A wish about a turn; errors are told."""
        try:
            await deeds.TURN_DEEDS[what](self, turn)
        except EngineError as error:
            self.app.tell(error)

    async def walk(self, turn: Turn, step: int) -> None:
        """Show another version of a turn."""
        self.refuse_while_answering()
        other = self.talk.walk(turn, step)
        if other is not turn:
            focused = isinstance(self.focused, TurnView)
            await self.show()
            self.app.keep(self.talk)
            if focused and (view := self.transcript.view_of(other)):
                view.focus()

    def edit(self, turn: Turn) -> None:
        """Change a question or an answer: the old version stays beside it. Raises EngineError."""
        self.refuse_while_answering()

        async def changed(text: str | None) -> None:
            if text is None or text == turn.text:
                return
            try:
                fresh = self.talk.edit(turn, text)
                if turn.role == "user":
                    await self.answer(fresh)
                else:
                    self.app.keep(self.talk)
                    await self.show()
            except EngineError as error:
                self.app.tell(error)

        title = "title.edit_question" if turn.role == "user" else "title.edit_answer"
        self.app.push_screen(EditingScreen(self.app.strings(title), turn.text, self.app.strings), changed)

    async def open(self, talk: Talk) -> None:
        """Another conversation in place of this one; an answer that is being written goes on behind it."""
        writing = next((one for one in self.writings.values() if one.talk.kept and one.talk.kept == talk.kept), None)
        self.talk = writing.talk if writing else talk
        self.app.left_out = 0
        self.transcript.mark_left_out(0, [])
        await self.show()
        self.prompt.focus()

    # Keys

    def stop(self) -> bool:
        """End the answer that is being written; False if there is none."""
        keys = [key for key, writing in self.writings.items() if writing.talk is self.talk]
        for key in keys:
            self.app.runner.stop(key)
        return bool(keys)

    def action_stop(self) -> None:
        """Esc stops; with nothing to stop it goes between the prompt and the last message."""
        if self.stop():
            return
        views = list(self.query(TurnView))
        if self.prompt.has_focus and views:
            views[-1].focus()
        else:
            self.prompt.focus()

    def action_interrupt(self) -> None:
        """Ctrl+C stops; marked text is copied; a draft is thrown away; else the app ends."""
        if self.stop():
            return
        if text := self.get_selected_text() or self.prompt.selected_text:
            self.app.copy(text)
        elif self.prompt.text:
            self.prompt.write("")
        else:
            self.app.exit()

    async def action_new(self) -> None:
        """Another conversation; this one is kept."""
        await self.open(Talk(self.talk.system))

    def action_help(self) -> None:
        """F1."""
        self.app.show_help()

    def action_models(self) -> None:
        """F3."""
        self.app.show_models()

    async def action_copy_last(self) -> None:
        """Copy the last answer."""
        await self.by_name("copy")

    def action_page(self, step: int) -> None:
        """Scroll the transcript wherever the focus is."""
        if step < 0:
            self.transcript.scroll_page_up()
        else:
            self.transcript.scroll_page_down()

    def action_history(self) -> None:
        """Ctrl+R."""
        try:
            self.app.show_history()
        except EngineError as error:
            self.app.tell(error)

    def action_panel(self) -> None:
        """The side panel comes or goes."""
        self.toggle_class("panel-open")
        if self.has_class("panel-open"):
            self.app.fill_panel()
        elif isinstance(self.focused, Input | Button):
            self.prompt.focus()

    @on(Panel.ValueGiven)
    def _value_given(self, event: Panel.ValueGiven) -> None:
        self.app.give_value(event.name, event.text)

    @on(Panel.ModelAsked)
    def _model_asked(self) -> None:
        self.app.show_models()

    @on(Panel.SystemAsked)
    async def _system_asked(self) -> None:
        await self.by_name("system")

    async def by_name(self, word: str) -> None:
        """What a word with a slash does; errors are told."""
        await self.ask_word(f"/{word}")

    async def on_last(self, what: str) -> None:
        """A wish about the chosen turn, else about the last answer; errors are told."""
        chosen = self.focused.turn if isinstance(self.focused, TurnView) else None
        try:
            await self.do(what, chosen or deeds.last_turn(self, "assistant"))
        except EngineError as error:
            self.app.tell(error)

    # Words with a slash, files

    @on(Prompt.Changed)
    def _draft_changed(self) -> None:
        self.query_one(Suggestions).offer(self.prompt.text)
        self.app.measure()

    @on(Prompt.CompletionAsked)
    def _complete(self) -> None:
        if word := self.query_one(Suggestions).best():
            self.prompt.write(f"/{word} ")

    @on(OptionList.OptionSelected, "#suggestions")
    def _suggested(self, event: OptionList.OptionSelected) -> None:
        self.prompt.write(f"/{event.option.id} ")
        self.prompt.focus()

    @on(Prompt.EditorAsked)
    def _edit_outside(self) -> None:
        self.app.edit_outside(self.prompt)

    @on(Prompt.AttachmentAsked)
    def _choose_file(self) -> None:
        self.app.choose_file(self.attach_at_cursor)

    def attach_at_cursor(self, path: str | None) -> None:
        """A file in place of the @ that asked for it."""
        if path is None:
            return
        row, column = self.prompt.cursor_location
        if self.prompt.document.get_line(row)[:column].endswith("@"):
            self.prompt.delete((row, column - 1), (row, column))
        try:
            self.attach(path)
        except EngineError as error:
            self.app.tell(error)

    def action_detach(self, number: int) -> None:
        """Take a file away from the next question."""
        if number < len(self.pending):
            del self.pending[number]
            self.query_one(Attachments).show([other.name for other in self.pending])
            self.app.measure()

    def attach(self, path: str) -> None:
        """Give a document with the next question. Raises EngineError."""
        document = self.app.read_document(path)
        self.pending.append(document)
        self.query_one(Attachments).show([other.name for other in self.pending])
        self.app.note(self.app.strings("said.attached", name=one_line(path, 60), count=self.app.count(document.text)))
        self.app.measure()
