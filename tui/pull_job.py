"""Bringing a model here as a job of the app: it tells how far it is and ends within a moment when it is stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui.jobs import Job
from tui.messages import PullEnded, PullProgressed
from tui.paths import ensure

if TYPE_CHECKING:
    from engine.library import Library
    from engine.schema import Progress
    from tui.runner import Runner

EVERY = 0.1
"""Seconds between two messages about one stage."""


class Stopped(Exception):
    """A person stopped the pull; unwinds through the library, which keeps what has come."""


@dataclass
class Pull(Job):
    """A model of the catalog or of the hub, on its way to this machine."""

    library: Library
    spec: str

    def run(self, room: Runner) -> None:
        """Bring it; nothing half is left when it is stopped. Raises EngineError."""
        told: tuple[str, float] = ("", 0.0)

        def report(progress: Progress) -> None:
            nonlocal told
            if self.stopped.is_set():
                raise Stopped
            now = time.monotonic()
            if progress.stage != told[0] or now - told[1] >= EVERY:
                told = (progress.stage, now)
                room.post(PullProgressed(self.key, progress))

        summary = None
        try:
            if not self.stopped.is_set():
                for folder in (self.library.models_dir, self.library.cache_dir):
                    ensure(Path(folder))
                summary = self.library.pull(self.spec, progress=report)
        except Stopped:
            pass
        room.post(PullEnded(self.key, summary))
