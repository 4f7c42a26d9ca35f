"""Steps of a training run that can be stopped at any moment, even killed, and then go on to the very same end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from engine import lean
from engine.errors import UsageError
from engine.training import state

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from torch import nn

    from engine.training.adamw import AdamW

SAVE_EVERY = 60.0
"""Seconds between two saved states: what a killed run has to do again."""
MEASURE_EVERY = 0.2
"""Share of the steps between two measurements of the held-out loss."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken."""

    number: int
    """From 1."""
    steps: int
    loss: float
    """Nats a learnt token, before the step."""
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The held-out loss after so many steps."""

    step: int
    loss: float
    """Nats a learnt token."""


class Task(Protocol):
    """What a run asks of what it trains."""

    def gradient(self, number: int, optimizer: AdamW) -> tuple[float, int]:
        """A step's clipped gradient, its learning rate set; its loss, and its tokens."""
        ...

    def measure(self, step: int) -> float:
        """The held-out loss after so many steps."""
        ...


def go(
    task: Task,
    count: int,
    path: Path,
    run: Mapping[str, Any],
    parameters: Mapping[str, nn.Parameter],
    optimizer: AdamW,
) -> Generator[Step | Measured, None, state.State]:
    """Take `count` steps, from where an earlier run was stopped; the state stays at `path` until its owner deletes it.

    Closing the iterator keeps the state. Raises UsageError if the kept state is of another `run`, or if the loss is no
    number, CheckpointError if that state is damaged.
    """
    lean.complete()  # to train is more than to reply
    known = state.load(path, dict(run), parameters, optimizer) or state.State(dict(run))
    saved, saved_step = time.monotonic(), known.step
    # False while parameters and the count of steps may disagree, or lead nowhere: such a state would go on elsewhere.
    sound = True

    def measure() -> Measured:
        nonlocal sound
        loss = task.measure(known.step)
        sound = math.isfinite(loss)
        _require_finite(known.step, loss, optimizer)
        known.losses.append((known.step, loss))
        return Measured(known.step, loss)

    try:
        if _due(known, count):
            yield measure()
        for number in range(known.step, count):
            begun = time.monotonic()
            loss, tokens = task.gradient(number, optimizer)
            sound = False
            _require_finite(number + 1, loss, optimizer)
            optimizer.step()
            known.step = number + 1
            sound = True
            yield Step(known.step, count, loss, tokens, time.monotonic() - begun)
            if _due(known, count):
                yield measure()
            if time.monotonic() - saved >= SAVE_EVERY:
                state.save(path, known, parameters, optimizer)
                saved, saved_step = time.monotonic(), known.step
    finally:
        if sound and known.step > saved_step:
            state.save(path, known, parameters, optimizer)
    return known


def _due(known: state.State, count: int) -> bool:
    """Whether the held-out loss is still to be measured: a run may have been stopped while it was."""
    every = max(1, round(MEASURE_EVERY * count))
    measured = bool(known.losses) and known.losses[-1][0] == known.step
    return not measured and (known.step % every == 0 or known.step == count)


def _require_finite(step: int, loss: float, optimizer: AdamW) -> None:
    if not math.isfinite(loss):
        raise UsageError(
            f"the loss of step {step} is {loss}: training has run away",
            hint=f"a learning rate below {optimizer.rate:g}",
        )
