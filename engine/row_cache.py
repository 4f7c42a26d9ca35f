"""The KV cache of sequences that decode together: rows of their own lengths, which come and go.

A row is filled from the cache of one sequence after its prefill, and grows by one token a step. Entry i of a row is
its position i in every layer; sliding windows are left to the layout's mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.kernels import graph
from engine.layout import Rows

if TYPE_CHECKING:
    from engine.config import ModelConfig
    from engine.kv_cache import KVCache

STEP = 256
"""Positions by which all rows grow; the number of rows doubles."""


class RowCache:
    """Keys and values of up to `rows` sequences; the first `active` of them are in use."""

    def __init__(self, config: ModelConfig, rows: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self._most = rows
        shape = (config.num_layers, 0, config.num_kv_heads, 0, config.head_dim)
        self._keys = torch.empty(shape, dtype=dtype, device=device)  # (L, B, K, S, D)
        self._values = torch.empty_like(self._keys)
        self._device = device
        self.lengths: list[int] = []
        """Positions filled in each row in use."""

    @property
    def active(self) -> int:
        """Rows in use."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return 2 * self._keys.numel() * self._keys.element_size()

    @property
    def buffers(self) -> tuple[Tensor, Tensor]:
        """All keys and values, (L, B, K, S, D): for native code, which writes there."""
        return self._keys, self._values

    @torch.inference_mode()
    def add(self, cache: KVCache) -> None:
        """Take a row into use, the last, with what a cache of one sequence holds."""
        row = self.active
        self._reserve(row + 1, cache.length + 1)
        for layer in range(len(self._keys)):
            keys, values, first = cache.held(layer)
            # Before `first` a sliding window can't look; those entries stay, and must be numbers.
            self._keys[layer, row, :, :first] = self._values[layer, row, :, :first] = 0
            self._keys[layer, row, :, first : cache.length] = keys[0]
            self._values[layer, row, :, first : cache.length] = values[0]
        self.lengths.append(cache.length)  # last: what fails on the way leaves the rows as they were

    @torch.inference_mode()
    def give(self, row: int, cache: KVCache) -> None:
        """Hand what a row holds beyond a cache of the same sequence over to it."""
        start, end = cache.length, self.lengths[row]
        if start < end:
            for layer in range(len(self._keys)):
                kept = (buffer[layer, row : row + 1, :, start:end] for buffer in (self._keys, self._values))
                cache.append(layer, *kept)
            cache.advance(end - start)

    def bytes_with(self, length: int) -> int:
        """Memory that is held once a row of so many positions has joined."""
        rows, positions = self._sizes(self.active + 1, max(length, *self.lengths, 0) + 1)
        layers, _, heads, _, dim = self._keys.shape
        return 2 * layers * rows * heads * positions * dim * self._keys.element_size()

    def _sizes(self, rows: int, positions: int) -> tuple[int, int]:
        """Room for at least so many rows and positions: rows are doubled, and positions, where steps are captured;
        elsewhere these grow in steps."""
        held_rows, held_positions = self._keys.shape[1], self._keys.shape[3]
        if rows > held_rows:
            held_rows = min(self._most, max(rows, 2 * held_rows))
        if positions > held_positions:
            steps = -(-positions // STEP)
            if graph.has_graphs(self._device):  # whose steps are captured again each time
                steps = 1 << (steps - 1).bit_length()
            held_positions = steps * STEP
        return held_rows, held_positions

    @torch.inference_mode()
    def drop(self, row: int) -> None:
        """Give a row up; the last row takes its index."""
        last = self.active - 1
        length = self.lengths.pop()
        if row != last:
            self.lengths[row] = length
            self._keys[:, row, :, :length] = self._keys[:, last, :, :length]
            self._values[:, row, :, :length] = self._values[:, last, :, :length]

    def reserve(self) -> None:
        """Make room for one more token in every row in use."""
        self._reserve(self.active, max(self.lengths) + 1)

    def _reserve(self, rows: int, positions: int) -> None:
        layers, old_rows, heads, old, dim = self._keys.shape
        size = self._sizes(rows, positions)
        if size == (old_rows, old):
            return
        grown = []
        for before in (self._keys, self._values):
            # Zeros: what a mask hides is still multiplied by 0, and 0 * NaN would spread.
            after = torch.zeros(layers, size[0], heads, size[1], dim, dtype=before.dtype, device=self._device)
            after[:, : self.active, :, :old] = before[:, : self.active]
            grown.append(after)
        # Both at once: native code takes the values to have the shape of the keys.
        self._keys, self._values = grown

    def layout(self, tokens: int) -> Rows:
        """One new token a row, at the row's end."""
        assert tokens == 1, tokens
        self.reserve()
        self._at = torch.tensor(self.lengths, device=self._device)
        self._rows = torch.arange(self.active, device=self._device)
        return Rows(self._at)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's (B, K, 1, D); returns all of the rows in use, (B, K, S, D)."""
        end = max(self.lengths) + 1
        ours, theirs = self._keys[layer, : self.active], self._values[layer, : self.active]
        ours[self._rows, :, self._at] = keys[:, :, 0].to(ours.dtype)
        theirs[self._rows, :, self._at] = values[:, :, 0].to(theirs.dtype)
        return ours[:, :, :end], theirs[:, :, :end]

    def advance(self, tokens: int) -> None:
        """Count a token as stored in every row in use."""
        self.lengths = [length + tokens for length in self.lengths]
