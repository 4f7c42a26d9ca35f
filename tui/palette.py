"""Every feature of the app with its name, what it does and its key, for the command palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.keymap import ACTIONS

if TYPE_CHECKING:
    from tui.app import LlmApp

_KEYS = {"copy": "copy_last", "previous": "sibling_previous", "next": "sibling_next"}
"""Where a feature has another action's key: in the prompt the keys of messages are letters."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A row of the palette."""

    title: str
    help: str
    deed: Callable[[], Any]


def entries(app: LlmApp) -> Iterable[Feature]:
    """The rows of the palette, the most used first."""
    chat = app.chat
    rows: list[tuple[str, Callable[[], Any]]] = [
        ("new", chat.action_new),
        ("history", chat.action_history),
        ("sidebar", chat.action_sidebar),
        ("panel", chat.action_panel),
        ("models", app.models.show),
        ("copy", lambda: chat.obey("/copy")),
        ("copy_code", lambda: chat.do_to_chosen("copy_code")),
        ("retry", lambda: chat.do_to_chosen("retry")),
        ("edit", lambda: chat.obey("/edit")),
        ("edit_answer", lambda: chat.do_to_chosen("edit")),
        ("fork", lambda: chat.do_to_chosen("fork")),
        ("continue", lambda: chat.do_to_chosen("continue")),
        ("previous", lambda: chat.do_to_chosen("previous")),
        ("next", lambda: chat.do_to_chosen("next")),
        ("undo", lambda: chat.obey("/undo")),
        ("doubts", lambda: chat.do_to_chosen("words")),
        ("file", lambda: chat.obey("/file")),
        ("summarize", lambda: app.tasks.choose("summarize")),
        ("ask", lambda: app.tasks.choose("ask")),
        ("translate", lambda: app.tasks.choose("translate")),
        ("judge", lambda: app.tasks.choose("judge")),
        ("editor", lambda: app.edit_outside(chat.prompt)),
        ("system", lambda: chat.obey("/system")),
        ("context", app.meter.say),
        ("stats", lambda: chat.obey("/stats")),
        ("compact", lambda: chat.obey("/compact")),
        ("title", app.keeping.ask_title),
        ("pin", app.keeping.pin),
        ("delete", app.keeping.ask_delete),
        ("export", app.ask_export),
        ("import", app.keeping.ask_import),
        ("theme", app.values.choose_theme),
        ("suspend", app.to_the_shell),
        ("help", app.show_help),
        ("quit", app.exit),
    ]
    for name, deed in rows:
        action = ACTIONS.get(_KEYS.get(name, name))
        key = f"  {app.strings.keys[action.name]}" if action and action.where in {"app", "chat", "prompt"} else ""
        yield Feature(app.strings(f"palette.{name}"), app.strings(f"palette.{name}.help") + key, deed)


class Features(Provider):
    """All of them while nothing is typed, in their own order; then those whose name or help has the letters."""

    @property
    def _rows(self) -> Iterable[Feature]:
        return entries(cast("LlmApp", self.app))

    async def discover(self) -> Hits:
        """The whole list."""
        for row in self._rows:
            yield DiscoveryHit(row.title, row.deed, help=row.help)

    async def search(self, query: str) -> Hits:
        """The best first; a name counts more than what is said of it."""
        matcher, found = self.matcher(query), False
        for row in self._rows:
            score = max(matcher.match(row.title), matcher.match(row.help) / 4)
            if score > 0:
                found = True
                yield Hit(score, matcher.highlight(row.title), row.deed, help=row.help)
        if not found:  # Textual would say so in English
            app = cast("LlmApp", self.app)
            yield Hit(0.01, app.strings("palette.nothing"), app.show_help, help=app.strings("palette.nothing.help"))
