"""Starts, each in a process of its own: from nothing to the first token."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.serving.wire import unpack_error
from engine.speed.turns import START

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Start:
    """What one start took."""

    seconds: float
    """From outside, until the process tells that it drew a token: the interpreter's own start is in it."""
    phases: dict[str, float]
    """Seconds of `import`, `load` and `first` token, as the process itself tells them."""
    resident_mb: float


def our_command(folder: Path, device: str, threads: int | None) -> list[str]:
    """The process of `engine.speed.ours`; with `START` it only starts."""
    return [sys.executable, "-m", "engine.speed.ours", str(folder), device, str(threads or 0)]


def start(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Start:
    """Start an engine's process once. Raises EngineError where it fails, as the process did where that is ours."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [*command, START],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        told = next((line for line in process.stdout if line.startswith("{")), "")
        seconds = time.perf_counter() - begun
        _, errors = process.communicate()
    if process.returncode or not told:
        reason = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise EngineError(f"an engine's process failed: {reason[0]}")
    phases = json.loads(told)
    if "refused" in phases:
        raise unpack_error(phases["refused"])
    resident = phases.pop("resident")
    return Start(seconds, phases, resident)
