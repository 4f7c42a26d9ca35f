"""A training run as a person follows it: where it stands, what the model says on the way, how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tui.cli.inputs import read_path, stdin_once
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.progress import Progress
from tui.files import is_file

if TYPE_CHECKING:
    from engine.schema import Document
    from engine.training.stepping import Measured, Step


class Trains(Protocol):
    """What is followed: an adapter's run, or that of a model from nothing."""

    out: Path

    def run(self) -> Iterator[Step | Measured]:
        """Train to the end, from where an earlier run was stopped."""


def prepare(run: Run) -> None:
    """Import PyTorch, give way to other work, and keep to the threads that were told."""
    from engine.lean import import_torch
    from engine.threads import wait_politely

    wait_politely()
    import_torch()
    if run.settings["threads"]:
        import torch

        torch.set_num_threads(run.settings["threads"])


def read(run: Run, data: Sequence[str]) -> list[Document]:
    """What is trained on: files, and stdin for `-`. Raises InputError, UsageError."""
    return [read_path(path, run.options.encoding, run.options.errors) for path in stdin_once(data)]


def record(path: str, document: Document, rows: int) -> dict[str, Any]:
    """What is kept of where a document came from. Raises InputError."""
    from engine.training.rows import file_record, text_record

    return file_record(Path(path), rows) if path != "-" and is_file(path) else text_record(document, rows)


def follow(run: Run, trainer: Trains, said: Callable[[int], str], *, holds_out: bool = True) -> float:
    """Train to the end; returns the last held-out loss. `said`: what the model in training says at a step.

    `holds_out`: whether there is a held-out loss to tell.
    """
    from engine.training import state
    from engine.training.stepping import Measured

    kept = state.place(trainer.out)
    going_on = kept.exists()
    held_out = loss = tokens = seconds = 0.0
    try:
        with Progress(run.console, "training step") as progress:
            for event in trainer.run():
                if going_on:  # said only now: what is kept may be of another run
                    going_on = False
                    run.console.note("going on with a run that was stopped")
                if isinstance(event, Measured):
                    progress.clear()
                    held_out = event.loss
                    held = f"held-out loss {held_out:.4f}" if holds_out else "no rows held out"
                    speed = f", loss {loss:.4f}, {tokens / seconds:.0f} tok/s" if seconds else ""
                    run.console.note(f"step {event.step}: {held}{speed} · {said(event.step)}")
                else:
                    tokens, seconds, loss = tokens + event.tokens, seconds + event.seconds, event.loss
                    progress.update(event.number, event.steps)
    except (KeyboardInterrupt, Terminated):
        if kept.exists():
            run.console.note("stopped; the same command goes on from here")
        raise
    return held_out


def in_one_line(text: str) -> str:
    """A sample as a note shows it."""
    return " ".join(text.split())
