"""The model that a benchmark measures where nobody names one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def default_model() -> Path:
    """The folder of the default model. Exits with a message if there is none."""
    from engine.errors import EngineError
    from tui.cli.installed import open_library
    from tui.paths import places

    library = open_library(places())
    try:
        return library.find(library.default or "")
    except EngineError as error:
        sys.exit(f"{error.message}; {error.hint}")
