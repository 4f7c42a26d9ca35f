"""The settings as they are changed while the app runs, by the panel, a word or a key; and the panel that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from tui.screens.choosing import Choice, ChoosingScreen
from tui.settings import SETTINGS, parse, sampling
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from tui.app import LlmApp


class Values:
    """How answers are drawn and how the app looks, from now on."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app

    def sampling(self) -> SamplingConfig:
        """How the next answer is drawn."""
        return sampling(self._app.settings, temperature=0.7, top_p=0.9, repetition_penalty=1.05, max_tokens=1024)

    def change(self, name: str, value: Any) -> None:
        """Change a setting until the app ends. Raises SettingsError."""
        app = self._app
        app.settings = app.settings.with_flags({name: value})
        if name == "model":
            app.models.change(value)
        elif name in {"device", "threads", "ctx"}:
            app.models.change(app.models.name or None)
        elif name == "theme":
            app.theme = value
        app.note(f"{name} = {value}")

    def give(self, name: str, text: str) -> None:
        """A value from the panel; errors are told, and the panel shows what holds."""
        app = self._app
        try:
            if text:
                self.change(name, parse(SETTINGS[name], text, app.strings(f"panel.{name}")))
            else:
                app.settings = app.settings.without(name)
        except EngineError as error:
            app.tell(error)
        self.fill_panel()

    def fill_panel(self) -> None:
        """Bring the panel up to date."""
        app, models = self._app, self._app.models
        drawn = self.sampling()
        values = drawn.to_json() | {"repeat_penalty": drawn.repetition_penalty}
        facts = {"name": models.name or "–", "device": models.place or "–", "memory": models.memory_said,
                 "context": str(models.context)}  # fmt: skip
        app.chat.query_one(Panel).show(facts, values, app.chat.talk.system)

    def show_panel(self) -> None:
        """Open the panel where it is closed."""
        if not self._app.chat.has_class("panel-open"):
            self._app.chat.action_panel()

    def choose_theme(self) -> None:
        """Another theme, until the app ends; `llm config set theme NAME` keeps it."""
        app = self._app
        choices = [
            Choice(name, name, "" if theme.dark else "☀") for name, theme in sorted(app.available_themes.items())
        ]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.change("theme", name)

        app.push_screen(ChoosingScreen(app.strings("title.themes"), choices, app.strings), chosen)
