"""The history as a command opens it: the file, retention, and which conversation is meant."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from engine.errors import EngineError, UsageError
from tui.cli.console import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.cli.opening import Run
    from tui.records import Entry, Kept
    from tui.store import Store


def open_history(run: Run) -> Store:
    """The user's history, made where it is missing; what is older than `history_days` goes first."""
    from tui.store import Store

    store = Store(run.places.history)
    if (days := run.settings["history_days"]) and (gone := store.expire(days)):
        store.scrub()
        run.console.detail(f"forgot {counted(gone, 'conversation')} unchanged for {days} days")
    return store


def chosen(store: Store | None, *, resume: bool, number: int | None) -> int | None:
    """The conversation to go on with, if any. Raises UsageError where there is none such."""
    if not resume and number is None:
        return None
    if store is None:
        raise UsageError("conversations are not kept", hint="llm config set history true")
    if number is not None:
        return store.kept(number).id
    latest = store.latest()
    if latest is None:
        raise UsageError("no conversation is kept yet", hint="llm chat begins one")
    return latest.id


def model_of(kept: Kept, path: Sequence[Entry]) -> str:
    """The model that wrote the last answer of a conversation, else the one it began with; empty where none is known."""
    return next((entry.facts["model"] for entry in reversed(path) if entry.facts.get("model")), kept.model)


def take_its_model(run: Run, store: Store, number: int) -> str:
    """Let a conversation go on with its own model unless another is named; returns the name of one that is gone."""
    if run.options.model or run.settings["endpoint"]:
        return ""
    own = model_of(store.kept(number), store.shown(number))
    if own in run.library.names():
        run.settings = run.settings.with_flags({"model": own})
        return ""
    return own


_HARMLESS = str.maketrans("\\[]", "/()")
"""A title says anything, and Zsh evaluates it: Typer escapes what could run, but not a backslash, which takes that
escape away. And Typer reads brackets as markup."""


def complete_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest conversations that begin so, with their titles, for completion: silent, never an error."""
    from tui.paths import places
    from tui.store import Store

    found: list[tuple[str, str]] = []
    with contextlib.suppress(EngineError):
        if (path := places().history).exists():
            with Store(path) as store:
                found = [(str(kept.id), kept.title.translate(_HARMLESS)) for kept in store.recent(50)]
    return [(id_, title) for id_, title in found if id_.startswith(incomplete)]
