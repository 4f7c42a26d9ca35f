"""Every feature of the app with its name, what it does and its key, for the command palette."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from textual.fuzzy import Matcher

from tui.keymap import ACTIONS
from tui.screens.choosing import Choice, ChoosingScreen

if TYPE_CHECKING:
    from tui.app import LlmApp

_KEYS = {"copy": "copy_last", "previous": "sibling_previous", "next": "sibling_next"}
"""Where a feature has another action's key: in the prompt the keys of messages are letters."""


class PaletteScreen(ChoosingScreen):
    """Returns a feature's name, or None. Textual's own palette fills its rows in the background: an Enter that comes
    soon takes one of those before."""

    WIDE = True

    def score(self, matcher: Matcher, choice: Choice) -> float:
        """A name counts more than what is said of it."""
        return max(matcher.match(choice.label), matcher.match(choice.note) / 4)

    def list_rows(self, found: Sequence[Choice]) -> None:
        """Where nothing matches, a way on."""
        nothing = Choice("help", self._strings("palette.nothing"), self._strings("palette.nothing.help"))
        super().list_rows(found or [nothing])


def open_palette(app: LlmApp) -> None:
    """Choose a feature by a part of its name, and do it."""
    deeds = deeds_of(app)

    async def chosen(name: str | None) -> None:
        if name and isawaitable(done := deeds[name]()):
            await done

    width = max(len(_key(app, name)) for name in deeds)
    said = {name: f"{_key(app, name):{width}}  {app.strings(f'palette.{name}.help')}" for name in deeds}
    rows = [Choice(name, app.strings(f"palette.{name}"), note) for name, note in said.items()]
    app.push_screen(PaletteScreen(app.strings("title.palette"), rows, app.strings), chosen)


def _key(app: LlmApp, name: str) -> str:
    """The key that a feature has everywhere."""
    action = ACTIONS.get(_KEYS.get(name, name))
    return app.strings.keys[action.name] if action and action.where in {"app", "chat", "prompt"} else ""


def deeds_of(app: LlmApp) -> Mapping[str, Callable[[], Any]]:
    """What each feature does, by its name, the most used first."""
    chat = app.chat
    return {
        "new": chat.action_new,
        "history": chat.action_history,
        "sidebar": chat.action_sidebar,
        "panel": chat.action_panel,
        "models": app.models.show,
        "copy": lambda: chat.obey("/copy"),
        "copy_code": lambda: chat.do_to_chosen("copy_code"),
        "retry": lambda: chat.do_to_chosen("retry"),
        "edit": lambda: chat.obey("/edit"),
        "edit_answer": lambda: chat.do_to_chosen("edit"),
        "fork": lambda: chat.do_to_chosen("fork"),
        "continue": lambda: chat.do_to_chosen("continue"),
        "previous": lambda: chat.do_to_chosen("previous"),
        "next": lambda: chat.do_to_chosen("next"),
        "undo": lambda: chat.obey("/undo"),
        "doubts": lambda: chat.do_to_chosen("words"),
        "file": lambda: chat.obey("/file"),
        "summarize": lambda: app.tasks.choose("summarize"),
        "ask": lambda: app.tasks.choose("ask"),
        "translate": lambda: app.tasks.choose("translate"),
        "judge": lambda: app.tasks.choose("judge"),
        "editor": lambda: app.edit_outside(chat.prompt),
        "system": lambda: chat.obey("/system"),
        "context": app.meter.say,
        "stats": lambda: chat.obey("/stats"),
        "compact": lambda: chat.obey("/compact"),
        "title": app.keeping.ask_title,
        "pin": app.keeping.pin,
        "delete": app.keeping.ask_delete,
        "export": app.ask_export,
        "import": app.keeping.ask_import,
        "theme": app.values.choose_theme,
        "suspend": app.to_the_shell,
        "help": app.show_help,
        "quit": app.exit,
    }
