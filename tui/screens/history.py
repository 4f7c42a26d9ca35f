"""The kept conversations over the chat, where the terminal is too narrow for a sidebar, or more is to be seen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, Label

from tui.screens.dialog import Dialog
from tui.screens.history_list import HistoryList
from tui.store import Store
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints


class HistoryScreen(Dialog[int | None]):
    """Returns the number of a conversation, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [bound("close", "close", priority=True)]

    def __init__(self, store: Store, query: str, strings: Strings, current: int = 0) -> None:
        super().__init__()
        self._strings = strings
        self.list = HistoryList(store, strings, query=query)
        self.list.current = current

    def compose(self) -> ComposeResult:
        """A title, the list, the keys."""
        with Vertical(classes="dialog"):
            yield Label(self._strings("title.history"), classes="dialog-title")
            yield self.list
            yield Hints(self._strings)

    def on_mount(self) -> None:
        """Letters go into the words to look for."""
        self.query_one(Input).focus()

    def on_history_list_opened(self, event: HistoryList.Opened) -> None:
        """That one."""
        event.stop()
        self.dismiss(event.number)

    def action_close(self) -> None:
        """None."""
        self.dismiss(None)
