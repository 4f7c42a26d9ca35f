"""Every feature of the app with its name and what it does, for the command palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand

if TYPE_CHECKING:
    from tui.app import LlmApp


def entries(app: LlmApp) -> Iterable[SystemCommand]:
    """The rows of the palette, the most used first."""
    chat = app.chat
    rows: list[tuple[str, Callable[[], Any]]] = [
        ("new", chat.action_new),
        ("history", chat.action_history),
        ("panel", chat.action_panel),
        ("models", app.models.show),
        ("copy", lambda: chat.by_name("copy")),
        ("copy_code", lambda: chat.on_last("copy_code")),
        ("retry", lambda: chat.on_last("retry")),
        ("edit", lambda: chat.by_name("edit")),
        ("edit_answer", lambda: chat.on_last("edit")),
        ("fork", lambda: chat.on_last("fork")),
        ("continue", lambda: chat.on_last("continue")),
        ("previous", lambda: chat.on_last("previous")),
        ("next", lambda: chat.on_last("next")),
        ("doubts", lambda: chat.on_last("words")),
        ("file", lambda: chat.by_name("file")),
        ("summarize", lambda: app.tasks.choose("summarize")),
        ("ask", lambda: app.tasks.choose("ask")),
        ("translate", lambda: app.tasks.choose("translate")),
        ("judge", lambda: app.tasks.choose("judge")),
        ("editor", lambda: app.edit_outside(chat.prompt)),
        ("system", lambda: chat.by_name("system")),
        ("context", app.meter.say),
        ("stats", lambda: chat.by_name("stats")),
        ("compact", lambda: chat.by_name("compact")),
        ("export", app.ask_export),
        ("theme", app.values.choose_theme),
        ("help", app.show_help),
        ("quit", app.exit),
    ]
    for name, deed in rows:
        yield SystemCommand(app.strings(f"palette.{name}"), app.strings(f"palette.{name}.help"), deed)
