"""The model that answers: which one is loaded, what is known of it, and the change to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import catalog
from engine.catalog import resolve
from engine.errors import EngineError
from engine.tasks.breaks import shown
from tui.jobs import Load, Take, Unload
from tui.parts.pulls import Pulls
from tui.screens.models import ModelsScreen
from tui.screens.welcome import WelcomeScreen

if TYPE_CHECKING:
    from engine.catalog import CatalogEntry
    from engine.counter import TextCounter
    from engine.schema import ModelSummary
    from engine.session import Session
    from tui import messages
    from tui.app import LlmApp
    from tui.widgets.pull_line import PullState

OPENING = {"device": "device", "threads": "threads", "ctx": "context"}
"""Settings that a model is loaded with, and what the engine calls them."""


class Models:
    """The loaded model's facts; empty and 0 while there is none."""

    def __init__(self, app: LlmApp, adapter: Path | None = None) -> None:
        """`adapter`: a change of the first model."""
        self._app, self._adapter = app, adapter
        self._adapted = ""
        """The first model: what the adapter was made for."""
        self.name = ""
        self.context = 0
        """Tokens."""
        self.place = ""
        """Device and kernel."""
        self.memory = 0
        """Bytes."""
        self._counter: TextCounter | None = None
        self._loading = 0
        self._coming = ""
        """The model that is being loaded, or waits for that."""
        self.at_server = False
        """Whether a server answers, or will: what a model of this machine is loaded with says nothing to it."""
        self.pulls = Pulls(app)

    def change(self, name: str | None = None) -> None:
        """Load a model, the default without a name; errors are told."""
        app = self._app
        try:
            summary = app.library.summary(name or app.library.default or "")
        except EngineError as error:
            app.call_after_refresh(self._say_missing, EngineError(error.message, hint=app.strings("hint.models")))
            return
        self._adapted = self._adapted or summary.name
        opening = {field: app.settings[name] for name, field in OPENING.items()}
        opening["adapter"] = self._adapter if summary.name == self._adapted else None
        self._loading, self._coming = app.runner.submit(Load(summary, opening)), summary.name
        self.at_server = False
        app.call_after_refresh(self.say_ready)
        if app.chat.writings:
            app.note(app.strings("said.model_waits", name=summary.name))

    def reload(self) -> None:
        """The model that is here, or on its way, with the settings as they are now."""
        self.change(self._coming if self._loading else self.name or None)

    def take(self, session: Session) -> None:
        """A session with a server, in place of a model of this machine."""
        self._loading, self._coming = self._app.runner.submit(Take(session)), session.name
        self.at_server = True

    def _say_missing(self, error: EngineError) -> None:
        self._app.tell(error)
        if not self.installing:  # else the one that is here goes on
            self._app.chat.status.say(self._app.strings("status.no_model"), kind="error")

    def loaded(self, event: messages.ModelLoaded) -> None:
        """It answers from here on."""
        self.name, self.context, self.place, self.memory = event.name, event.context, event.place, event.memory
        self._counter = event.counter
        if event.went_back is not None:
            self._went_back(event.key, event.went_back)
        if event.key == self._loading:
            self._loading = 0
        self._app.meter.forget_counts()
        self.say_ready()
        self._app.call_later(self._app.chat.show)

    def _went_back(self, key: int, opening: dict[str, Any]) -> None:
        """The settings that could not be had are again those that worked."""
        app = self._app
        if key == self._loading:  # else others are on their way
            for name, field in OPENING.items():
                if (value := opening[field]) is None:
                    app.settings = app.settings.without(name)
                elif app.settings[name] != value:
                    app.settings = app.settings.with_flags({name: value})
        app.note(app.strings("said.went_back", name=self.name))

    def failed(self, key: int, error: EngineError) -> None:
        """A job ended with an error; perhaps it was to load a model, or a pull."""
        self.pulls.failed(key, error)
        if key == self._loading:
            self._loading = 0
            self._forget()  # the one before was let go to make room

    def say_ready(self) -> None:
        """The status line of a model that waits for questions, or is still to come."""
        if self._loading:
            self._app.chat.status.say(self._app.strings("status.loading", model=self._coming), kind="accent")
        elif self.name:
            said = self._app.strings("status.ready", model=self.name, place=self.place, memory=self.memory_said)
            self._app.chat.status.say(said)

    @property
    def memory_said(self) -> str:
        """The memory for people."""
        return f"{self.memory / 1e6:.0f} MB"

    @property
    def better(self) -> str:
        """A model to bring here for better conversations; empty where none is known, or it is here."""
        try:
            return "" if self.at_server else catalog.better_company(self.name, self._app.library.names())
        except EngineError:  # the folder can't be read: nothing can be brought there
            return ""

    def count(self, text: str) -> int:
        """Tokens of a text as it is read; 0 while no model is loaded."""
        return self._counter.count(shown(text)) if self._counter else 0

    # The models on this machine, and those on their way

    def show(self) -> None:
        """The models, to change to, to bring and to remove."""
        app = self._app
        screen = ModelsScreen(self, app.strings)

        def chosen(name: str | None) -> None:
            self.pulls.watcher = None
            if name is not None and name != self.name:
                self.change(name)

        app.push_screen(screen, chosen)
        self.pulls.watcher = lambda: screen.pulls_changed() if screen.is_mounted else None

    def welcome(self, spec: str) -> None:
        """The first start: there is no model at all. `spec`: the one to offer."""
        app = self._app
        screen = WelcomeScreen(resolve(spec), self, app.strings)

        def chosen(wanted: str | None) -> None:
            self.pulls.watcher = None
            if wanted:
                self.show()

        def changed() -> None:
            if self.installing and screen.is_current:
                screen.dismiss(None)
            elif screen.is_mounted:
                screen.pulls_changed()

        app.push_screen(screen, chosen)
        self.pulls.watcher = changed
        app.chat.status.say(app.strings("status.no_model"), kind="error")

    @property
    def installing(self) -> bool:
        """Whether a model is loaded or being loaded."""
        return bool(self.name or self._loading)

    @property
    def pulling(self) -> Sequence[PullState]:
        """What is on its way, the running pull first."""
        return self.pulls.states

    @property
    def last_error(self) -> EngineError | None:
        """Why the last pull failed."""
        return self.pulls.last_error

    def state_of(self, spec: str) -> PullState | None:
        """How far a pull is."""
        return self.pulls.state_of(spec)

    def installed(self) -> Sequence[ModelSummary]:
        """What is here."""
        return self._app.library.list()

    def available(self) -> Sequence[CatalogEntry]:
        """What the catalog has besides."""
        here = set(self._app.library.names())
        return [entry for entry in catalog.entries() if entry.name not in here]

    def default(self) -> str | None:
        """The model used when none is named."""
        return self._app.library.default

    def make_default(self, name: str) -> None:
        """Use a model when none is named."""
        self._try(lambda: self._app.library.set_default(name))

    def pull(self, spec: str) -> None:
        """Bring a model here; errors are told."""
        self._try(lambda: self.pulls.start(spec))

    def stop_pull(self, spec: str) -> None:
        """Stop bringing it; what has come is kept."""
        self.pulls.stop(spec)

    def remove(self, name: str) -> None:
        """Delete a model; the loaded one is let go first. Errors are told."""
        app = self._app
        if name == self.name and app.chat.writings:
            app.tell(EngineError(app.strings("said.busy")))
            return
        if name == self.name:
            app.runner.submit(Unload())
            self._forget()
        if self._try(lambda: app.library.remove(name)):
            app.note(app.strings("models.removed", name=name))

    def _forget(self) -> None:
        """No model answers any more."""
        app = self._app
        self.name = self.place = ""
        self.context = self.memory = 0
        self._counter = None
        app.meter.forget_counts()
        app.chat.status.say(app.strings("status.no_model"), kind="error")
        app.chat.status.meter(0, 0)
        app.call_later(app.chat.show)

    def _try(self, deed: Callable[[], object]) -> bool:
        try:
            deed()
        except EngineError as error:
            self._app.tell(error)
            return False
        return True
