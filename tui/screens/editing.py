"""A text to change, over the chat; Ctrl+S keeps it, Esc leaves it as it was."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Label, TextArea

from tui.screens.dialog import Dialog
from tui.strings import Strings
from tui.widgets.area import Area
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.typed import after_typing


class EditingScreen(Dialog[str | None]):
    """Returns the text, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("keep", "keep", priority=True),
        bound("close", "close", priority=True),
    ]

    def __init__(self, title: str, text: str, strings: Strings) -> None:
        super().__init__()
        self._title, self._text, self._strings = title, text, strings

    def compose(self) -> ComposeResult:
        """A title, the text, the keys."""
        with Vertical(classes="dialog wide"):
            yield Label(self._title, classes="dialog-title")
            yield Area(self._text, soft_wrap=True, compact=True, id="text")
            yield Hints(self._strings)

    def on_mount(self) -> None:
        """The cursor stands at the end."""
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)
        area.focus()

    def action_keep(self) -> None:
        """Return the text."""
        area = self.query_one(TextArea)
        after_typing(area, lambda: self.dismiss(area.text))

    def action_close(self) -> None:
        """Return nothing."""
        self.dismiss(None)
