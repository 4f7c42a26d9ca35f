"""A decode step of fixed shapes, for `engine.kernels.graph`: a token a row, over all positions that there is room for.

What lies beyond a row's end is masked, so that a step has the same shapes until the rows' buffers grow; the host counts
the rows' lengths. `Decoder.forward` over the same `RowCache` is the twin, exact up to the order of sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.kernels import graph
from engine.layout import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.model import Decoder
    from engine.row_cache import RowCache


class FixedSteps:
    """Steps over one `RowCache`, prepared once for each number of rows."""

    def __init__(self, model: Decoder, cache: RowCache) -> None:
        self._model, self._cache = model, cache
        self._device = cache.buffers[0].device
        self._pool: object = None
        self._keys: Tensor | None = None
        self._steps: dict[int, _Step] = {}
        self._last: _Step | None = None

    @torch.inference_mode()
    def logits(self, ids: Sequence[int]) -> Tensor:
        """(B, V) after one more token of each row in use; they stay as they are until the next step."""
        cache = self._cache
        cache.reserve()
        if self._keys is not cache.buffers[0]:  # grown: the buffers that were captured are gone
            self._steps.clear()
            self._pool = graph.shared_pool(self._device)  # one whose graphs are all gone takes no new ones
            self._keys = cache.buffers[0]
        step = self._steps.get(len(ids))
        if step is None:
            step = self._steps[len(ids)] = _Step(self._model, cache, ids)
            step.prepare(self._pool)
        else:
            step.set(ids, cache.lengths)
        step.run()
        cache.advance(1)
        self._last = step
        return step.logits

    def best(self) -> list[tuple[int, float]]:
        """The most probable token of each row after the last step, and its log-probability: read in one go."""
        assert self._last is not None, "no step was taken"
        return [(int(id_), logit - total) for id_, logit, total in self._last.best.tolist()]


class _Step:
    """The buffers of one number of rows, and the operations over them."""

    def __init__(self, model: Decoder, cache: RowCache, ids: Sequence[int]) -> None:
        self._model = model
        self._device = cache.buffers[0].device
        self._told = torch.zeros(2, len(ids), dtype=torch.int64, device=self._device)
        self._rows = _FixedRows(*cache.buffers, self._told[1])
        self.logits = self.best = torch.empty(0)
        """What the captured operations made last, and make again at the same place."""
        self.set(ids, cache.lengths)

    def set(self, ids: Sequence[int], lengths: Sequence[int]) -> None:
        """The next tokens, and how long their rows are before them."""
        self._told.copy_(torch.tensor([ids, lengths]))

    def prepare(self, pool: object) -> None:
        """Capture the operations; what that computes is computed again by `run`, to the same."""
        self.run = graph.captured(self._compute, self._device, pool)

    def _compute(self) -> None:
        hidden = self._model(self._told[0, :, None], self._rows)[:, 0]
        self.logits = self._model.logits(hidden)
        self.best = self._model.best(self.logits)


class _FixedRows:
    """The cache that a step sees: the first rows of a `RowCache`, all their positions."""

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        rows = lengths.shape[0]
        self._keys, self._values, self._lengths = keys[:, :rows], values[:, :rows], lengths  # (L, B, K, S, D)
        self._row = torch.arange(rows, device=lengths.device)

    @property
    def buffers(self) -> tuple[Tensor, Tensor]:
        """Keys and values, (L, B, K, S, D)."""
        return self._keys, self._values

    def layout(self, tokens: int) -> Rows:
        """One new token a row, at the row's end."""
        assert tokens == 1, tokens
        return Rows(self._lengths, end=self._keys.shape[3])

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's (B, K, 1, D); returns everything, (B, K, S, D)."""
        ours, theirs = self._keys[layer], self._values[layer]
        ours[self._row, :, self._lengths] = keys[:, :, 0].to(ours.dtype)
        theirs[self._row, :, self._lengths] = values[:, :, 0].to(theirs.dtype)
        return ours, theirs

    def advance(self, tokens: int) -> None:
        """The host counts."""
