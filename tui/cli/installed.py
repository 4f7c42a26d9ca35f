"""The models on this machine, for commands and for completion; neither torch nor a session is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import EngineError
from tui.paths import Places, places

if TYPE_CHECKING:
    from engine.library import Library


def open_library(folders: Places) -> Library:
    """The installed models of these folders."""
    from engine.library import Library

    return Library(folders.models, folders.cache)


def installed_names() -> list[str]:
    """Names of the installed models, for completion: quick, silent, never an error."""
    try:
        return open_library(places()).names()
    except EngineError:
        return []
