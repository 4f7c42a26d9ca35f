"""A yes or no before something is gone for good; the answer that keeps everything is marked."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label

from tui.strings import Strings


class ConfirmingScreen(ModalScreen[bool]):
    """Returns whether it shall be done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "key.yes", id="yes"),
        Binding("n,escape", "answer(False)", "key.no", id="no"),
        Binding("left,right", "app.focus_next", "key.next", show=False),
    ]

    def __init__(self, question: str, deed: str, strings: Strings) -> None:
        super().__init__()
        self._question, self._deed, self._strings = question, deed, strings

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(classes="dialog small"):
            yield Label(self._question, classes="dialog-title", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._strings("confirm.no"), id="no", compact=True)
                yield Button(self._deed, id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        """Enter does no harm."""
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """By key."""
        self.dismiss(answer)
