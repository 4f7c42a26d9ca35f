"""What a training run is told: frozen, torch-free, and nonsense is refused at birth."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from engine.adapter import LARGEST_SCALE
from engine.errors import UsageError

TARGETS = ("attention.qkv", "attention.out", "mlp.gate_up", "mlp.down")
"""The linear layers of a block."""
_MOST_EPOCHS = 10_000


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How an adapter is trained."""

    rank: int = 16
    """Inner width of the low-rank product (LoRA, arXiv 2106.09685)."""
    alpha: float = 32.0
    """The product is scaled by alpha / rank."""
    targets: tuple[str, ...] = TARGETS
    epochs: int = 2
    learning_rate: float = 2e-4
    """At its peak: it rises over `warmup` of the steps and falls along half a cosine."""
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    step_tokens: int = 1024
    """Of a step: rows are added until they have so many."""
    pass_tokens: int = 1024
    """Of a forward and backward pass, padding included: what memory grows with."""
    longest: int = 1024
    """Rows of more tokens are left out, and counted."""
    held_out: float = 0.05
    """Share of the rows that is measured and never trained on."""
    seed: int = 0

    def __post_init__(self) -> None:
        whole = {name: getattr(self, name) for name in ("rank", "epochs", "step_tokens", "pass_tokens", "longest")}
        for name, value in whole.items():
            if value < 1:
                raise UsageError(f"{name.replace('_', ' ')} must be at least 1, got {value}")
        if self.epochs > _MOST_EPOCHS:
            raise UsageError(f"epochs must be at most {_MOST_EPOCHS}, got {self.epochs}")
        for name in ("alpha", "learning_rate", "clip"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UsageError(f"{name.replace('_', ' ')} must be positive, got {value}")
        if self.scale > LARGEST_SCALE:
            raise UsageError(f"alpha / rank must be at most {LARGEST_SCALE:g}, got {self.scale:g}")
        if not 0 <= self.warmup < 1 or not 0 <= self.held_out < 1 or not 0 <= self.weight_decay < 1:
            raise UsageError("warm-up, held-out share and weight decay lie between 0 and 1")
        unknown = set(self.targets) - set(TARGETS)
        if unknown or not self.targets:
            raise UsageError(f"unknown targets {', '.join(sorted(unknown)) or 'none'}", hint=", ".join(TARGETS))
        if twice := [name for name in TARGETS if self.targets.count(name) > 1]:
            raise UsageError(f"targets given twice: {', '.join(twice)}", hint="name each of them once")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return dataclasses.asdict(self) | {"targets": list(self.targets)}

    @property
    def scale(self) -> float:
        """What the low-rank product is multiplied with."""
        return self.alpha / self.rank

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0."""
        return learning_rate(step, steps, self.learning_rate, self.warmup)


def learning_rate(step: int, steps: int, peak: float, warmup: float, floor: float = 0.0) -> float:
    """Of a step, from 0: up to the peak over `warmup` of the steps, then along half a cosine down to `floor` of it."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return peak * (step + 1) / rise
    fall = 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
    return peak * (floor + (1 - floor) * fall)
