"""The history as a command opens it: the file, retention, and which conversation is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import UsageError

if TYPE_CHECKING:
    from tui.cli.opening import Run
    from tui.store import Store


def open_history(run: Run) -> Store:
    """The user's history, made where it is missing; what is older than `history_days` goes first."""
    from tui.store import Store

    store = Store(run.places.history)
    if (days := run.settings["history_days"]) and (gone := store.expire(days)):
        store.scrub()
        run.console.detail(f"forgot {gone} conversations unchanged for {days} days")
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


def complete_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest conversations that begin so, with their titles; no torch."""
    from tui.paths import places
    from tui.store import Store

    path = places().history
    if not path.exists():
        return []
    with Store(path) as store:
        found = [(str(kept.id), kept.title) for kept in store.recent(50)]
    return [(id_, title) for id_, title in found if id_.startswith(incomplete)]
