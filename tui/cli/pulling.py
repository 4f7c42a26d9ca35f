"""Bringing a model here with a bar on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine import schema
from tui.cli.console import Console, program
from tui.cli.progress import Progress, size

if TYPE_CHECKING:
    from engine.library import Library
    from engine.schema import ModelSummary

_STAGES: dict[schema.Stage, str] = {
    "wait": "waiting", "connect": "connecting", "download": "downloading", "verify": "checking",
    "convert": "converting", "install": "installing",
}  # fmt: skip


class Reporter:
    """Turns the library's progress into a bar or plain lines."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._told = ""

    def __call__(self, event: schema.Progress) -> None:
        label = _STAGES[event.stage]
        if event.detail and event.detail != self._told and (event.stage == "wait" or self._console.verbose):
            self._progress.clear()
            self._console.note(event.detail)
            self._told = event.detail
        if event.total_bytes or event.done_bytes:
            self._progress.update(event.done_bytes, event.total_bytes or None, label)
        else:
            self._progress.update(0, None, label)


def pull_with_progress(
    console: Console, library: Library, spec: str, source: Any = "auto", name: str | None = None
) -> ModelSummary:
    """Bring a model here with a bar on stderr. Raises what `Library.pull` raises."""
    from engine.catalog import resolve

    entry = resolve(spec)
    amount = f"{size(entry.size)}, " if entry.size else ""
    console.note(f"pulling {entry.name}: {amount}licence {entry.licence.name or 'not stated by its publisher'}")
    with Progress(console, "pulling", in_bytes=True) as progress:
        summary = library.pull(spec, source, Reporter(console, progress), name=name)
    say_installed(console, summary)
    return summary


def say_installed(console: Console, summary: ModelSummary) -> None:
    """Say what is here now, under which licence, and how to see more of it."""
    licence = summary.licence or "not stated by its publisher"
    show = f"{program()} models show {summary.name}"
    console.note(f"{summary.name}: {size(summary.bytes_on_disk)}, licence {licence}; see: {show}")
