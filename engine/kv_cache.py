"""The KV cache: keys and values of every position that later tokens may look at, layer by layer.

Global layers keep everything, in a buffer that grows in steps. Local (sliding-window) layers keep a bounded buffer:
when it is full the last window moves to its front, so entries always lie in order and need no ring arithmetic.
Sequences that decode together have a cache of their own kind: `engine.row_cache`. Shapes are those of `engine.model`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from engine.layout import Consecutive

if TYPE_CHECKING:
    from engine.config import ModelConfig
    from engine.layout import Layout

STEP = 512
"""Positions by which a global layer's buffer grows."""
_LOST = sys.maxsize
"""The first position of a layer whose entries are on the move: interrupted there, it holds none that can be kept."""


class Cache(Protocol):
    """What the decoder asks of a cache."""

    def layout(self, tokens: int) -> Layout:
        """Where that many new tokens a sequence stand."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's (B, K, T, D); returns the keys and values to attend to, (B, K, S, D)."""

    def advance(self, tokens: int) -> None:
        """Count `tokens` positions as filled, once all layers have stored them."""


def layout_of(ids: Tensor, cache: Cache | None) -> Layout:
    """Where new tokens (B, T) stand: they go on with what a cache holds, or begin."""
    return Consecutive(0, ids.shape[1], ids.device) if cache is None else cache.layout(ids.shape[1])


class _LayerCache:
    """Keys and values of one layer, (1, K, capacity, D), holding positions `first` to `first + filled`."""

    def __init__(self, config: ModelConfig, window: int | None, dtype: torch.dtype, device: torch.device):
        self.window = window
        self.heads, self.dim = config.num_kv_heads, config.head_dim
        self.dtype, self.device = dtype, device
        self.first = self.filled = self.moves = 0
        self.keys = self.values = torch.empty(0)
        self._allocate(STEP if window is None else window + STEP)

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    @property
    def nbytes(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size()

    def _allocate(self, capacity: int) -> None:
        keys = torch.empty(1, self.heads, capacity, self.dim, dtype=self.dtype, device=self.device)
        values = torch.empty_like(keys)
        if self.filled:
            keys[:, :, : self.filled] = self.keys[:, :, : self.filled]
            values[:, :, : self.filled] = self.values[:, :, : self.filled]
        # Both at once: a Ctrl-C between them would leave keys whose values are noise.
        self.moves += 1
        self.keys, self.values = keys, values

    def make_room(self, tokens: int) -> None:
        """Let so many more fit."""
        if self.filled + tokens <= self.capacity:
            return
        if self.window is not None:
            # What fits beyond the window is kept as well, so that the last tokens can be taken back (`truncate`).
            spare = max(0, min(STEP // 2, self.capacity - tokens - (self.window - 1)))
            kept = min(self.filled, self.window - 1 + spare)
            start = self.filled - kept
            if start:
                self.moves += 1
                first, self.first = self.first + start, _LOST
                # Source and target may overlap: clone.
                self.keys[:, :, :kept] = self.keys[:, :, start : self.filled].clone()
                self.values[:, :, :kept] = self.values[:, :, start : self.filled].clone()
                self.first, self.filled = first, kept
        if self.filled + tokens > self.capacity:
            self._allocate(-(-(self.filled + tokens) // STEP) * STEP)

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (1, K, T, D) and return views of all that these T tokens may look at."""
        tokens = keys.shape[2]
        self.make_room(tokens)
        end = self.filled + tokens
        self.keys[:, :, self.filled : end] = keys
        self.values[:, :, self.filled : end] = values
        self.filled = end
        start = 0 if self.window is None else max(0, end - (self.window - 1 + tokens))
        return self.keys[:, :, start:end], self.values[:, :, start:end]

    def can_truncate(self, length: int) -> bool:
        """Whether every position that a token at `length` looks at is still here."""
        return self.first == 0 or (self.window is not None and length - (self.window - 1) >= self.first)

    def truncate(self, length: int) -> None:
        if length == 0:
            self.moves += self.first != 0
            self.first = 0
        self.filled = max(0, length - self.first)


class Room:
    """Each layer's whole buffers (1, K, capacity, D), and the position of the first entry, until one moves."""

    def __init__(self, layers: list[tuple[Tensor, Tensor, int]], moves: int) -> None:
        self.layers, self.moves = layers, moves
        self.described: Any = None
        """What native code made of them, for its next step."""


class KVCache:
    """Keys and values of one sequence; `length` positions are filled."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dtype, self.device = dtype, torch.device(device)
        self.length = 0
        self._room: Room | None = None
        self._layers = [
            _LayerCache(
                config,
                config.sliding_window if config.kind(layer) == "local" else None,
                dtype,
                self.device,
            )
            for layer in range(config.num_layers)
        ]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(layer.nbytes for layer in self._layers)

    def layout(self, tokens: int) -> Layout:
        """The next positions."""
        return Consecutive(self.length, tokens, self.device)

    def held(self, layer: int) -> tuple[Tensor, Tensor, int]:
        """One layer's keys and values (1, K, S, D), and the position of the first."""
        held = self._layers[layer]
        return held.keys[:, :, : held.filled], held.values[:, :, : held.filled], held.first

    def room(self, tokens: int) -> Room:
        """The buffers, with room for `tokens` more: for native code, which writes there. `stored` tells that it has."""
        moves = 0
        for layer in self._layers:
            layer.make_room(tokens)
            moves += layer.moves
        if self._room is None or self._room.moves != moves:
            self._room = Room([(layer.keys, layer.values, layer.first) for layer in self._layers], moves)
        return self._room

    def stored(self, tokens: int, layers: int | None = None) -> None:
        """The next `tokens` entries of the first so many layers, or of all, were written."""
        for layer in self._layers[:layers]:
            layer.filled += tokens

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's (1, K, T, D); returns the keys and values to attend to, (1, K, S, D), oldest first."""
        return self._layers[layer].append(keys, values)

    def advance(self, tokens: int) -> None:
        """Count `tokens` positions as filled, once all layers have stored them."""
        self.length += tokens

    @torch.inference_mode()
    def extend(self, other: KVCache, length: int) -> bool:
        """Copy another cache's positions from this one's end up to `length`; False, and nothing is copied, where a
        sliding window has moved past them."""
        start = self.length
        if any(other.held(layer)[2] > start for layer in range(len(self._layers))):
            return False
        for layer in range(len(self._layers)):
            keys, values, first = other.held(layer)
            stretch = slice(start - first, length - first)
            self.append(layer, keys[:, :, stretch], values[:, :, stretch])
        self.advance(length - start)
        return True

    def truncate(self, length: int) -> int:
        """Forget everything from `length` on; returns what is left.

        That is `length`, unless a sliding window has moved past it: then nothing is left, and the caller must prefill
        again from the start.
        """
        length = min(length, self.length)
        if not all(layer.can_truncate(length) for layer in self._layers):
            length = 0
        self.length = length  # first: who is interrupted below has forgotten at least what is forgotten
        for layer in self._layers:
            layer.truncate(length)
        return length
