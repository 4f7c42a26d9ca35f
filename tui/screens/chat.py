"""The chat: transcript, prompt, and what a person does there by key, mouse, word or file."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList

from engine.errors import EngineError
from engine.schema import Document
from tui import commands
from tui.files import is_file
from tui.screens import deeds
from tui.screens.editing import EditingScreen
from tui.screens.history_list import HistoryList
from tui.screens.writing import WritingScreen
from tui.talk import Talk, Turn
from tui.widgets.attachments import Attachments
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.panel import Panel
from tui.widgets.prompt import Prompt
from tui.widgets.status import Status
from tui.widgets.suggestions import Suggestions
from tui.widgets.text import one_line
from tui.widgets.title_bar import TitleBar
from tui.widgets.transcript import Transcript
from tui.widgets.turn_view import TurnView

LATE = 1.0
"""Seconds after an answer's own end in which Esc and Ctrl+C were still meant to stop it."""
WIDE = 110
"""Columns from which there is room for the conversations beside the chat."""


class ChatScreen(WritingScreen):
    """Transcript, prompt and the lines around them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("stop", "stop", show=False),
        bound("new", "new"),
        bound("history", "history"),
        bound("help", "help"),
        bound("panel", "panel"),
        bound("models", "models", show=False),
        bound("sidebar", "sidebar", show=False),
        bound("interrupt", "interrupt", show=False, priority=True),
        bound("sibling_previous", "last_turn('previous')", show=False),
        bound("sibling_next", "last_turn('next')", show=False),
        bound("copy_last", "copy_last", show=False),
        bound("suspend", "suspend", show=False),
        bound("page_up", "page(-1)", show=False, priority=True),
        bound("page_down", "page(1)", show=False, priority=True),
    ]
    AUTO_FOCUS = "#prompt"  # else the first thing that can have it has it for a moment: a button of the panel
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012  (Textual declares it so)
    sidebar: HistoryList | None = None

    def compose(self) -> ComposeResult:
        """Everything from top to bottom."""
        strings = self.app.strings
        yield TitleBar(strings)
        with Horizontal(id="body"):
            if (store := self.app.memory.keeper.store) is not None:
                self.sidebar = HistoryList(store, strings, notes=False)
                yield self.sidebar
            with Vertical(id="centre"):
                yield Transcript(strings)
            yield Panel(strings)
        yield Suggestions(strings)
        yield Attachments()
        with Vertical(id="prompt-box"):
            yield Prompt(strings("prompt.placeholder"), strings.keys)
        yield Status(strings)
        yield Hints(strings)

    async def on_mount(self) -> None:
        """The prompt waits at once; the model comes when it is there."""
        self.prompt.focus()

    # What a person wrote

    @on(Prompt.Sent)
    async def _sent(self, event: Prompt.Sent) -> None:
        text = event.text.strip()
        try:
            if command := commands.parse(text):
                await deeds.obey(self, *command)
                self.prompt.sent_before.append(text)
            else:
                self._attach_named(text)
                await self.ask(commands.unescaped(text))
        except EngineError as error:
            self.prompt.give_back(event.text)
            self.app.tell(error)

    async def obey(self, line: str) -> None:
        """What a line with a slash does, wherever it was asked for; errors are told."""
        try:
            if command := commands.parse(line):
                await deeds.obey(self, *command)
        except EngineError as error:
            self.app.tell(error)

    # What can be done with a turn

    @on(TurnView.Asked)
    async def _asked(self, event: TurnView.Asked) -> None:
        await self.do_to(event.turn, event.what)

    async def action_last_turn(self, what: str) -> None:
        """A wish about the last turn, by a key that works from the prompt."""
        if self.talk.path:
            await self.do_to(self.talk.tip, what)

    async def do_to_chosen(self, what: str) -> None:
        """A wish about the chosen turn, else about the last answer; errors are told."""
        chosen = self.focused.turn if isinstance(self.focused, TurnView) else None
        try:
            await self.do_to(chosen or deeds.last_turn(self, "assistant"), what)
        except EngineError as error:
            self.app.tell(error)

    async def do_to(self, turn: Turn, what: str) -> None:
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
            self.app.memory.keep(self.talk)
            if focused and (view := self.transcript.view_of(other)):
                view.focus()

    def edit(self, turn: Turn) -> None:
        """Change a question or an answer: the old version stays beside it. Raises EngineError."""
        self.refuse_while_answering()
        at_message = isinstance(self.focused, TurnView)

        async def changed(text: str | None) -> None:
            if text is None or text == turn.text:
                return
            shown = turn
            try:
                shown = self.talk.edit(turn, text)
                if turn.role == "user":
                    await self.answer(shown)
                else:
                    self.app.memory.keep(self.talk)
                    await self.show()
            except EngineError as error:
                self.app.tell(error)
            if at_message and (view := self.transcript.view_of(shown)):
                view.focus()  # the view that had it may be gone: the keys belong to the version that is shown

        title = "title.edit_question" if turn.role == "user" else "title.edit_answer"
        self.app.push_screen(EditingScreen(self.app.strings(title), turn.text, self.app.strings), changed)

    # Stopping, leaving, keys that others carry out

    def action_stop(self) -> None:
        """Esc stops; with nothing to stop it goes between the prompt and the last message.

        One that comes just after the end was meant to stop: whoever types on must not find letters to be commands.
        """
        if self.stop() or (self.prompt.has_focus and self._just_ended):
            return
        views = list(self.query(TurnView))
        if self.prompt.has_focus and views:
            views[-1].focus()
        else:
            self.prompt.focus()

    @property
    def _just_ended(self) -> bool:
        return time.monotonic() - self.ended_at < LATE

    def action_interrupt(self) -> None:
        """Ctrl+C stops; marked text is copied; a draft is thrown away, which undo takes back; else the app ends."""
        if self.stop():
            return
        if text := self.get_selected_text() or self.prompt.selected_text:
            self.app.copy(text)
        elif self.prompt.text or self.pending:
            if self.prompt.text:
                self.prompt.write("")
            self.give([])
            self.app.meter.measure()
        elif not self._just_ended:  # it was meant to stop
            self.app.exit()

    async def action_new(self) -> None:
        """Another conversation; this one is kept."""
        await self.open(Talk(self.talk.system))

    def action_help(self) -> None:
        """Every key and word, on a screen of its own."""
        self.app.show_help()

    def action_models(self) -> None:
        """The models that are here, and those that can be pulled."""
        self.app.models.show()

    async def action_copy_last(self) -> None:
        """Copy the last answer."""
        await self.obey("/copy")

    def action_suspend(self) -> None:
        """To the shell, until `fg`."""
        self.app.to_the_shell()

    def action_page(self, step: int) -> None:
        """Scroll the transcript wherever the focus is."""
        if step < 0:
            self.transcript.scroll_page_up()
        else:
            self.transcript.scroll_page_down()

    # The conversations and the panel, beside the chat

    def action_history(self) -> None:
        """The conversations, to open one."""
        try:
            self.app.memory.show()
        except EngineError as error:
            self.app.tell(error)

    def action_sidebar(self) -> None:
        """The list of conversations: shown, gone to, or hidden; on a narrow terminal it opens over the chat."""
        if self.sidebar is None or not self.has_class("-wide"):
            self.action_history()
        elif not self.sidebar.display:
            self.app.values.show_sidebar(True)
            self.sidebar.query_one(Input).focus()
        elif self.sidebar.has_focus_within:
            self.app.values.show_sidebar(False)
            self.prompt.focus()
        else:
            self.sidebar.query_one(Input).focus()

    def action_panel(self) -> None:
        """The side panel: shown, gone to, or hidden."""
        panel = self.query_one(Panel)
        if not self.has_class("panel-open"):
            self.show_panel()
            self.app.values.remember(panel=True)
            panel.enter()
        elif panel.has_focus_within:
            self.remove_class("panel-open")
            self.prompt.focus()
            self.app.values.remember(panel=False)
        else:
            panel.enter()

    def show_panel(self) -> None:
        """The side panel, without going there."""
        self.add_class("panel-open")
        self.app.values.fill_panel()

    @on(Panel.ValueGiven)
    def _value_given(self, event: Panel.ValueGiven) -> None:
        self.app.values.give(event.name, event.text)

    @on(Panel.ModelAsked)
    def _model_asked(self) -> None:
        self.app.models.show()

    @on(Panel.SystemAsked)
    async def _system_asked(self) -> None:
        await self.obey("/system")

    # What is being written: words with a slash, the editor

    @on(Prompt.Changed)
    def _draft_changed(self) -> None:
        self.query_one(Suggestions).offer(self.prompt.text)
        self.app.meter.measure()

    @on(Prompt.CompletionAsked)
    def _complete(self) -> None:
        if word := self.query_one(Suggestions).best():
            self.prompt.write(f"/{word} ")

    @on(OptionList.OptionSelected, "#suggestions")
    def _suggested(self, event: OptionList.OptionSelected) -> None:
        self.prompt.write(f"/{event.option.id} ")
        self.prompt.focus()

    @on(Prompt.ShellAsked)
    def _to_the_shell(self) -> None:
        self.app.to_the_shell()

    @on(Prompt.EditorAsked)
    def _edit_outside(self) -> None:
        self.app.edit_outside(self.prompt)

    # Files for the next question

    @on(Prompt.AttachmentAsked)
    def _choose_file(self) -> None:
        if found := self._named_at_cursor():  # else a person who types fast is past it
            self.app.choose_file(self.attach_at_cursor, found[1])

    def _named_at_cursor(self) -> re.Match[str] | None:
        """The @ before the cursor, and what of a path stands after it."""
        row, column = self.prompt.cursor_location
        return re.search(r"(?<!\S)@(\S*)$", self.prompt.document.get_line(row)[:column])

    def attach_at_cursor(self, path: str | None) -> None:
        """A file in place of the @ that asked for it."""
        if path is None:
            return
        row, column = self.prompt.cursor_location
        if found := self._named_at_cursor():
            self.prompt.delete((row, found.start()), (row, column))
        try:
            self.attach(path)
        except EngineError as error:
            self.app.tell(error)

    @on(Prompt.DetachmentAsked)
    def _detach_last(self) -> None:
        if self.pending:
            self.action_detach(len(self.pending) - 1)

    def action_detach(self, number: int) -> None:
        """Take a file away from the next question."""
        if number < len(self.pending):
            self.give(self.pending[:number] + self.pending[number + 1 :])
            self.app.meter.measure()

    def _attach_named(self, text: str) -> None:
        """Files that a text names with an @, pasted or typed in one go. Raises EngineError."""
        for path in re.findall(r"(?<!\S)@(\S+)", text):
            if is_file(path):
                self.attach(path)
            elif "/" in path or "." in path:
                self.app.note(self.app.strings("said.no_file", name=one_line(path, 60)))

    def attach(self, path: str) -> None:
        """Give a document with the next question. Raises EngineError."""
        if any(other.name == path for other in self.pending):
            return
        document = self.app.read_document(path)
        self.give([*self.pending, document])
        self.app.meter.measure()
        self.app.run_worker(self._say_attached(document, self.app.meter.of_document(document.text)))

    async def _say_attached(self, document: Document, tokens: Awaitable[int]) -> None:
        count = await tokens
        said = "said.attached_page" if document.page else "said.attached"
        self.app.note(self.app.strings(said, name=one_line(document.name, 60), count=count))
