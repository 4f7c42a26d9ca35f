"""The kept conversations: found by words as one types, or by meaning; opened, named, pinned and deleted here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.widgets import Input

from engine.errors import EngineError
from tui.records import Hit, Kept
from tui.screens.asking import AskingScreen
from tui.screens.choosing import LISTED, Choice, ChoosingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.store import Store
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.text import one_line

WIDTH = 66


class HistoryScreen(ChoosingScreen):
    """Returns the number of a conversation as text, or None. `by_meaning` is told a query; its hits come to `found`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("by_meaning", "meaning", "key.meaning", priority=True),
        bound("pin", "pin", priority=True),
        bound("rename", "rename", priority=True),
        bound("delete", "delete", priority=True),
    ]

    def __init__(self, store: Store, by_meaning: Callable[[str], object], query: str, strings: Strings) -> None:
        super().__init__(strings("title.history"), [], strings)
        self._store, self._by_meaning, self._query = store, by_meaning, query

    def on_mount(self) -> None:
        """The newest, or what was asked for."""
        super().on_mount()
        if self._query:
            self.query_one(Input).value = self._query

    def fill(self, wanted: str) -> None:
        """The newest conversations, or those that say the words."""
        self._look(wanted.strip())

    @work(thread=True, exclusive=True, group="history")
    def _look(self, wanted: str) -> None:
        try:
            if wanted:
                rows = _rows(self._store.search(wanted, LISTED), self._strings)
            else:
                rows = [_row(kept) for kept in self._store.recent(LISTED)]
        except EngineError as error:
            rows = [Choice("", error.message)]
        self.app.call_from_thread(self._take, rows)

    def _take(self, rows: list[Choice]) -> None:
        if self.is_mounted:
            self.list_rows(rows)

    def found(self, hits: list[Hit]) -> None:
        """What is near in meaning."""
        self._take(_rows(hits, self._strings))

    def _marked(self) -> int | None:
        marked = self.marked()
        return int(marked.value) if marked and marked.value else None

    def action_meaning(self) -> None:
        """Search by meaning, on the model's thread."""
        if query := self.query_one(Input).value.strip():
            self.list_rows([Choice("", self._strings("history.looking"))])
            self._by_meaning(query)

    def action_pin(self) -> None:
        """Pin, or take the pin away."""
        if (id_ := self._marked()) is not None:
            self._do(lambda: self._store.pin(id_, not self._store.kept(id_).pinned))

    def action_rename(self) -> None:
        """Another title."""
        if (id_ := self._marked()) is None:
            return

        def named(title: str | None) -> None:
            if title:
                self._do(lambda: self._store.rename(id_, title))

        title = self._store.kept(id_).title
        self.app.push_screen(AskingScreen(self._strings("title.rename"), title, self._strings), named)

    def action_delete(self) -> None:
        """Forget a conversation for good, after asking."""
        if (id_ := self._marked()) is None:
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self._do(lambda: self._store.delete([id_]))
                self._scrub()

        question = self._strings("history.delete", title=one_line(self._store.kept(id_).title, 60))
        self.app.push_screen(ConfirmingScreen(question, self._strings("key.delete"), self._strings), confirmed)

    @work(thread=True, group="scrub")
    def _scrub(self) -> None:
        self._store.scrub()

    def _do(self, change: Callable[[], object]) -> None:
        try:
            change()
        except EngineError as error:
            self.notify(error.message, severity="error", markup=False)
        self.fill(self.query_one(Input).value)


def _row(kept: Kept) -> Choice:
    pin = "★ " if kept.pinned else ""
    return Choice(str(kept.id), pin + one_line(kept.title, WIDTH), when(kept.updated))


def _rows(hits: Iterable[Hit], strings: Strings) -> list[Choice]:
    """One row a conversation, its best message first."""
    rows: dict[int, Choice] = {}
    for hit in hits:
        excerpt = one_line(hit.excerpt, WIDTH)
        rows.setdefault(hit.conversation, Choice(str(hit.conversation), one_line(hit.title, 30), excerpt))
    return list(rows.values()) or [Choice("", strings("history.nothing"))]


def when(at: float) -> str:
    """A time for people: the clock for today, else the day."""
    then, today = time.localtime(at), time.localtime()
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d", then)
