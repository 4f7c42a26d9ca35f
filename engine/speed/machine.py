"""The machine that a figure belongs to, in words and numbers."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from engine.ahead import machine_memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures of two machines differ by."""

    processor: str
    cores: int
    memory_bytes: int
    """0 where the system does not tell."""
    system: str
    python: str

    def __str__(self) -> str:
        memory = f", {self.memory_bytes / 1e9:.0f} GB" if self.memory_bytes else ""
        return f"{self.processor}, {self.cores} cores{memory}, {self.system}"


def this_machine() -> Machine:
    """The one that runs this."""
    return Machine(
        _processor(), os.cpu_count() or 1, machine_memory(), f"{platform.system()} {platform.release()}",
        platform.python_version(),
    )  # fmt: skip


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
