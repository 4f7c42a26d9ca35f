"""What the palette does to the open conversation and to the history: title, pin, delete, import."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from engine.database import StoreBusy
from engine.errors import EngineError, InputError, UsageError
from tui import transfer
from tui.files import ends, read_file
from tui.keeper import EVERY
from tui.paths import at_home
from tui.screens.asking import AskingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.history_list import HistoryList
from tui.store import PATIENCE, Store
from tui.widgets.text import one_line

if TYPE_CHECKING:
    from tui.app import LlmApp


@dataclass(frozen=True, slots=True)
class _Change:
    """What shall be done to a conversation."""

    number: int
    make: Callable[[], object]
    deleted: bool
    until: float
    """How long it waits for another process."""


class Keeping:
    """Deeds on what is kept; errors are told."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app
        self._waiting: deque[_Change] = deque()
        """In the order in which they were asked for; the first is being tried."""

    def change(self, number: int, make: Callable[[], object], *, deleted: bool = False) -> None:
        """Name, pin or delete a conversation; then all that shows it follows.

        A history that another process has is asked for again and again, as long as all who write wait: keys are
        answered in between.
        """
        self._waiting.append(_Change(number, make, deleted, time.monotonic() + PATIENCE))
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        app, change = self._app, self._waiting[0]
        try:
            change.make()
        except StoreBusy as error:
            if time.monotonic() < change.until:
                app.set_timer(EVERY, self._go_on)
                return
            app.tell(error)
        except EngineError as error:  # another process deleted it, for one
            app.tell(error)
        else:
            app.call_later(app.memory.changed, change.number, deleted=change.deleted)
            if change.deleted:
                app.run_worker(self._scrub, thread=True, group="scrub")
        app.call_later(self._list_again)
        self._waiting.popleft()
        if self._waiting:
            app.call_later(self._go_on)  # behind what follows from this one: the next may delete the conversation

    def _list_again(self) -> None:
        """Every list of conversations shows them as they are now."""
        for screen in self._app.screen_stack:
            for shown in screen.query(HistoryList):
                shown.look_again()

    def finish(self) -> None:
        """Do what still waits when the app is left: nobody is there to be told of an error, nor to type."""
        for change in self._waiting:
            with contextlib.suppress(EngineError):
                change.make()
                if change.deleted:
                    self._store.scrub()

    def ask_title(self) -> None:
        """Another title for the open conversation."""
        app = self._app
        if (opened := self._opened()) is None:
            return
        store, number = opened

        def named(title: str | None) -> None:
            if title and title.strip():
                self.change(number, partial(store.rename, number, title))

        app.push_screen(AskingScreen(app.strings("title.rename"), app.chat.talk.title, app.strings), named)

    async def name(self, title: str) -> None:
        """A title for the open conversation, also before its first question. Raises EngineError."""
        app, talk = self._app, self._app.chat.talk
        store = app.memory.keeper.store
        if store is None:
            raise UsageError(app.strings("said.not_kept"), hint="/export chat.md or /export chat.json")
        if talk.kept is not None:
            self.change(talk.kept, partial(store.rename, talk.kept, title))
        else:
            talk.title, talk.named = one_line(title, 200), True
            await app.chat.show()

    def pin(self) -> None:
        """Pin the open conversation, or take the pin away."""
        if (opened := self._opened()) is None:
            return
        store, number = opened

        def turn() -> None:
            pinned = not store.kept(number).pinned
            store.pin(number, pinned)
            self._app.note(self._app.strings("said.pinned" if pinned else "said.unpinned"))

        self.change(number, turn)

    def ask_delete(self) -> None:
        """Forget the open conversation for good, after asking."""
        app = self._app
        if (opened := self._opened()) is None:
            return
        store, number = opened

        def confirmed(yes: bool | None) -> None:
            if yes:
                self.change(number, lambda: store.delete([number]), deleted=True)

        question = app.strings("history.delete", title=one_line(app.chat.talk.title, 60))
        app.push_screen(ConfirmingScreen(question, app.strings("key.delete"), app.strings), confirmed)

    def ask_import(self) -> None:
        """Take conversations in from a file that the person names."""
        app = self._app

        def named(path: str | None) -> None:
            if path and path.strip():
                app.run_worker(lambda: self._import(path.strip()), thread=True, group="import")

        app.push_screen(AskingScreen(app.strings("title.import"), "conversations.json", app.strings), named)

    def _import(self, path: str) -> None:
        app, store = self._app, self._app.memory.keeper.store
        try:
            if store is None:
                raise UsageError(app.strings("said.not_kept"))
            text = read_file(ends(str(at_home(path)))).text
            incoming = [found for found in transfer.read(text, path) if found.nodes]
            if not incoming:
                raise InputError(app.strings("said.nothing_in", name=path))
            with Store(store.path) as own, own.together():  # the app's own goes on reading meanwhile
                for conversation in incoming:
                    transfer.put(own, conversation)
        except EngineError as error:
            app.call_from_thread(app.tell, error)
            return
        app.call_from_thread(app.note, app.strings("said.imported", count=len(incoming)))
        app.call_from_thread(app.memory.list_again)

    def _scrub(self) -> None:
        try:
            with Store(self._store.path) as own:  # the app's own goes on reading meanwhile
                own.scrub()
        except EngineError as error:
            self._app.call_from_thread(self._app.tell, error)

    @property
    def _store(self) -> Store:
        store = self._app.memory.keeper.store
        assert store is not None, "what is not kept can't be changed"
        return store

    def _opened(self) -> tuple[Store, int] | None:
        """The history, and what it calls the open conversation; what is missing is told."""
        app = self._app
        store, number = app.memory.keeper.store, app.chat.talk.kept
        if store is None or number is None:
            missing = "said.not_kept" if store is None else "said.nothing_asked"
            app.tell(UsageError(app.strings(missing)))
            return None
        return store, number
