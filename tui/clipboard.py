"""Copy text: by a local tool, and where there is none or the session is remote, by the terminal itself (OSC 52)."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys

from engine.errors import EngineError

_TOOLS = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
    ("clip.exe",),
    ("clip",),
)
LONGEST = 74_994  # bytes of base64 that common terminals still take


def copy(text: str) -> str:
    """Copy, and return what took it. Raises EngineError where nothing could."""
    if tool := copy_by_tool(text):
        return tool
    coded = base64.b64encode(text.encode()).decode()
    terminal = sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
    if terminal and os.environ.get("TERM") != "dumb" and len(coded) <= LONGEST:
        sys.stderr.write(f"\x1b]52;c;{coded}\x07")
        sys.stderr.flush()
        return "the terminal (OSC 52)"
    raise EngineError("nothing here can copy", hint="use /export FILE")


def copy_by_tool(text: str) -> str | None:
    """Copy by a local tool and return its name; None where there is none, or where it would be another machine's."""
    if os.environ.get("SSH_CONNECTION"):
        return None
    return next((tool[0] for tool in _TOOLS if _usable(tool[0]) and _run(tool, text)), None)


def _usable(tool: str) -> bool:
    display = {"wl-copy": "WAYLAND_DISPLAY", "xclip": "DISPLAY", "xsel": "DISPLAY"}.get(tool)
    return shutil.which(tool) is not None and (display is None or bool(os.environ.get(display)))


def _run(command: tuple[str, ...], text: str) -> bool:
    coding = "utf-16-le" if command[0].startswith("clip") else "utf-8"
    try:
        done = subprocess.run(
            command,
            input=text.encode(coding),
            check=False,
            timeout=5,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
