"""What the tests of the command line share: real processes with a home of their own, streams judged apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked

import engine

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(engine.__file__).parent.parent
COMMAND = [sys.executable, "-m", "tui.cli.main"]


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment: nothing of the developer's settings reaches the process."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LOCAL_LLM_", "XDG_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "LC_", "LANG"))
    }
    ours = {"LOCAL_LLM_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}
    return kept | ours | dict(extra or {})


def llm(
    home: Path,
    *arguments: str,
    stdin: bytes | int | Any | None = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
    fresh: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; bytes as stdin come through a pipe. `fresh`: with an interpreter started for it."""
    variables, folder = environment(home, env), cwd or home
    if not fresh and (done := forked.run(arguments, variables, folder, stdin, timeout)):
        return done
    source: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, env=variables, cwd=folder, timeout=timeout, check=False, **source
    )


def told(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """The lines on stderr."""
    return done.stderr.decode().splitlines()
