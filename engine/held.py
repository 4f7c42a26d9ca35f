"""A KV cache and the ids that it holds keys and values of: what the next prompt begins with need not run again.

Known as prefix caching, here with one prefix a cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.alike import common_prefix_length
from engine.generate import chunk_for, prefill
from engine.kv_cache import KVCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from engine.config import ModelConfig
    from engine.model import Decoder

WORTH = 16
"""Positions that another cache must hold more before they are copied instead of computed."""


class Held:
    """`ids` and what the cache holds are of one sequence as far as both reach: no more of either is trusted."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype, device: torch.device) -> None:
        self.cache = KVCache(config, dtype=dtype, device=device)
        self.ids: list[int] = []
        self.turn = 0
        """Counts the prompts that it was cut back for: who finds another number has lost it to somebody else."""

    def keep(self, prompt: Sequence[int]) -> int:
        """Cut the cache back to what it shares with a prompt; returns how many of the prompt's tokens it holds.

        The last token is always left to compute: its logits are what generation starts from.
        """
        self.turn += 1
        kept = self.cache.truncate(common_prefix_length(self.ids, prompt[:-1]))
        self.ids = list(prompt[:kept])
        return kept

    def read(self, model: Decoder, prompt: Sequence[int], tokens: int | None = None) -> Tensor:
        """Run the next so many of a prompt whose beginning is held; returns the last's hidden state (1, 1, C)."""
        start = self.cache.length
        tokens = tokens or chunk_for(self.cache.device)
        hidden = next(prefill(model, self.cache, prompt[start : start + tokens], tokens))
        self.ids = list(prompt[: self.cache.length])
        return hidden

    def read_all(self, model: Decoder, prompt: Sequence[int]) -> Tensor:
        """Run all of a prompt that is not held; returns the last hidden state."""
        self.keep(prompt)
        while True:
            hidden = self.read(model, prompt)
            if self.cache.length == len(prompt):
                return hidden

    def adopt(self, other: Held, prompt: Sequence[int]) -> int:
        """Copy what another cache holds of a prompt beyond what this one does; returns how many positions that were."""
        start = self.cache.length
        if other.ids[:start] != self.ids:
            return 0
        end = common_prefix_length(other.ids, prompt[:-1])
        if end < start + WORTH or not self.cache.extend(other.cache, end):
            return 0
        self.ids = list(prompt[:end])
        return end - start
