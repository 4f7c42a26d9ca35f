"""A list of the kept conversations, found by words as one types or by meaning; to open, name, pin and delete them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import ClassVar, NamedTuple

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList

from engine.errors import EngineError
from tui.records import Hit, Kept
from tui.screens.asking import AskingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.store import Store
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.rows import LISTED, Rows
from tui.widgets.text import one_line
from tui.widgets.typed import after_typing

BESIDE, OVER = 28, 66
"""Cells of a row beside the chat and over it."""


class Row(NamedTuple):
    """A conversation in the list; without a number it is a line that says something of the list."""

    number: int
    title: str
    note: str = ""
    """When it was changed last, or what was found in it."""


class HistoryList(Vertical, can_focus=False):
    """The words to look for, and the rows. What shall be done to a conversation is asked of who owns the history."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("open", "take", "key.open", priority=True),
        bound("history_down", "move(1)", "key.down", show=False, priority=True),
        bound("history_up", "move(-1)", "key.up", show=False, priority=True),
        bound("by_meaning", "meaning", "key.meaning", priority=True),
        bound("pin", "pin", priority=True),
        bound("rename", "rename", priority=True),
        bound("delete", "delete", priority=True),
    ]

    class Opened(Message):
        """A conversation is wanted."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class MeaningAsked(Message):
        """A search by meaning: its hits go to `found` of the asker."""

        def __init__(self, asker: HistoryList, query: str) -> None:
            super().__init__()
            self.asker, self.query = asker, query

    class ChangeAsked(Message):
        """A conversation shall be named, pinned or deleted by `change`."""

        def __init__(self, number: int, change: Callable[[], object], *, deleted: bool = False) -> None:
            super().__init__()
            self.number, self.change, self.deleted = number, change, deleted

    def __init__(self, store: Store, strings: Strings, *, query: str = "", notes: bool = True) -> None:
        """`notes`: whether there is room for more than titles."""
        super().__init__(classes="history-list")
        self._store, self._strings, self._query, self._notes = store, strings, query, notes
        self.shown: list[Row] = []
        self.current = 0
        """The open conversation, which is marked."""
        self._listed = ""
        """The words that the rows are of."""
        self._taking = False
        """Whether the first row shall be opened once it is one of the words that stand there."""

    def compose(self) -> ComposeResult:
        """The words, the rows."""
        yield Input(self._query, placeholder=self._strings("history.filter"), compact=True, id="filter")
        yield Rows()

    def on_mount(self) -> None:
        """The newest, or what was asked for."""
        self.look_again()

    def look_again(self) -> None:
        """The newest conversations, or those that say the words, as they are now."""
        self._look(self.query_one(Input).value.strip())

    @work(thread=True, exclusive=True, group="history")
    def _look(self, wanted: str) -> None:
        try:
            if wanted:
                rows = self._rows(self._store.search(wanted, LISTED))
            else:
                rows = [_row(kept) for kept in self._store.recent(LISTED)]
                rows = rows or [Row(0, self._strings("history.empty"))]
        except EngineError as error:
            rows = [Row(0, self._strings.error(error.message))]
        self.app.call_from_thread(self._list, rows, wanted)

    def _rows(self, hits: Iterable[Hit]) -> list[Row]:
        """One row a conversation, with its best message."""
        rows: dict[int, Row] = {}
        for hit in hits:
            rows.setdefault(hit.conversation, Row(hit.conversation, hit.title, hit.excerpt))
        return list(rows.values()) or [Row(0, self._strings("history.nothing"))]

    def found(self, hits: list[Hit]) -> None:
        """The hits of a search by meaning that was asked for here, under a line that says so."""
        self._list([Row(0, self._strings("history.by_meaning")), *self._rows(hits)], self._listed)

    def _list(self, rows: list[Row], wanted: str) -> None:
        """Show rows in place of those before; the mark stays on its conversation, if it is still among them."""
        if not self.is_mounted or not self.query(Rows):  # gone, or going: its rows go first
            return
        self._listed = wanted
        marked = self._marked()
        self.shown = rows
        numbers = [row.number for row in rows]
        wished = marked or self.current
        first = next((at for at, number in enumerate(numbers) if number), 0)
        mark = numbers.index(wished) if wished and wished in numbers else first if rows else None
        self.query_one(Rows).put([self._drawn(row) for row in rows], mark)
        if self._taking:
            self._take()

    def _drawn(self, row: Row) -> Content:
        """One line, cut where it does not fit: Chinese takes twice the cells."""
        style = "bold $accent" if row.number and row.number == self.current else ""
        label = Content.styled(one_line(row.title, 100), style)
        if not self._notes:
            return label.truncate(BESIDE, ellipsis=True)
        note = (one_line(row.note, 100), "$foreground 50%")
        return Content.assemble(label.truncate(OVER // 2, ellipsis=True), "  ", note).truncate(OVER, ellipsis=True)

    def _marked(self) -> int:
        """The number of the marked conversation; 0 where none is."""
        row = self.query_one(Rows).marked(self.shown)
        return row.number if row else 0

    def on_input_changed(self) -> None:
        """Each letter narrows the rows."""
        self.look_again()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click opens."""
        event.stop()
        self._open_marked()

    def action_take(self) -> None:
        """Open the marked conversation of those that say every word typed so far."""
        after_typing(self.query_one(Input), self._take)

    def _take(self) -> None:
        """Open the marked one, or wait for the rows of the words that stand there now."""
        self._taking = self.query_one(Input).value.strip() != self._listed
        if not self._taking:
            self._open_marked()

    def _open_marked(self) -> None:
        """Ask for the marked conversation; the words that found it have done their work."""
        if number := self._marked():
            self.post_message(self.Opened(number))
            self.query_one(Input).value = ""

    def action_move(self, step: int) -> None:
        """Mark another row."""
        self.query_one(Rows).move(step)

    def action_meaning(self) -> None:
        """Search by meaning, on the model's thread."""
        if query := self.query_one(Input).value.strip():
            self._list([Row(0, self._strings("history.looking"))], query)
            self.post_message(self.MeaningAsked(self, query))

    def action_pin(self) -> None:
        """Pin, or take the pin away."""
        if number := self._marked():
            self._ask(number, lambda: self._store.pin(number, not self._store.kept(number).pinned))

    def action_rename(self) -> None:
        """Another title."""
        if not (number := self._marked()):
            return

        def named(title: str | None) -> None:
            if title:
                self._ask(number, lambda: self._store.rename(number, title))

        asking = AskingScreen(self._strings("title.rename"), self._title_of(number), self._strings)
        self.app.push_screen(asking, named)

    def action_delete(self) -> None:
        """Forget a conversation for good, after asking."""
        if not (number := self._marked()):
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self._ask(number, lambda: self._store.delete([number]), deleted=True)

        question = self._strings("history.delete", title=one_line(self._title_of(number), 60))
        self.app.push_screen(ConfirmingScreen(question, self._strings("key.delete"), self._strings), confirmed)

    def _title_of(self, number: int) -> str:
        try:
            return self._store.kept(number).title
        except EngineError:  # another process deleted it
            return ""

    def _ask(self, number: int, change: Callable[[], object], *, deleted: bool = False) -> None:
        self.post_message(self.ChangeAsked(number, change, deleted=deleted))


def _row(kept: Kept) -> Row:
    return Row(kept.id, ("★ " if kept.pinned else "") + kept.title, when(kept.updated))


def when(at: float) -> str:
    """A time for people: the clock for today, else the day."""
    then, today = time.localtime(at), time.localtime()
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d", then)
