"""Opens the full-screen app with what the flags said."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.schema import Document
from tui.cli.opening import Run
from tui.paths import ensure

if TYPE_CHECKING:
    from tui.store import Store


def model_for_app(run: Run) -> str:
    """The model that the app loads or, where none is installed, offers to bring. Raises ModelNotFound."""
    if run.settings["endpoint"]:
        return run.endpoint.name
    if run.library.names():
        return run.find_installed().name
    from engine.catalog import default_entry, resolve

    ensure(run.places.models)  # says now what a pull would run into
    return resolve(run.settings["model"] or default_entry().pull_spec).pull_spec


def open_app(
    run: Run,
    model: str,
    system: str | None,
    documents: Sequence[Document],
    store: Store | None,
    conversation: int | None,
    gone: str = "",
) -> int:
    """Run the app until the person leaves; returns the exit code.

    `conversation`: which kept one to go on with; `gone`: the model that wrote it, where it is not installed.
    """
    from tui.app import LlmApp
    from tui.keeper import Keeper
    from tui.keymap import Keys
    from tui.language import language_of
    from tui.strings import Strings

    strings = Strings(language_of(run.settings["lang"]), Keys(run.settings["keys"]))
    settings = run.settings.with_flags({"model": model, "system": system})
    with store or contextlib.nullcontext():
        keeper = Keeper(store)
        talk = None if conversation is None else keeper.open(conversation)
        remote = run.endpoint if run.settings["endpoint"] else None
        app = LlmApp(
            settings, run.places, run.library, strings, talk, documents, keeper,
            adapter=run.adapter, remote=remote, gone=gone, html=run.options.html,
        )  # fmt: skip
        return app.run() or 0
