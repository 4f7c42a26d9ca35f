"""Logits -> the next id: pure functions for each filter, and a `Sampler` built once and called often."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor

from engine.errors import CheckpointError
from engine.kernels import native

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from engine.config import SamplingConfig
    from engine.structure import Constraint


FEW = 256
"""The best ids, among which what the filters keep is looked for first."""


class Sampler:
    """Draws ids as a `SamplingConfig` says. Its random numbers come from the CPU, whatever the device."""

    def __init__(
        self, config: SamplingConfig, constraint: Constraint | None = None, stop_ids: Collection[int] = ()
    ) -> None:
        """`constraint`: only ids that it allows are drawn, and it is told which. `stop_ids` end a reply."""
        self.config = config
        self._stop_ids = sorted(stop_ids)
        self._constraint = constraint
        self._generator = torch.Generator()
        if config.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(config.seed)

    def takes_best(self, present: Sequence[int]) -> bool:
        """Whether the next id after these is the most probable one, whatever the logits are."""
        config = self.config
        plain = self._constraint is None and config.temperature == 0 and config.repetition_penalty == 1
        return plain and len(present) >= config.min_tokens

    def __call__(self, logits: Tensor, present: Sequence[int]) -> tuple[int, float]:
        """Logits (V,) and the ids of the answer so far -> an id and its log-probability under the model.

        Raises CheckpointError for logits that nothing can be drawn from.
        """
        if logits.device.type != "cpu" and (told := self._draw_from_few(logits, present)) is not None:
            return told
        logits = logits.float().cpu()
        most_probable, total = best(logits)
        if not math.isfinite(total):
            raise CheckpointError(
                "the model's logits are not finite numbers: it is damaged, or too wild for this device",
                hint="llm doctor --full examines its files",
            )
        if self.takes_best(present):
            drawn = most_probable
        elif self._constraint is None:
            early = len(present) < self.config.min_tokens
            drawn = self._draw(without(logits, self._stop_ids) if early else logits, present)
        else:
            drawn = self._draw(keep_allowed(logits, self._constraint), present)
            self._constraint.take(drawn)
        return drawn, float(logits[drawn]) - total

    def _draw_from_few(self, logits: Tensor, present: Sequence[int]) -> tuple[int, float] | None:
        """As `__call__`, from the largest logits alone: what a device need not send is most of a token's time. None
        where that can't tell."""
        config = self.config
        if self._constraint is not None or config.repetition_penalty != 1 or len(present) < config.min_tokens:
            return None
        count = min(FEW, logits.numel())
        divisor = max(config.temperature, 1e-30) if config.temperature else 1.0
        logits = logits.float()
        best = logits.topk(count)
        totals = torch.stack((logits.logsumexp(0), ((logits - best.values[0]) / divisor).logsumexp(0)))
        told = torch.cat((best.values.double(), best.indices.double(), totals.double())).cpu()
        values, ids = told[:count].float(), told[count : 2 * count].long()
        whole, total = told[-2:].tolist()
        if not math.isfinite(whole):
            return None
        at = 0
        if config.temperature:
            kept = kept_of_few(config, (values - values[0]) / divisor, total, complete=count == logits.numel())
            if not kept:
                return None
            ids, order = ids[:kept].sort()  # as all logits stand, so that the same number draws the same id
            values = values[order]
            scaled = (values - values.max()) / divisor
            at = int(torch.multinomial(scaled.double().softmax(0), 1, generator=self._generator))
        elif count > 1 and values[0] == values[1]:
            return None  # the lowest id of equals, which only all of them tell
        return int(ids[at]), float(values[at]) - whole

    def _draw(self, logits: Tensor, present: Sequence[int]) -> int:
        config = self.config
        if config.repetition_penalty != 1:
            logits = penalize(logits, present, config.repetition_penalty)
        if config.temperature == 0:
            return int(logits.numpy().argmax())
        # From the best one down, so that a temperature near 0 is greedy and not infinite.
        logits = (logits - logits.max()) / max(config.temperature, 1e-30)
        # Each filter looks only at what the one before it left: much less than all 150,000 pieces.
        ids, logits = _left(keep_top_k(logits, config.top_k) if config.top_k else logits)
        if config.top_p < 1:
            left, logits = _left(keep_top_p(logits, config.top_p))
            ids = ids[left]
        if config.min_p:
            left, logits = _left(keep_min_p(logits, config.min_p))
            ids = ids[left]
        return int(ids[torch.multinomial(logits.double().softmax(0), 1, generator=self._generator)])


