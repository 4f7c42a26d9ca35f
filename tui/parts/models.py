"""The model that answers: which one is loaded, what is known of it, and the change to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import EngineError
from tui.jobs import Load
from tui.screens.choosing import Choice, ChoosingScreen

if TYPE_CHECKING:
    from engine.counter import TextCounter
    from tui import messages
    from tui.app import LlmApp


class Models:
    """The loaded model's facts; empty and 0 while there is none."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app
        self.name = ""
        self.context = 0
        """Tokens."""
        self.place = ""
        """Device and kernel."""
        self.memory = 0
        """Bytes."""
        self._counter: TextCounter | None = None
        self._loading = 0

    def change(self, name: str | None = None) -> None:
        """Load a model, the default without a name; errors are told."""
        app = self._app
        try:
            summary = app.library.summary(name or app.library.default or "")
        except EngineError as error:
            app.call_after_refresh(self._say_missing, error)
            return
        opening = {"device": app.settings["device"], "threads": app.settings["threads"], "context": app.settings["ctx"]}
        self._loading = app.runner.submit(Load(summary, opening))
        app.call_after_refresh(self._say_loading, summary.name)

    def _say_missing(self, error: EngineError) -> None:
        self._app.tell(error)
        self._app.chat.status.say(self._app.strings("status.no_model"), kind="error")

    def _say_loading(self, name: str) -> None:
        if self._loading:  # it may be there already
            self._app.chat.status.say(self._app.strings("status.loading", model=name), kind="accent")

    def loaded(self, event: messages.ModelLoaded) -> None:
        """It answers from here on."""
        self.name, self.context, self.place, self.memory = event.name, event.context, event.place, event.memory
        self._loading, self._counter = 0, event.counter
        self.say_ready()
        self._app.call_later(self._app.chat.show)

    def failed(self, key: int) -> None:
        """A job ended with an error; perhaps it was to load a model."""
        if key == self._loading:
            self._loading = 0
            self._app.chat.status.say(self._app.strings("status.no_model"), kind="error")

    def say_ready(self) -> None:
        """The status line of a model that waits."""
        if self.name:
            said = self._app.strings("status.ready", model=self.name, place=self.place, memory=self.memory_said)
            self._app.chat.status.say(said)

    @property
    def memory_said(self) -> str:
        """The memory for people."""
        return f"{self.memory / 1e6:.0f} MB"

    def count(self, text: str) -> int:
        """Tokens of a text; 0 while no model is loaded."""
        return self._counter.count(text) if self._counter else 0

    def show(self) -> None:
        """Installed models, to change to."""
        app = self._app
        choices = [
            Choice(summary.name, summary.name, app.strings(
                "models.current" if summary.name == self.name else "models.here",
                size=f"{summary.bytes_on_disk / 1e6:.0f} MB"))
            for summary in app.library.list() if not summary.problem
        ]  # fmt: skip

        def chosen(name: str | None) -> None:
            if name is not None and name != self.name:
                self.change(name)

        app.push_screen(ChoosingScreen(app.strings("title.models"), choices, app.strings), chosen)
