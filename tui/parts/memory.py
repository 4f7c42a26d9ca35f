"""What is kept of the conversations while the app runs, the titles that the model writes, and the way back to them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from engine.database import StoreBusy
from engine.errors import EngineError, UsageError
from tui.jobs import Recall, Title
from tui.keeper import EVERY
from tui.screens.history import HistoryScreen
from tui.screens.history_list import HistoryList
from tui.talk import Talk
from tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from tui import messages
    from tui.app import LlmApp
    from tui.keeper import Keeper
    from tui.records import Entry
    from tui.talk import Writing


UNCHANGED = 2 * EVERY
"""Seconds after which an answer that has not grown is not being written any more."""

HURRY = 0.1
"""Seconds that the app waits for another process that writes into the history: no key is answered meanwhile."""

RECENT = 3600
"""Seconds for which a question without an answer is taken for one that was being answered when the app was killed."""


class Memory:
    """The history as the app uses it."""

    def __init__(self, app: LlmApp, keeper: Keeper) -> None:
        self._app, self.keeper = app, keeper
        self._unkept = False
        self._refused: set[Talk] = set()
        """Conversations that are kept once the history is free."""
        self._busy_since: float | None = None
        self._told = 0.0
        """When it was last noted what is being written."""
        self._titling: Talk | None = None
        self._title_job = self._recalling = 0
        self._asker: HistoryList | None = None

    def begin(self) -> None:
        """From now on there is someone who types."""
        if (store := self.keeper.store) is not None:
            store.hurry(HURRY)

    def keep(self, talk: Talk) -> None:
        """Save what has changed; a history that can't be written is told once, and the chat goes on."""
        self._kept(self.keeper.keep, talk)

    def keep_soon(self, talk: Talk) -> None:
        """Save a growing answer, at most once a second."""
        if talk not in self._refused:
            self._kept(self.keeper.keep_soon, talk)

    def _kept(self, save: Callable[[Talk], None], talk: Talk) -> None:
        fresh = talk.kept is None
        try:
            save(talk)
        except StoreBusy as error:
            self._keep_later(talk, error)
        except EngineError as error:
            if not self._unkept:
                self._app.tell(error)
            self._unkept = True
        else:
            self._unkept, self._busy_since = False, None
            if fresh and talk.kept is not None:
                self.list_again()

    def _keep_later(self, talk: Talk, error: StoreBusy) -> None:
        """Try again each second; one who waits longer than for a moment is told why."""
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if now - self._busy_since >= UNCHANGED and not self._unkept:
            self._app.tell(StoreBusy(error.message, hint=self._app.strings("hint.kept_later")))
            self._unkept = True
        if not self._refused:
            self._app.set_timer(EVERY, self._keep_refused)
        self._refused.add(talk)

    def _keep_refused(self) -> None:
        refused, self._refused = self._refused, set()
        with self._at_once():
            for talk in refused:
                self.keep(talk)
        self.list_again()

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[None]:
        """What is tried each second anyway waits for nobody: on a history in use, keys would be held up as often."""
        store = self.keeper.store
        assert store is not None, "without a history there is nothing to try"
        store.hurry(0)
        try:
            yield
        finally:
            store.hurry(HURRY)

    def still_at(self, writings: Iterable[Writing]) -> None:
        """Note each second what is being written, also what has not grown: another app that is opened now would take it
        for what was cut by a kill."""
        now, store = time.monotonic(), self.keeper.store
        if store is None or now - self._told < EVERY:
            return
        self._told = now
        for writing in writings:
            question = writing.turn.parent
            message = writing.turn.kept or (question.kept if question else None)
            if message is not None:
                # What can't be kept is told where it is to be kept.
                with contextlib.suppress(EngineError), self._at_once():
                    store.touch(message)

    def keep_unfinished(self, writings: Iterable[Writing]) -> None:
        """What is being written when the app is left, to its last word, and what could not be saved before: nobody is
        there to be told of an error, nor to type."""
        if (store := self.keeper.store) is not None:
            store.hurry(None)
        talks = set(self._refused)
        for writing in writings:
            if writing.turn.text:
                writing.turn.finish = "stopped"
                talks.add(writing.talk)
        for talk in talks:
            with contextlib.suppress(EngineError):
                self.keeper.keep(talk)

    def answered(self, talk: Talk) -> None:
        """An answer ended: once nothing else waits, the model names a conversation that nobody has named."""
        runner = self._app.runner
        self.list_again()
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
        store, number = self.keeper.store, talk.kept
        assert store is not None

        def name() -> None:
            with contextlib.suppress(UsageError):  # deleted meanwhile
                if not store.kept(number).named:  # by a person, meanwhile
                    store.rename(number, event.title)

        self._app.keeping.change(number, name)

    def show(self, query: str = "") -> None:
        """The kept conversations, over the chat. Raises UsageError where nothing is kept."""
        app, store = self._app, self.keeper.store
        if store is None:
            raise UsageError(app.strings("said.not_kept"))

        async def chosen(number: int | None) -> None:
            if number is not None:
                await self.open(number)

        app.push_screen(HistoryScreen(store, query, app.strings, app.chat.talk.kept or 0), chosen)

    async def open(self, number: int) -> None:
        """Go on with a kept conversation; errors are told."""
        try:
            await self._app.chat.open(self.keeper.open(number))
        except EngineError as error:
            self._app.tell(error)

    def look_for_the_cut(self) -> None:
        """Go on with a conversation whose last answer has no end: the app was killed while it was written.

        Another app may be writing it at this very moment: it must not have grown for a while.
        """
        if (cut := self._cut()) is not None:
            self._app.set_timer(UNCHANGED, lambda: self._take_up(cut))

    def _cut(self) -> tuple[int, Entry] | None:
        store = self.keeper.store
        try:
            latest = store.latest() if store is not None else None
            path = store.shown(latest.id) if store is not None and latest is not None else []
        except EngineError:  # told where something is kept
            return None
        if latest is None or not path:
            return None
        last = path[-1]
        asked = last.role == "user" and time.time() - last.updated < RECENT  # killed before the first word
        return (latest.id, last) if asked or (last.role == "assistant" and last.finish is None) else None

    async def _take_up(self, cut: tuple[int, Entry]) -> None:
        app, store = self._app, self.keeper.store
        if self._cut() != cut or store is None or app.chat.talk.path or app.chat.prompt.text or app.chat.pending:
            return
        number, answer = cut
        if answer.role == "assistant":
            facts, ids, logprobs = answer.facts, answer.ids, answer.logprobs
            try:
                store.finish(answer.id, answer.text, "stopped", facts=facts, ids=ids, logprobs=logprobs)
            except EngineError as error:  # it can be opened from the list
                app.tell(error)
                return
        await self.open(number)
        app.note(app.strings("said.was_cut"))

    async def changed(self, number: int, *, deleted: bool = False) -> None:
        """A conversation was named, pinned or deleted by hand: the open one follows."""
        chat, store = self._app.chat, self.keeper.store
        self.list_again()
        if deleted:
            chat.forget(number)
        if store is None or chat.talk.kept != number:
            return
        if deleted:
            await chat.open(Talk(chat.talk.system))
            return
        try:
            kept = store.kept(number)
        except EngineError as error:  # another process deleted it meanwhile
            self._app.tell(error)
            return
        chat.talk.title, chat.talk.named = kept.title, kept.named
        chat.query_one(TitleBar).show(chat.talk.title, self._app.models.name)

    def list_again(self) -> None:
        """The sidebar shows what is kept now."""
        sidebar = self._app.chat.sidebar
        if sidebar is not None and sidebar.is_mounted:
            sidebar.current = self._app.chat.talk.kept or 0
            sidebar.look_again()

    def recall(self, event: HistoryList.MeaningAsked) -> None:
        """A search by meaning, on the model's thread."""
        if (store := self.keeper.store) is not None:
            self._asker = event.asker
            self._recalling = self._app.runner.submit(Recall(store, event.query))

    def found(self, event: messages.MeaningsFound) -> None:
        """A search by meaning has its hits."""
        if event.key == self._recalling and self._asker is not None and self._asker.is_mounted:
            self._asker.found(event.hits)

    def failed(self, key: int) -> None:
        """A job ended with an error; perhaps it was a search by meaning, and its list looks for nothing any more."""
        if key == self._recalling and self._asker is not None and self._asker.is_mounted:
            self._asker.look_again()
