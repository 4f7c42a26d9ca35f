"""Logits -> the next id: pure functions for each filter, and a `Sampler` built once and called often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.config import SamplingConfig
    from engine.structure import Constraint


class Sampler:
    """Draws ids as a `SamplingConfig` says. Its random numbers come from the CPU, whatever the device."""

    def __init__(self, config: SamplingConfig, constraint: Constraint | None = None) -> None:
        """`constraint`: only ids that it allows are drawn, and it is told which."""
        self.config = config
        self._constraint = constraint
        self._generator = torch.Generator()
        if config.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(config.seed)

    def __call__(self, logits: Tensor, present: Sequence[int]) -> tuple[int, float]:
        """Logits (V,) and the ids of the answer so far -> an id and its log-probability under the model."""
        logits = logits.float().cpu()
        if self._constraint is None:
            drawn = self._draw(logits, present)
        else:
            drawn = self._draw(keep_allowed(logits, self._constraint), present)
            self._constraint.take(drawn)
        return drawn, float(logits[drawn] - logits.logsumexp(0))

    def _draw(self, logits: Tensor, present: Sequence[int]) -> int:
        config = self.config
        if config.repetition_penalty != 1:
            logits = penalize(logits, present, config.repetition_penalty)
        if config.temperature == 0:
            return int(logits.argmax())
        # From the best one down, so that a temperature near 0 is greedy and not infinite.
        logits = (logits - logits.max()) / max(config.temperature, 1e-30)
        if config.top_k:
            logits = keep_top_k(logits, config.top_k)
        if config.top_p < 1:
            logits = keep_top_p(logits, config.top_p)
        if config.min_p:
            logits = keep_min_p(logits, config.min_p)
        # Drawing among the candidates alone is much faster than among all 150,000 pieces.
        candidates = logits.isfinite().nonzero().squeeze(1)
        probabilities = logits[candidates].double().softmax(0)
        return int(candidates[torch.multinomial(probabilities, 1, generator=self._generator)])


def keep_allowed(logits: Tensor, constraint: Constraint) -> Tensor:
    """Minus infinity for ids that a constraint forbids or that are no ids of its vocabulary: (V,) -> (V,)."""
    allowed = torch.from_numpy(constraint.allowed())
    padding = logits.numel() - allowed.numel()
    if padding:  # an embedding table with more rows than the vocabulary
        allowed = torch.nn.functional.pad(allowed, (0, padding))
    return logits.masked_fill(~allowed, -torch.inf)


def penalize(logits: Tensor, present: Sequence[int], penalty: float) -> Tensor:
    """Make ids that are already present less likely (arXiv 1909.05858): (V,) -> (V,)."""
    ids = torch.tensor(sorted(set(present)), dtype=torch.int64)
    chosen = logits[ids]
    return logits.index_copy(0, ids, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Minus infinity for all but the k largest; ties at the border go to the lowest ids: (V,) -> (V,)."""
    if k >= logits.numel():
        return logits
    kept = logits.sort(descending=True, stable=True).indices[:k]
    return torch.full_like(logits, -torch.inf).index_copy(0, kept, logits[kept])


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Minus infinity for all but the smallest set of ids with at least probability p: (V,) -> (V,)."""
    ordered = logits.sort(descending=True, stable=True)
    probabilities = ordered.values.softmax(0)
    before = probabilities.cumsum(0) - probabilities  # the best one has 0 before it and always stays
    kept = ordered.indices[before < p]
    return torch.full_like(logits, -torch.inf).index_copy(0, kept, logits[kept])


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Minus infinity for ids with less than p times the best one's probability: (V,) -> (V,)."""
    floor = logits.max() + torch.tensor(p).log()
    return logits.masked_fill(logits < floor, -torch.inf)
