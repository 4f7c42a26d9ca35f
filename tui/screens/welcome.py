"""The first start: no model is here yet, so the app says what one is and offers to bring it, with progress."""

from __future__ import annotations

from typing import ClassVar, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from engine.catalog import CatalogEntry
from engine.errors import EngineError
from tui.screens.dialog import Dialog
from tui.screens.models import said_of
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.pull_line import PullLine, PullState
from tui.widgets.text import visible


class Bringer(Protocol):
    """What the screen needs from the app."""

    @property
    def name(self) -> str:
        """The loaded model; empty while there is none."""

    def state_of(self, spec: str) -> PullState | None:
        """How far a pull is."""

    def pull(self, spec: str) -> None:
        """Bring a model here."""

    def stop_pull(self, spec: str) -> None:
        """Stop bringing it."""

    @property
    def last_error(self) -> EngineError | None:
        """Why the last pull failed."""


class WelcomeScreen(Dialog[str | None]):
    """Returns `other` where another model is wanted; closes itself once one is here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,right,up,down", "app.focus_next", "key.next_button", show=False),
        bound("close", "leave"),
        Binding("ctrl+q", "app.exit", "key.quit", show=False),
    ]

    def __init__(self, entry: CatalogEntry, bringer: Bringer, strings: Strings) -> None:
        super().__init__()
        self._entry, self._bringer, self._strings = entry, bringer, strings
        self._pulled = False

    def compose(self) -> ComposeResult:
        """What is missing, the model that would come, how far it is, and three ways on."""
        strings = self._strings
        with Vertical(classes="dialog small", id="welcome"):
            yield Label(strings("welcome.title"), classes="dialog-title")
            yield Static(strings("welcome.why"), classes="why")
            yield Static(Content.from_markup("[b $accent]$name[/]", name=self._entry.pull_spec))
            yield Static(Content(said_of(self._entry, strings)), classes="why")
            yield PullLine(strings)
            yield Static(id="trouble")
            with Horizontal(classes="buttons"):
                yield Button(strings("welcome.pull"), id="pull-it", variant="primary", compact=True)
                yield Button(strings("welcome.other"), id="other", compact=True)
                yield Button(strings("welcome.later"), id="later", compact=True)
            yield Hints(strings)

    def on_mount(self) -> None:
        """Enter brings it."""
        self.query_one("#pull-it").focus()
        self.pulls_changed()

    def pulls_changed(self) -> None:
        """The pull has come on, begun or ended."""
        strings, state = self._strings, self._bringer.state_of(self._entry.pull_spec)
        self.query_one(PullLine).show(state)
        button = self.query_one("#pull-it", Button)
        button.label = strings("welcome.stop" if state else "welcome.again" if self._pulled else "welcome.pull")
        self.query_one("#later", Button).label = strings("welcome.behind" if state else "welcome.later")
        error = self._bringer.last_error
        told = "\n→ ".join(filter(None, (strings.error(error.message), strings.error(error.hint)))) if error else ""
        trouble = self.query_one("#trouble", Static)
        trouble.update(Content.styled(visible(told), "$error"))
        trouble.display = bool(told)

    @on(Button.Pressed, "#pull-it")
    def _pull_or_stop(self) -> None:
        if self._bringer.state_of(self._entry.pull_spec):
            self._bringer.stop_pull(self._entry.pull_spec)
        else:
            self._pulled = True
            self._bringer.pull(self._entry.pull_spec)

    @on(Button.Pressed, "#other")
    def _other(self) -> None:
        self.dismiss("other")

    @on(Button.Pressed, "#later")
    def action_leave(self) -> None:
        """Into the chat without a model; a running pull goes on behind it."""
        self.dismiss(None)
