"""Opens the full-screen app with what the flags said."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.schema import Document, ModelSummary
from tui.cli.opening import Run

if TYPE_CHECKING:
    from tui.store import Store


def open_app(
    run: Run,
    summary: ModelSummary,
    system: str | None,
    documents: Sequence[Document],
    store: Store | None,
    conversation: int | None,
) -> int:
    """Run the app until the person leaves; returns the exit code. `conversation`: which kept one to go on with."""
    from tui.app import LlmApp
    from tui.keeper import Keeper
    from tui.strings import Strings, language_of_locale
    from tui.talk import Talk

    chosen = run.settings["lang"]
    strings = Strings(language_of_locale() if chosen == "auto" else chosen)
    settings = run.settings.with_flags({"model": summary.name})
    with store or contextlib.nullcontext():
        keeper = Keeper(store)
        talk = Talk(system) if conversation is None else keeper.open(conversation)
        app = LlmApp(settings, run.places, run.library, strings, talk, documents, keeper)
        return app.run() or 0
