"""A yes or no before something is gone for good, or comes; the answer that does no harm is marked."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Label
from textual.widgets.button import ButtonVariant

from tui.screens.dialog import Dialog
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints


class ConfirmingScreen(Dialog[bool]):
    """Returns whether it shall be done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("yes", "answer(True)"),
        bound("no", "answer(False)"),
        Binding("left,right", "app.focus_next", "key.next", show=False),
    ]

    def __init__(self, question: str, deed: str, strings: Strings, *, harmless: bool = False) -> None:
        """`harmless`: Enter does it."""
        super().__init__()
        self._question, self._deed, self._strings, self._harmless = question, deed, strings, harmless

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(classes="dialog small"):
            yield Label(self._question, classes="dialog-title", markup=False)
            with Horizontal(classes="buttons"):
                no = self._strings("confirm.later" if self._harmless else "confirm.no")
                yield Button(no, id="no", compact=True)
                variant: ButtonVariant = "primary" if self._harmless else "error"
                yield Button(self._deed, id="yes", variant=variant, compact=True)
            yield Hints(self._strings)

    def on_mount(self) -> None:
        """Enter does no harm."""
        self.query_one("#yes" if self._harmless else "#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """By key."""
        self.dismiss(answer)
