"""Which language the program speaks to a person: the setting `lang`, and where that leaves it open, the locale."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.schema import Language


def language_of_locale(environ: Mapping[str, str] | None = None) -> Language:
    """Chinese where the locale says so, else English."""
    environ = os.environ if environ is None else environ
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def language_of(choice: str) -> Language:
    """The language that a value of the setting `lang` stands for."""
    return "zh" if choice == "zh" else "en" if choice == "en" else language_of_locale()


def language_of_settings() -> Language:
    """By the settings where no command has read them: for help and usage errors, which broken settings don't stop."""
    try:
        return language_of(_setting())
    except (EngineError, OSError):
        return language_of_locale()


def _setting() -> str:
    """The value of `lang`; what reads settings is not even imported where nothing is set."""
    from tui.paths import places, project_file

    file = places().config_file
    if not (os.environ.get("LOCAL_LLM_LANG") or file.exists() or project_file()):
        return "auto"
    from tui.settings import Settings

    chosen: str = Settings.load(file)["lang"]
    return chosen
