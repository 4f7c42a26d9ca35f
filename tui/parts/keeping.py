"""What the palette does to the open conversation and to the history: title, pin, delete, import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import EngineError, InputError, UsageError
from tui import transfer
from tui.files import ends, read_file
from tui.paths import at_home
from tui.screens.asking import AskingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.history_list import HistoryList
from tui.store import Store
from tui.widgets.text import one_line

if TYPE_CHECKING:
    from tui.app import LlmApp


class Keeping:
    """Deeds on what is kept; errors are told."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app

    def ask_title(self) -> None:
        """Another title for the open conversation."""
        app = self._app
        if (opened := self._opened()) is None:
            return
        store, number = opened

        async def named(title: str | None) -> None:
            if title and title.strip() and self._done(lambda: store.rename(number, title)):
                await self._changed(number)

        app.push_screen(AskingScreen(app.strings("title.rename"), app.chat.talk.title, app.strings), named)

    async def name(self, title: str) -> None:
        """A title for the open conversation, also before its first question. Raises EngineError."""
        app, talk = self._app, self._app.chat.talk
        store = app.memory.keeper.store
        if store is None:
            raise UsageError(app.strings("said.not_kept"), hint="/export chat.md or /export chat.json")
        if talk.kept is not None:
            store.rename(talk.kept, title)
            await self._changed(talk.kept)
        else:
            talk.title, talk.named = one_line(title, 200), True
            await app.chat.show()

    async def pin(self) -> None:
        """Pin the open conversation, or take the pin away."""
        if (opened := self._opened()) is None:
            return
        store, number = opened
        try:
            pinned = not store.kept(number).pinned
            store.pin(number, pinned)
        except EngineError as error:
            self._app.tell(error)
            return
        await self._changed(number)
        self._app.note(self._app.strings("said.pinned" if pinned else "said.unpinned"))

    def ask_delete(self) -> None:
        """Forget the open conversation for good, after asking."""
        app = self._app
        if (opened := self._opened()) is None:
            return
        store, number = opened

        async def confirmed(yes: bool | None) -> None:
            if yes and self._done(lambda: store.delete([number])):
                await self._changed(number, deleted=True)
                app.run_worker(lambda: self._scrub(store), thread=True, group="scrub")

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

    def _scrub(self, store: Store) -> None:
        try:
            store.scrub()
        except EngineError as error:
            self._app.call_from_thread(self._app.tell, error)

    def _done(self, change: Callable[[], object]) -> bool:
        """Whether a change of the history was made; why not, is told: another process may have it, or deleted it."""
        try:
            change()
        except EngineError as error:
            self._app.tell(error)
            return False
        return True

    def _opened(self) -> tuple[Store, int] | None:
        """The history, and what it calls the open conversation; what is missing is told."""
        app = self._app
        store, number = app.memory.keeper.store, app.chat.talk.kept
        if store is None or number is None:
            missing = "said.not_kept" if store is None else "said.nothing_asked"
            app.tell(UsageError(app.strings(missing)))
            return None
        return store, number

    async def _changed(self, number: int, *, deleted: bool = False) -> None:
        await self._app.memory.changed(HistoryList.Changed(number, deleted=deleted))
