"""The full-screen app: settings, the model's thread, the store and the screens of one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import App, SuspendNotSupported, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.errors import EngineError, InputError, UsageError
from engine.schema import Document, Message
from tui import messages, palette
from tui.clipboard import copy_by_tool
from tui.editor import run_editor
from tui.files import read_file
from tui.jobs import Alternatives, Count, Load, Recall, Title, Weigh
from tui.keeper import Keeper
from tui.runner import Runner
from tui.screens.asking import AskingScreen
from tui.screens.chat import ChatScreen
from tui.screens.choosing import Choice, ChoosingScreen
from tui.screens.doubts import DoubtsScreen
from tui.screens.files import FilesScreen
from tui.screens.help import HelpScreen
from tui.screens.history import HistoryScreen
from tui.settings import SETTINGS, Settings, parse, sampling
from tui.strings import Strings
from tui.talk import Talk, Turn
from tui.task_jobs import Task, TaskKind
from tui.widgets.panel import Panel
from tui.widgets.text import visible
from tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from textual.widgets import TextArea

    from engine.config import SamplingConfig
    from engine.counter import TextCounter
    from engine.library import Library
    from tui.paths import Places

THEME = "textual-dark"
MEASURED = 20_000
"""Characters of a draft that are counted as it is typed."""


class LlmApp(App[int]):
    """One run of the app. Settings change by hand of the user only; nothing is written but chats."""

    CSS_PATH = "app.tcss"
    TITLE = "llm"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "key.quit", id="quit"),
        Binding("ctrl+p", "command_palette", "key.palette", id="palette", priority=True),
    ]

    def __init__(
        self,
        settings: Settings,
        places: Places,
        library: Library,
        strings: Strings,
        talk: Talk | None = None,
        documents: Sequence[Document] = (),
        keeper: Keeper | None = None,
    ) -> None:
        """`documents` go with the first question."""
        super().__init__()
        self.settings, self.places, self.library, self.strings = settings, places, library, strings
        self.model_name = ""
        self.context = 0
        self.left_out = 0
        self._place = ""
        self._memory = 0
        self._counter: TextCounter | None = None
        self._loading = 0
        self._used = 0
        self._counted: Turn | None = None
        self.keeper = keeper or Keeper(None)
        self._unkept = False
        self._titling: Talk | None = None
        self._title_job = self._recalling = 0
        self._history: HistoryScreen | None = None
        self._doubts: DoubtsScreen | None = None
        self._asked = self._weighing = 0
        self.chat = ChatScreen(talk or Talk(settings["system"]))
        self.chat.pending = list(documents)
        self.runner = Runner(self.chat.post_message)

    def on_mount(self) -> None:
        """The chat is there at once; the model comes behind it."""
        self.theme = self.settings["theme"] or THEME
        self.push_screen(self.chat)
        self.change_model(self.settings["model"])  # at once: what is asked before it is loaded waits behind it

    def on_unmount(self) -> None:
        """The running answer is stopped and the weights are let go."""
        self.runner.close()

    # The model

    def change_model(self, name: str | None = None) -> None:
        """Load a model, the default without a name; errors are told."""
        try:
            summary = self.library.summary(name or self.library.default or "")
        except EngineError as error:
            self.call_after_refresh(self._say_missing, error)
            return
        opening = {"device": self.settings["device"], "threads": self.settings["threads"],
                   "context": self.settings["ctx"]}  # fmt: skip
        self._loading = self.runner.submit(Load(summary, opening))
        self.call_after_refresh(self._say_loading, summary.name)

    def _say_missing(self, error: EngineError) -> None:
        self.tell(error)
        self.chat.status.say(self.strings("status.no_model"), kind="error")

    def _say_loading(self, name: str) -> None:
        if self._loading:  # it may be there already
            self.chat.status.say(self.strings("status.loading", model=name), kind="accent")

    def on_model_loaded(self, event: messages.ModelLoaded) -> None:
        """The model answers from here on."""
        self.model_name, self.context, self._place, self._memory = (
            event.name, event.context, event.place, event.memory,
        )  # fmt: skip
        self._loading, self._counter = 0, event.counter
        self.say_ready()
        self.call_later(self.chat.show)

    def say_ready(self) -> None:
        """The status line of a model that waits."""
        if not self.model_name:
            return
        memory = f"{self._memory / 1e6:.0f} MB"
        self.chat.status.say(self.strings("status.ready", model=self.model_name, place=self._place, memory=memory))

    def sampling(self) -> SamplingConfig:
        """How the next answer is drawn."""
        return sampling(self.settings, temperature=0.7, top_p=0.9, repetition_penalty=1.05, max_tokens=1024)

    def on_job_failed(self, event: messages.JobFailed) -> None:
        """A job that no screen waits for failed."""
        if event.key == self._loading:
            self._loading = 0
            self.chat.status.say(self.strings("status.no_model"), kind="error")
        self.tell(event.error)

    # The context meter

    def count(self, text: str) -> int:
        """Tokens of a text; 0 while no model is loaded."""
        return self._counter.count(text) if self._counter else 0

    def measure(self) -> None:
        """Bring the meter up to date: exact for what was answered, counted on the model's thread for the rest."""
        chat = self.chat
        if not self.context or not chat.is_mounted:
            return
        tip = chat.talk.tip
        if tip.prompt_tokens:
            self._used = tip.prompt_tokens + tip.output_tokens
        elif chat.answering is None and (shown := chat.talk.messages()):
            if tip is not self._counted:
                self._counted = tip
                self.runner.submit(Count(shown))
        else:
            self._used = 0
        draft = self.count(chat.prompt.text[:MEASURED]) + sum(self.count(d.text) for d in chat.pending)
        chat.status.meter(self._used, self.context, draft=draft, left_out=self.left_out)

    def on_tokens_counted(self, event: messages.TokensCounted) -> None:
        """A conversation's length came."""
        self._used = event.tokens
        self.chat.status.meter(self._used, self.context, left_out=self.left_out)

    # What is kept

    def keep(self, talk: Talk) -> None:
        """Save what has changed; a history that can't be written is told once, and the chat goes on."""
        self._kept(self.keeper.keep, talk)

    def keep_soon(self, talk: Talk) -> None:
        """Save a growing answer, at most once a second."""
        self._kept(self.keeper.keep_soon, talk)

    def _kept(self, save: Callable[[Talk], None], talk: Talk) -> None:
        try:
            save(talk)
        except EngineError as error:
            if not self._unkept:
                self.tell(error)
            self._unkept = True
        else:
            self._unkept = False

    def drop(self, talk: Talk, turn: Turn) -> None:
        """Take a turn away, out of the history too."""
        talk.drop(turn)
        try:
            self.keeper.drop(turn)
        except EngineError as error:
            self.tell(error)

    def answered(self, talk: Talk) -> None:
        """An answer ended: once nothing else waits, the model names a conversation that nobody has named."""
        if self.keeper.store is None or talk.named or talk.kept is None or self.runner.waiting() > 1:
            return
        first = talk.path[:2]
        if len(first) == 2 and first[1].finish in {"stop", "length"}:
            talk.named = True
            self._titling = talk
            self._title_job = self.runner.submit(Title([turn.shown_to_model() for turn in first]))

    def on_title_written(self, event: messages.TitleWritten) -> None:
        """The model named a conversation."""
        talk = self._titling
        if event.key != self._title_job or talk is None or talk.kept is None or not event.title:
            return
        store = self.keeper.store
        assert store is not None
        try:
            store.rename(talk.kept, event.title)
        except EngineError:  # deleted meanwhile
            return
        talk.title = event.title
        if talk is self.chat.talk:
            self.chat.query_one(TitleBar).show(talk.title, self.model_name)

    def show_history(self, query: str = "") -> None:
        """The kept conversations. Raises UsageError where nothing is kept."""
        store = self.keeper.store
        if store is None:
            raise UsageError(self.strings("said.not_kept"))

        def recall(wanted: str) -> None:
            self._recalling = self.runner.submit(Recall(store, wanted))

        async def chosen(number: str | None) -> None:
            if number is None:
                return
            try:
                await self.chat.open(self.keeper.open(int(number)))
            except EngineError as error:
                self.tell(error)

        self._history = HistoryScreen(store, recall, query, self.strings)
        self.push_screen(self._history, chosen)

    def on_meanings_found(self, event: messages.MeaningsFound) -> None:
        """A search by meaning has its hits."""
        if event.key == self._recalling and self._history is not None and self._history.is_mounted:
            self._history.found(event.hits)

    # What is said to the person

    def tell(self, error: EngineError) -> None:
        """An error, with what to do next."""
        key = "error.hint" if error.hint else "error"
        text = self.strings(key, message=visible(error.message), hint=visible(error.hint))
        self.notify(text, severity="error", timeout=10, markup=False)

    def note(self, text: str) -> None:
        """Something that was done."""
        self.notify(visible(text), timeout=4, markup=False)

    def copy(self, text: str) -> None:
        """Copy, and say what took it: a local tool, else the terminal by OSC 52."""
        tool = copy_by_tool(text)
        if tool is None:
            self.copy_to_clipboard(text)
        self.note(self.strings("said.copied", count=len(text), where=tool or self.strings("said.terminal")))

    # Screens

    def show_help(self) -> None:
        """Every key and word."""
        self.push_screen(HelpScreen([self.chat._bindings, self._bindings], self.strings))

    def show_models(self) -> None:
        """Installed models, to change to."""
        choices = [
            Choice(summary.name, summary.name, self.strings(
                "models.current" if summary.name == self.model_name else "models.here",
                size=f"{summary.bytes_on_disk / 1e6:.0f} MB"))
            for summary in self.library.list() if not summary.problem
        ]  # fmt: skip

        def chosen(name: str | None) -> None:
            if name is not None and name != self.model_name:
                self.change_model(name)

        self.push_screen(ChoosingScreen(self.strings("title.models"), choices, self.strings), chosen)

    def choose_file(self, taken: Callable[[str | None], None]) -> None:
        """A file below the working folder."""
        self.push_screen(FilesScreen(Path.cwd(), self.count, self.strings), taken)

    def run_task(self, chat: ChatScreen, question: Turn) -> None:
        """The answer to a question that is a task. Raises InputError for a file that can't be read."""
        assert question.task is not None
        kind, path, argument = question.task
        document = self.read_document(path)
        drawn = sampling(self.settings, temperature=0.0, max_tokens=1024)
        task = Task(cast("TaskKind", kind), document, argument, drawn, self.places.cache / "results.db")
        turn = chat.talk.begin_answer(question)
        chat.call_later(chat.write, task, turn, question.text)

    def start_task(self, kind: TaskKind, path: str, argument: str = "") -> None:
        """A task on a file, as a question of its own at the end of the conversation. Raises EngineError."""
        chat = self.chat
        chat.refuse_while_answering()
        self.read_document(path)  # what is wrong with it is said before anything is changed
        name = Path(path).name
        shown = argument if kind == "ask" else self.strings(f"task.{kind}.asked", name=name, argument=argument)
        question = chat.talk.ask(f"{shown} ({name})" if kind == "ask" else shown)
        question.task = (kind, str(Path(path).expanduser().absolute()), argument)
        self.run_task(chat, question)

    def compact(self, talk: Talk) -> None:
        """A summary of the conversation, as the beginning of another; this one stays. Raises EngineError."""
        shown = talk.messages()
        if len(talk.path) < 2:
            raise UsageError(self.strings("said.nothing_to_compact"))
        text = "\n\n".join(f"{message.role}: {message.content}" for message in shown if message.role != "system")
        drawn = sampling(self.settings, temperature=0.0, max_tokens=1024)
        cache = self.places.cache / "results.db"
        task = Task("summarize", Document("conversation", text), "medium", drawn, cache)
        fresh = Talk(talk.system)
        fresh.title = talk.title
        turn = fresh.begin_answer(fresh.ask(self.strings("task.compact.asked")))

        async def begin() -> None:
            await self.chat.open(fresh)
            await self.chat.write(task, turn, self.strings("task.compact.asked"))

        self.chat.call_later(begin)

    def show_doubts(self, turn: Turn) -> None:
        """How sure the model was of each word of an answer, and a fork from another word. Raises EngineError."""
        chat = self.chat
        question = chat.talk.question_of(turn)
        shown = chat.talk.messages(question)
        drawn = turn.model == self.model_name and turn.pieces
        start = turn.text[: len(turn.text) - sum(len(piece.text) for piece in turn.pieces)] if drawn else ""

        def ask(before: str) -> None:
            more = [*shown, Message("assistant", before)] if before else shown
            self._asked = self.runner.submit(Alternatives(more, continued=bool(before)))

        async def chosen(beginning: str | None) -> None:
            if beginning is None:
                return
            try:
                await chat.answer(question, start=beginning)
            except EngineError as error:
                self.tell(error)

        self._doubts = DoubtsScreen(list(turn.pieces) if drawn else [], start, ask, self.strings)
        self.push_screen(self._doubts, chosen)
        if not drawn:
            self._weighing = self.runner.submit(Weigh(shown, turn.text))

    def on_words_weighed(self, event: messages.WordsWeighed) -> None:
        """The words of an answer are known."""
        if event.key == self._weighing and self._doubts is not None and self._doubts.is_mounted:
            self._doubts.take(event.pieces)

    def on_alternatives_found(self, event: messages.AlternativesFound) -> None:
        """What could stand at a word is known."""
        if event.key == self._asked and self._doubts is not None and self._doubts.is_mounted:
            self._doubts.offer(event.found)

    def show_context(self) -> None:
        """The meter in words."""
        share = f"{self._used / self.context:.0%}" if self.context else "–"
        said = self.strings(
            "context.said", used=self._used, total=self.context, share=share, count=len(self.chat.talk.path)
        )
        self.note(said)

    def show_stats(self, turn: Turn) -> None:
        """The figures of an answer."""
        self.note(
            f"{turn.model} · prompt {turn.prompt_tokens} tok ({turn.cached_tokens} cached) · output "
            f"{turn.output_tokens} tok at {turn.rate:.1f} tok/s · first token {turn.first_token:.2f} s"
        )

    def change_setting(self, name: str, value: Any) -> None:
        """Change a setting until the app ends. Raises SettingsError."""
        self.settings = self.settings.with_flags({name: value})
        if name == "model":
            self.change_model(value)
        elif name in {"device", "threads", "ctx"}:
            self.change_model(self.model_name or None)
        elif name == "theme":
            self.theme = value
        self.note(f"{name} = {value}")

    def give_value(self, name: str, text: str) -> None:
        """A value from the panel; errors are told, and the panel shows what holds."""
        try:
            if text:
                self.change_setting(name, parse(SETTINGS[name], text, self.strings(f"panel.{name}")))
            else:
                self.settings = self.settings.without(name)
        except EngineError as error:
            self.tell(error)
        self.fill_panel()

    def fill_panel(self) -> None:
        """Bring the panel up to date."""
        drawn = self.sampling()
        values = drawn.to_json() | {"repeat_penalty": drawn.repetition_penalty}
        facts = {"name": self.model_name or "–", "device": self._place or "–",
                 "memory": f"{self._memory / 1e6:.0f} MB", "context": str(self.context)}  # fmt: skip
        self.chat.query_one(Panel).show(facts, values, self.chat.talk.system)

    def show_panel(self) -> None:
        """Open the panel where it is closed."""
        if not self.chat.has_class("panel-open"):
            self.chat.action_panel()

    def choose_theme(self) -> None:
        """Another theme, until the app ends; `llm config set theme NAME` keeps it."""
        choices = [
            Choice(name, name, "" if theme.dark else "☀") for name, theme in sorted(self.available_themes.items())
        ]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.change_setting("theme", name)

        self.push_screen(ChoosingScreen(self.strings("title.themes"), choices, self.strings), chosen)

    def choose_task(self, kind: TaskKind) -> None:
        """A task: the file is chosen first, then what the task needs to know."""

        def begin(path: str, argument: str) -> None:
            try:
                self.start_task(kind, path, argument)
            except EngineError as error:
                self.tell(error)

        def chosen(path: str | None) -> None:
            if path is None:
                return
            if kind == "ask":
                asking = AskingScreen(self.strings("title.task_question"), "", self.strings)
                self.push_screen(asking, lambda question: begin(path, question) if question else None)
            elif kind == "summarize":
                lengths = [Choice(name, self.strings(f"length.{name}")) for name in ("short", "medium", "long")]
                asking_length = ChoosingScreen(self.strings("title.task_length"), lengths, self.strings)
                self.push_screen(asking_length, lambda length: begin(path, length) if length else None)
            else:
                begin(path, "")

        self.choose_file(chosen)

    async def ask_export(self) -> None:
        """Write the conversation to a file that the person names."""

        async def chosen(path: str | None) -> None:
            if path:
                await self.chat.ask_word(f"/export {path}")

        self.push_screen(AskingScreen(self.strings("title.export"), "chat.md", self.strings), chosen)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette lists: our own features, in the user's language."""
        yield from palette.entries(self)

    def read_document(self, path: str) -> Document:
        """A file's text. Raises InputError."""
        document = read_file(str(Path(path).expanduser()))
        if not document.text.strip():
            raise InputError(f"{path} is empty")
        return Document(path, document.text)

    def edit_outside(self, area: TextArea) -> None:
        """Write a long text in $VISUAL or $EDITOR; the app waits behind it."""
        with tempfile.TemporaryDirectory() as folder:  # 0700
            path = Path(folder) / "prompt.md"
            path.write_text(area.text, "utf-8")
            try:
                with self.suspend():
                    run_editor(path)
                text = path.read_text("utf-8").rstrip("\n")
            except (EngineError, OSError, UnicodeDecodeError, SuspendNotSupported) as error:
                reason = error.message if isinstance(error, EngineError) else str(error)
                self.tell(EngineError(self.strings("said.editor_failed", reason=reason)))
                return
        area.load_text(text)
        area.move_cursor(area.document.end)
        area.focus()
