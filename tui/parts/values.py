"""The settings as they are changed while the app runs, by the panel, a word or a key; and the panel that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, UsageError
from tui.parts.models import OPENING
from tui.remembered import ORIGIN, Remembered
from tui.screens.choosing import Choice, ChoosingScreen
from tui.settings import SETTINGS, parse, sampling
from tui.widgets.panel import FIELDS, Panel

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from tui.app import LlmApp


THEME = "textual-dark"
REMEMBERED = ("theme", *(name for name in FIELDS if name != "seed"))
"""Settings that later runs begin with; a seed would let all of them say the same."""
LIVE = ("model", "device", "threads", "ctx", *FIELDS, "stop", "end_loops", "stats", "theme")
"""What an app that runs can still take; the others are read when it starts."""


class Values:
    """How answers are drawn and how the app looks, from now on."""

    _told = False
    """Whether it was said that nothing can be remembered."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app
        self._remembered = Remembered(app.places.app_file, REMEMBERED)
        app.settings = app.settings.with_values_below(self._remembered.values, ORIGIN)

    def restore(self) -> None:
        """The looks of the last run, and what the settings say of them."""
        app, was_open = self._app, self._remembered.open
        self.restore_theme()
        app.chat.set_class(was_open.get("sidebar", True), "sidebar-open")
        if was_open.get("panel"):
            app.chat.call_after_refresh(app.chat.show_panel)

    def restore_theme(self) -> None:
        """The theme of the settings; one that is not there is told."""
        app = self._app
        name = app.settings["theme"] or THEME
        if name not in app.available_themes:
            app.tell(UsageError(app.strings("said.no_theme", name=name), hint=", ".join(sorted(app.available_themes))))
            name = THEME
        app.theme = name

    def remember(self, **opened: bool) -> None:
        """Keep for the next run what is open, and the values that were changed here."""
        self._remembered.open |= opened
        try:
            self._remembered.write()
        except EngineError as error:
            if not self._told:
                self._app.tell(error)
            self._told = True

    def show_sidebar(self, shown: bool) -> None:
        """The conversations beside the chat, or not."""
        self._app.chat.set_class(shown, "sidebar-open")
        self.remember(sidebar=shown)

    def sampling(self) -> SamplingConfig:
        """How the next answer is drawn."""
        return sampling(self._app.settings, temperature=0.7, top_p=0.9, repetition_penalty=1.05, max_tokens=1024)

    def change(self, name: str, value: Any) -> None:
        """Change a setting: looks and the panel's values for later runs, too. Raises SettingsError."""
        app = self._app
        if name == "keys":
            raise UsageError(app.strings("said.keys_at_start"), hint="llm config set keys.NAME KEY")
        live = [known for known in LIVE if not (app.models.at_server and known in OPENING)]
        if name not in live:
            raise UsageError(f"/set can't change {name}", hint=f"it can change: {', '.join(live)}")
        if name == "theme" and value not in app.available_themes:
            raise UsageError(app.strings("said.no_theme", name=value), hint=", ".join(sorted(app.available_themes)))
        if name == "model":
            app.models.change(value)  # it says what comes of it
            return
        before = app.settings.origin(name)
        app.settings = app.settings.with_flags({name: value})
        if name in OPENING:
            app.models.reload()
        elif name == "theme":
            self.restore_theme()
        if name in REMEMBERED:
            self._remembered.values[name] = value
            self.remember()
        self.fill_panel()
        held = before not in {"default", ORIGIN, _flag(name)}
        app.note(f"{name} = {value}" + (f" ({app.strings('said.for_now', origin=before)})" if held else ""))

    def give(self, name: str, text: str) -> None:
        """A value from the panel; errors are told, and the panel shows what holds."""
        app = self._app
        try:
            if text:
                self.change(name, parse(SETTINGS[name], text, app.strings(f"panel.{name}")))
            else:
                app.settings = app.settings.without(name)
                self._remembered.values.pop(name, None)
                self.remember()
        except EngineError as error:
            app.tell(error)
        self.fill_panel()

    def fill_panel(self) -> None:
        """Bring the panel up to date, where it is open."""
        app, models = self._app, self._app.models
        if not app.chat.has_class("panel-open"):
            return
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
        """Another theme, for later runs, too."""
        app = self._app
        choices = [
            Choice(name, name, "" if theme.dark else "☀") for name, theme in sorted(app.available_themes.items())
        ]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.change("theme", name)

        app.push_screen(ChoosingScreen(app.strings("title.themes"), choices, app.strings), chosen)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
