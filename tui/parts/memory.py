"""What is kept of the conversations while the app runs, the titles that the model writes, and the way back to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import EngineError, UsageError
from tui.jobs import Recall, Title
from tui.screens.history import HistoryScreen
from tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from tui import messages
    from tui.app import LlmApp
    from tui.keeper import Keeper
    from tui.talk import Talk, Turn


class Memory:
    """The history as the app uses it."""

    def __init__(self, app: LlmApp, keeper: Keeper) -> None:
        self._app, self.keeper = app, keeper
        self._unkept = False
        self._titling: Talk | None = None
        self._title_job = self._recalling = 0
        self._history: HistoryScreen | None = None

    def keep(self, talk: Talk) -> None:
        """Save what has changed; a history that can't be written is told once, and the chat goes on."""
        self._kept(self.keeper.keep, talk)

    def keep_soon(self, talk: Talk) -> None:
        """Save a growing answer, at most once a second."""
        self._kept(self.keeper.keep_soon, talk)

    def _kept(self, save: Callable[[Talk], None], talk: Talk) -> None:
        try:
            save(talk)
        except EngineError as error:
            if not self._unkept:
                self._app.tell(error)
            self._unkept = True
        else:
            self._unkept = False

    def drop(self, talk: Talk, turn: Turn) -> None:
        """Take a turn away, out of the history too."""
        talk.drop(turn)
        try:
            self.keeper.drop(turn)
        except EngineError as error:
            self._app.tell(error)

    def answered(self, talk: Talk) -> None:
        """An answer ended: once nothing else waits, the model names a conversation that nobody has named."""
        runner = self._app.runner
        if self.keeper.store is None or talk.named or talk.kept is None or runner.waiting() > 1:
            return
        first = talk.path[:2]
        if len(first) == 2 and first[1].finish in {"stop", "length"}:
            talk.named = True
            self._titling = talk
            self._title_job = runner.submit(Title([turn.shown_to_model() for turn in first]))

    def titled(self, event: messages.TitleWritten) -> None:
        """The model named a conversation."""
        talk = self._titling
        if event.key != self._title_job or talk is None or talk.kept is None or not event.title:
            return
        store = self.keeper.store
        assert store is not None
        try:
            store.rename(talk.kept, event.title)
        except EngineError:  # deleted meanwhile
            return
        talk.title = event.title
        if talk is self._app.chat.talk:
            self._app.chat.query_one(TitleBar).show(talk.title, self._app.models.name)

    def show(self, query: str = "") -> None:
        """The kept conversations. Raises UsageError where nothing is kept."""
        app, store = self._app, self.keeper.store
        if store is None:
            raise UsageError(app.strings("said.not_kept"))

        def recall(wanted: str) -> None:
            self._recalling = app.runner.submit(Recall(store, wanted))

        async def chosen(number: str | None) -> None:
            if number is None:
                return
            try:
                await app.chat.open(self.keeper.open(int(number)))
            except EngineError as error:
                app.tell(error)

        self._history = HistoryScreen(store, recall, query, app.strings)
        app.push_screen(self._history, chosen)

    def found(self, event: messages.MeaningsFound) -> None:
        """A search by meaning has its hits."""
        if event.key == self._recalling and self._history is not None and self._history.is_mounted:
            self._history.found(event.hits)
