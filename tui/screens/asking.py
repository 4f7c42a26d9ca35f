"""One line to write: a question about a file, a title, a path. Enter returns it, Esc does not."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, Label

from tui.screens.dialog import Dialog
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.text import visible
from tui.widgets.typed import after_typing


class AskingScreen(Dialog[str | None]):
    """Returns the line, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("take", "take", priority=True),
        bound("close", "close", priority=True),
    ]

    def __init__(self, title: str, text: str, strings: Strings) -> None:
        super().__init__()
        self._title, self._text, self._strings = title, text, strings

    def compose(self) -> ComposeResult:
        """A title, the line, the keys."""
        with Vertical(classes="dialog small"):
            yield Label(self._title, classes="dialog-title")
            yield Input(visible(self._text), compact=True, id="line")
            yield Hints(self._strings)

    def on_mount(self) -> None:
        """Write at once."""
        self.query_one(Input).focus()

    def action_take(self) -> None:
        """Return the line."""
        line = self.query_one(Input)
        after_typing(line, lambda: self.dismiss(line.value))

    def action_close(self) -> None:
        """Return nothing."""
        self.dismiss(None)
