"""The full-screen app: what one run has, its screens, and who hears what the model's thread says."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import constants, events
from textual.app import SuspendNotSupported
from textual.binding import BindingType

from engine.catalog import default_entry
from engine.errors import EngineError, UsageError
from engine.schema import Document
from tui import chat_file, line_breaks, messages, palette
from tui.clipboard import copy_by_tool
from tui.editor import has_a_shell, run_editor
from tui.files import empty_file, ends, read_file
from tui.in_turn import InTurn
from tui.keeper import Keeper
from tui.pages import HtmlChoice, page_of
from tui.parts.doubting import Doubting
from tui.parts.keeping import Keeping
from tui.parts.memory import Memory
from tui.parts.meter import Meter
from tui.parts.models import Models
from tui.parts.tasks import Tasks
from tui.parts.values import Values
from tui.paths import at_home
from tui.runner import Runner
from tui.screens.asking import AskingScreen
from tui.screens.chat import ChatScreen
from tui.screens.files import FilesScreen
from tui.screens.help import HelpScreen
from tui.screens.history_list import HistoryList
from tui.settings import Settings
from tui.strings import Strings
from tui.talk import Talk, Turn
from tui.widgets.bound import bound
from tui.widgets.text import visible

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.widgets import TextArea

    from engine.library import Library
    from engine.session import Session
    from tui.paths import Places


class LlmApp(InTurn):
    """One run of the app. Settings are changed by hand of the user only; chats and looks are all that is written."""

    CSS_PATH = "app.tcss"
    TITLE = "llm"
    ENABLE_COMMAND_PALETTE = False  # the palette is our own, under a key of the table
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("quit", "quit"),
        bound("palette", "command_palette", priority=True),
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
        *,
        adapter: Path | None = None,
        remote: Session | None = None,
        gone: str = "",
        html: HtmlChoice | None = None,
    ) -> None:
        """`documents` go with the first question. `adapter` changes the model; `remote` answers in its place.

        `gone`: the model that wrote the conversation, where it is not here to go on with it. `html`: how web pages are
        read.
        """
        line_breaks.install()
        line_breaks.install_for_typing()
        self.strings = strings  # the driver, which is chosen first, has words too
        super().__init__()
        self.settings, self.places, self.library = settings, places, library
        self.models = Models(self, adapter)
        self._remote, self._gone, self._html = remote, gone, html
        self.meter = Meter(self)
        self.memory = Memory(self, keeper or Keeper(None))
        self.keeping = Keeping(self)
        self.doubting = Doubting(self)
        self.values = Values(self)
        self.tasks = Tasks(self)
        self._fresh = talk is None and not documents
        self.chat = ChatScreen(talk or Talk(settings["system"]))
        self.chat.pending = list(documents)
        self.runner = Runner(self.chat.post_message)

    def get_driver_class(self) -> type[Driver]:
        """Textual's, but on Unix ours."""
        if os.name != "posix" or constants.DRIVER:
            return super().get_driver_class()
        from tui.driver import TerminalDriver

        TerminalDriver.farewell = self.strings("said.suspended")
        return TerminalDriver

    def on_mount(self) -> None:
        """The chat is there at once; the model comes behind it."""
        self.set_keymap(self.strings.keys.changed)
        self.memory.begin()
        self.push_screen(self.chat)
        self.values.restore()
        if self._gone:
            self.note(self.strings("said.model_gone", name=self._gone))
        if self._fresh:
            self.memory.look_for_the_cut()
        if self._remote is not None:
            self.models.take(self._remote)
        elif self.library.names():
            self.models.change(self.settings["model"])  # at once: what is asked before it is loaded waits behind it
        else:
            self.call_after_refresh(self.models.welcome, self.settings["model"] or default_entry().pull_spec)

    def on_unmount(self) -> None:
        """The running answer is stopped and kept as far as it came, and the weights are let go."""
        self.memory.keep_unfinished(self.chat.writings.values())
        self.keeping.finish()
        self.runner.close()
        self.models.pulls.close()

    # What the model's thread says, each to whom it concerns; what answers say, the chat hears itself

    @property
    def left(self) -> bool:
        """Whether the app is being left: what comes from the model's thread finds nobody home."""
        return not (self.is_running and self.chat.children)

    async def on_callback(self, event: events.Callback) -> None:
        """What was put off; Textual, which hears of it next, would do it in a screen that is being taken down."""
        if not self.is_running:
            event.prevent_default()

    def on_model_loaded(self, event: messages.ModelLoaded) -> None:
        """A model is ready."""
        if not self.left:
            self.models.loaded(event)

    def on_job_failed(self, event: messages.JobFailed) -> None:
        """A job that no screen waits for failed."""
        if not self.left:
            self.models.failed(event.key, event.error)
            self.memory.failed(event.key)
            self.doubting.failed(event.key)
            self.tell(event.error)

    def on_pull_progressed(self, event: messages.PullProgressed) -> None:
        """So much of a model has come."""
        self.models.pulls.progressed(event)

    def on_pull_ended(self, event: messages.PullEnded) -> None:
        """A model is here, or its pull was stopped."""
        self.models.pulls.ended(event)

    def on_tokens_counted(self, event: messages.TokensCounted) -> None:
        """A conversation's length came."""
        if not self.left:
            self.meter.counted(event.tokens)

    def on_title_written(self, event: messages.TitleWritten) -> None:
        """The model named a conversation."""
        if not self.left:
            self.memory.titled(event)

    def on_meanings_found(self, event: messages.MeaningsFound) -> None:
        """A search by meaning has its hits."""
        if not self.left:
            self.memory.found(event)

    def on_history_list_meaning_asked(self, event: HistoryList.MeaningAsked) -> None:
        """A list of conversations shall be searched by meaning."""
        self.memory.recall(event)

    def on_history_list_change_asked(self, event: HistoryList.ChangeAsked) -> None:
        """A conversation shall be named, pinned or deleted."""
        self.keeping.change(event.number, event.change, deleted=event.deleted)

    async def on_history_list_opened(self, event: HistoryList.Opened) -> None:
        """A conversation of the sidebar."""
        await self.memory.open(event.number)

    def on_words_weighed(self, event: messages.WordsWeighed) -> None:
        """The words of an answer are known."""
        if not self.left:
            self.doubting.weighed(event)

    def on_alternatives_found(self, event: messages.AlternativesFound) -> None:
        """What could stand at a word is known."""
        if not self.left:
            self.doubting.found(event)

    # What is said to the person

    def tell(self, error: EngineError) -> None:
        """An error, with what to do next."""
        key = "error.hint" if error.hint else "error"
        message, hint = self.strings.error(error.message), self.strings.error(error.hint or "")
        text = self.strings(key, message=visible(message), hint=visible(hint))
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

    def show_stats(self, turn: Turn) -> None:
        """The figures of an answer."""
        rate, first = f"{turn.rate:.1f}", f"{turn.first_token:.2f}"
        self.note(
            self.strings(
                "said.stats", model=turn.model, prompt=turn.prompt_tokens, cached=turn.cached_tokens,
                output=turn.output_tokens, rate=rate, first=first,
            )
        )  # fmt: skip

    # Screens

    def show_help(self) -> None:
        """Every key and word."""
        self.push_screen(HelpScreen([self.chat._bindings, self._bindings], self.strings))

    def choose_file(self, taken: Callable[[str | None], None], begun: str = "") -> None:
        """A file below the working folder; `begun`: what is typed of it already."""
        try:
            folder = Path.cwd()
        except OSError:  # it was deleted
            self.tell(UsageError(self.strings("said.no_folder"), hint=self.strings("hint.whole_path")))
            return
        self.push_screen(FilesScreen(folder, self._count_file, self.strings, begun), taken)

    def _count_file(self, path: str) -> int:
        return self.models.count(self.read_document(path).text)

    async def ask_export(self) -> None:
        """Write the conversation to a file that the person names."""

        async def chosen(path: str | None) -> None:
            if path:
                await self.chat.obey(f"/export {path}")

        name = chat_file.file_name(self.chat.talk.title)
        self.push_screen(AskingScreen(self.strings("title.export"), name, self.strings), chosen)

    def action_command_palette(self) -> None:
        """Every feature, in the user's language."""
        if self.screen is self.chat:  # a dialog is answered first
            palette.open_palette(self)

    def read_document(self, path: str) -> Document:
        """A file's text, of a web page what a reader sees. Raises InputError."""
        document = Document(path, self.read_source(path))
        return page_of(document, self._html) or document

    def read_source(self, path: str) -> str:
        """A file's text, a web page's as it is. Raises InputError."""
        document = read_file(ends(str(at_home(path))))
        if not document.text.strip():
            raise empty_file(path)
        return document.text

    def to_the_shell(self) -> None:
        """Stop, as Ctrl+Z does elsewhere, where a shell can let the app go on."""
        if self.is_headless or not has_a_shell():
            self.tell(UsageError(self.strings("said.no_shell")))
        else:
            self.action_suspend_process()

    def edit_outside(self, area: TextArea) -> None:
        """Write a long text in $VISUAL or $EDITOR; the app waits behind it."""
        with tempfile.TemporaryDirectory() as folder:  # 0700
            path = Path(folder) / "prompt.md"
            try:
                path.write_text(area.text, "utf-8")
                self._suspended(lambda: run_editor(path))
                text = path.read_text("utf-8").rstrip("\n")
            except (EngineError, OSError, UnicodeError, SuspendNotSupported) as error:
                reason = error.message if isinstance(error, EngineError) else str(error)
                self.tell(EngineError(self.strings("said.editor_failed", reason=reason)))
                return
        area.load_text(text)
        area.move_cursor(area.document.end)
        area.focus()

    def _suspended(self, deed: Callable[[], object]) -> None:
        """Do something in the terminal of before, and come back whatever it raises: Textual alone comes back from what
        ends well."""
        failed: Exception | None = None
        with self.suspend():
            try:
                deed()
            except (EngineError, OSError) as error:
                failed = error
        if failed is not None:
            raise failed
