"""`--endpoint`: a session with a server elsewhere, its key kept out of the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from engine.errors import EngineError, UsageError
from tui.paths import at_home

if TYPE_CHECKING:
    from engine.session import Session
    from tui.cli.console import Console
    from tui.cli.options import Options
    from tui.settings import Settings

KEY_VARIABLE = "LOCAL_LLM_API_KEY"
_LOCAL = ("adapter", "device", "threads")
_BEYOND = ("top_k", "min_p", "repeat_penalty")
"""Ways of drawing that the API has no field for."""


def endpoint_session(options: Options, settings: Settings, console: Console) -> Session:
    """A session with the endpoint. Raises UsageError for options that it can't honour."""
    for name in _LOCAL:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is about this machine: an endpoint can't honour it")
    for name in _BEYOND:
        if settings[name] is not None:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} is not in the API: an endpoint can't honour it (from {settings.origin(name)})")
    from engine.endpoint import EndpointSession

    url = settings["endpoint"]
    with console.spinner(f"asking {url}"):
        session = EndpointSession(url, _key(settings), settings["model"] or "", settings["ctx"])
    return cast("Session", session)  # the same methods, which a test compares


def _key(settings: Settings) -> str:
    """The key, from the environment or a private file; empty where none is set. Raises EngineError."""
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        return _sound(key, KEY_VARIABLE)
    if not (name := settings["api_key_file"]):
        return ""
    path = at_home(name)
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise EngineError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        return _sound(path.read_text("ascii").strip(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"the key in {path} can't be read: {error}", hint="api_key_file names the file") from error


def _sound(key: str, where: str) -> str:
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise EngineError(f"{where} holds no key: it has blanks or control characters")
    return key
