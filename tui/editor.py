"""What lies behind the app: the user's own editor, for texts too long for a prompt, and the shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from engine.errors import UsageError


def run_editor(path: Path) -> None:
    """Let the user's editor open a file, and wait. Raises UsageError where there is none or it fails."""
    wanted = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    fallback = next((name for name in ("nano", "vim", "vi", "notepad") if shutil.which(name)), "")
    words: list[str] = []
    with contextlib.suppress(ValueError):
        words = shlex.split(wanted or fallback, posix=os.name == "posix")
    if not words or not shutil.which(words[0]):
        raise UsageError(f"no editor {wanted or ''} was found".replace("  ", " "), hint="set EDITOR to one")
    status = subprocess.run([*words, str(path)], check=False).returncode
    if status:
        raise UsageError(f"the editor {words[0]} failed with status {status}")


def has_a_shell() -> bool:
    """Whether a shell is there to let a stopped program go on: one that a terminal began itself has none."""
    return os.name == "posix" and os.getpgrp() != os.getsid(0)