def kept_of_few(config: SamplingConfig, logits: Tensor, total: float, *, complete: bool) -> int:
    """How many of the largest logits (K,), in order, the filters keep of all; 0 if these do not tell. `total`: the
    logarithm of the sum of all exponentials; `complete`: there are no others."""
    kept = count = len(logits)
    if 0 < config.top_k <= count:
        kept = config.top_k
        total = float(logits[:kept].logsumexp(0))
    elif config.top_k and config.top_p < 1 and not complete:
        return 0  # the nucleus is one of the k best, and these are fewer
    if config.top_p < 1:
        probabilities = (logits[:kept] - total).exp()
        kept = int((probabilities.cumsum(0) - probabilities < config.top_p).sum())
    if config.min_p:
        kept = min(kept, int((logits >= math.log(config.min_p)).sum()))
    if kept == count:
        return count if complete else 0
    return 0 if logits[kept - 1] == logits[kept] else kept  # the lowest ids of equals are kept, whichever these are


def best(logits: Tensor) -> tuple[int, float]:
    """Logits (V,) -> the most probable id, the lowest of equals, and log(sum(exp(logits)))."""
    found = native.best(logits)
    if found is not None:
        return found
    values = logits.numpy()  # ten times as fast as torch for one row, which wakes other threads
    most = float(values.max())
    return int(values.argmax()), most + math.log(float(numpy.exp(values - most).sum()))


def keep_allowed(logits: Tensor, constraint: Constraint) -> Tensor:
    """Minus infinity for ids that a constraint forbids or that are no ids of its vocabulary: (V,) -> (V,)."""
    allowed = torch.from_numpy(constraint.allowed())
    padding = logits.numel() - allowed.numel()
    if padding:  # an embedding table with more rows than the vocabulary
        allowed = torch.nn.functional.pad(allowed, (0, padding))
    return logits.masked_fill(~allowed, -torch.inf)


def without(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """Minus infinity for these ids, as far as there are logits of them: (V,) -> (V,)."""
    known = [id_ for id_ in ids if id_ < logits.numel()]
    return logits.index_fill(0, torch.tensor(known, dtype=torch.int64), -torch.inf)


def penalize(logits: Tensor, present: Sequence[int], penalty: float) -> Tensor:
    """Make ids that are already present less likely (arXiv 1909.05858): (V,) -> (V,)."""
    ids = torch.tensor(sorted(set(present)), dtype=torch.int64)
    chosen = logits[ids]
    return logits.index_copy(0, ids, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Minus infinity for all but the k largest; ties at the border go to the lowest ids: (V,) -> (V,)."""
    if k >= logits.numel():
        return logits
    return _keep(logits, k, logits.topk(k).values[-1])


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Minus infinity for all but the smallest set of ids with at least probability p: (V,) -> (V,).

    Few ids are usually enough, and to sort a vocabulary costs as much as half a token: the best ones come first.
    """
    total = logits.logsumexp(0)
    size = FEW
    while True:
        best = logits.topk(min(size, logits.numel())).values
        probabilities = (best - total).exp()
        before = probabilities.cumsum(0) - probabilities  # the best one has 0 before it and always stays
        count = max(1, int((before < p).sum()))  # float32 takes the smallest p for 0
        if count < len(best):
            return _keep(logits, count, best[count - 1])
        if len(best) == logits.numel():
            return logits
        size *= 16


def _left(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and values of what no filter took away."""
    positions = logits.isfinite().nonzero().squeeze(1)
    return positions, logits[positions]


def _keep(logits: Tensor, count: int, least: Tensor) -> Tensor:
    """`count` ids: those above `least`, and the lowest of those that equal it."""
    above = logits > least
    equal = (logits == least).nonzero().squeeze(1)[: count - int(above.sum())]
    return logits.masked_fill(~above, -torch.inf).index_fill(0, equal, least.item())


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Minus infinity for ids with less than p times the best one's probability: (V,) -> (V,)."""
    floor = logits.max() + torch.tensor(p).log()
    return logits.masked_fill(logits < floor, -torch.inf)
