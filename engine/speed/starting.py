"""Starts, each in a process of its own: from nothing to the first token."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.speed.turns import START

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Start:
    """What one start took."""

    seconds: float
    """From outside: the interpreter's own start and end are in it."""
    phases: dict[str, float]
    """Seconds of `import`, `load` and `first` token, as the process itself tells them."""
    resident_mb: float


def our_command(folder: Path, device: str, threads: int | None) -> list[str]:
    """The process of `engine.speed.ours`; with `START` it only starts."""
    return [sys.executable, "-m", "engine.speed.ours", str(folder), device, str(threads or 0)]


def start(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Start:
    """Start an engine's process once. Raises EngineError where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, START], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise EngineError(f"an engine's process failed: {reason[0]}")
    told = json.loads(done.stdout.splitlines()[-1])
    resident = told.pop("resident")
    return Start(seconds, told, resident)
