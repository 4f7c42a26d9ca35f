"""Models on their way to this machine, one after the other, behind everything else that the app does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.catalog import resolve
from tui.pull_job import Pull
from tui.runner import Runner
from tui.widgets.pull_line import PullState

if TYPE_CHECKING:
    from engine.errors import EngineError
    from engine.schema import Progress
    from tui import messages
    from tui.app import LlmApp

PATIENCE = 5.0
"""Seconds that a stopped pull may take to put its files right when the app ends."""


@dataclass(slots=True)
class _Under:
    """A pull that runs or waits, and when its stage began."""

    state: PullState
    stage: str = ""
    began: float = 0.0
    first: int = 0


class Pulls:
    """What is being pulled. Screens that show it are told when it changes."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app
        self._runner: Runner | None = None
        self._under: dict[int, _Under] = {}
        self.watcher: Callable[[], None] | None = None
        """The open screen that shows pulls."""
        self.last_error: EngineError | None = None
        """Why the last pull failed, until another begins."""

    @property
    def states(self) -> list[PullState]:
        """All that run or wait, the running one first."""
        return [under.state for under in self._under.values()]

    def state_of(self, spec: str) -> PullState | None:
        """How far the pull of a spec is; None where there is none."""
        return next((state for state in self.states if state.spec == spec), None)

    def start(self, spec: str) -> None:
        """Begin, or wait for the pull before. Raises ModelNotFound, UsageError for what can't be pulled."""
        entry = resolve(spec)
        if self.state_of(entry.pull_spec):
            return
        if self._runner is None:
            self._runner = Runner(self._app.post_message, name="pulls")
        job = Pull(self._app.library, entry.pull_spec)
        self.last_error = None
        self._under[job.key] = _Under(PullState(entry.pull_spec, entry.name, entry.size))
        self._runner.submit(job)
        self._changed()

    def stop(self, spec: str = "") -> bool:
        """Stop the pull of a spec, or all; what has come is kept. False if there is none."""
        keys = [key for key, under in self._under.items() if spec in {"", under.state.spec}]
        for key in keys:
            assert self._runner is not None
            self._under[key].state.stopping = True
            self._runner.stop(key)
        self._changed()
        return bool(keys)

    def close(self) -> None:
        """The app ends: a running pull is stopped; `pull` again goes on from there."""
        if self._runner is not None:
            self._runner.close(PATIENCE)

    def progressed(self, event: messages.PullProgressed) -> None:
        """So much has come."""
        if under := self._under.get(event.key):
            _note(under, event.progress)
            self._changed()

    def ended(self, event: messages.PullEnded) -> None:
        """A model is here, or its pull was stopped."""
        under = self._under.pop(event.key, None)
        app = self._app
        if under is not None and event.summary is None:
            app.note(app.strings("pull.stopped", name=under.state.name))
        elif event.summary is not None:
            app.note(app.strings("pull.done", name=event.summary.name))
            if not app.models.name:
                app.models.change(event.summary.name)
        self._changed()

    def failed(self, key: int, error: EngineError) -> None:
        """A job ended with an error; perhaps it was a pull."""
        if self._under.pop(key, None):
            self.last_error = error
            self._changed()

    def _changed(self) -> None:
        if self.watcher is not None:
            self.watcher()
        self._app.chat.status.pull(self.states)


def _note(under: _Under, progress: Progress) -> None:
    state, now = under.state, time.monotonic()
    if progress.stage != under.stage:
        under.stage, under.began, under.first = progress.stage, now, progress.done_bytes
    state.stage, state.done = progress.stage, progress.done_bytes
    state.total = progress.total_bytes or (state.total if progress.stage == "download" else 0)
    state.rate = (state.done - under.first) / max(now - under.began, 1e-6) if now - under.began > 1 else 0.0
