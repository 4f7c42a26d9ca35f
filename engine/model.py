"""The decoder, read top to bottom: the Llama, Qwen and Gemma families as values of `ModelConfig`.

Shapes: B sequences, T new tokens, S positions to look at, C hidden channels, H query heads, K key/value heads, D
channels a head, V pieces in the vocabulary. It knows nothing of int8: `engine.checkpoint` swaps the linear layers.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.kv_cache import layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.config import LayerKind, ModelConfig, RotaryConfig
    from engine.kv_cache import Cache
    from engine.layout import Layout


class Decoder(nn.Module):
    """Token ids -> hidden states -> logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        vocabulary = torch.empty(config.vocab_size, config.hidden_size)
        if not vocabulary.is_meta:  # drawing there would import the compiler, which takes a second
            nn.init.normal_(vocabulary)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size, _weight=vocabulary)
        self.layers = nn.ModuleList(Block(config, config.kind(i)) for i in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tied_head:
            self.head.weight = self.embedding.weight
        self.rotary = RotaryTables(config)
        self.spare: list[object] = []
        """What `engine.batch.decode_in_row` made for this model, until it is needed again."""

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        layout: Layout | None = None,
        ends: Sequence[int] | None = None,
    ) -> Tensor:
        """(B, T) ids -> (B, T, C) hidden states after the final norm, or (B, E, C) for the E tokens of `ends` (rising).

        With a cache the tokens continue what it holds, and are added to it. `layout` says where they stand, if not
        one after the other.
        """
        return self.norm(self.states(ids, cache, layout, [len(self.layers)], ends)[0])

    def states(
        self,
        ids: Tensor,
        cache: Cache | None,
        layout: Layout | None,
        depths: Sequence[int],
        ends: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """As `forward`, but what the tokens are after so many blocks each (rising, from 1 on), as it is: (B, T, C). No
        block beyond the last of these depths is run, and `ends` are of that one."""
        layout = layout or layout_of(ids, cache)
        x = self.embedding(ids) * self.config.embedding_scale  # (B, T, C)
        rotation = {kind: self.rotary(kind, layout, ids.device) for kind in self.rotary.kinds}
        found = list[Tensor]()
        for index, layer in enumerate(islice(self.layers, depths[-1])):
            assert isinstance(layer, Block)
            x = layer(x, rotation[layer.kind], layout, cache, index)
            if index + 1 in depths:
                found.append(x)
        if cache is not None:
            cache.advance(ids.shape[1])
        return found if ends is None else [*found[:-1], found[-1][:, ends]]

    @property
    def steps_are_exact(self) -> bool:
        """Whether a few tokens together give bit by bit what each gives alone. Products that choose their way by the
        number of rows do not promise it."""
        return False

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., C) hidden states -> (..., V) logits."""
        return self.head(hidden)

    def next_logits(self, ids: Tensor, cache: Cache) -> Tensor:
        """A few new tokens (B, T) -> the logits after each (B, T, V)."""
        return self.logits(self(ids, cache))

    def best(self, logits: Tensor) -> Tensor:
        """(B, V) -> (B, 3) float64: the id of the largest logit, it, and the logarithm of the sum of all their
        exponentials."""
        logit, id_ = logits.max(1)
        return torch.stack((id_.double(), logit.double(), logits.logsumexp(1).double()), 1)


class Block(nn.Module):
    """Attention and a gated feed-forward block, each with a norm before (and, in Gemma, after) and a skip around."""

    def __init__(self, config: ModelConfig, kind: LayerKind) -> None:
        super().__init__()
        self.kind: LayerKind = kind
        window = config.sliding_window if kind == "local" else None
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.attention = Attention(config, window)
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)
        self.post_attention_norm: nn.Module = nn.Identity()
        self.post_mlp_norm: nn.Module = nn.Identity()
        if config.post_norms:
            self.post_attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
            self.post_mlp_norm = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, rotation: Rotation, layout: Layout, cache: Cache | None, index: int) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.post_attention_norm(self.attention(self.attention_norm(x), rotation, layout, cache, index))
        return x + self.post_mlp_norm(self.mlp(self.mlp_norm(x)))


class Attention(nn.Module):
    """Grouped-query attention with rotary positions; queries, keys and values come from one product."""

    def __init__(self, config: ModelConfig, window: int | None) -> None:
        super().__init__()
        self.window = window
        self.heads, self.kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.scale = config.softmax_scale
        self.dtype: torch.dtype | None = None
        """What attention is computed in where there is no cache, whose dtype counts else; None: as it comes."""
        rows = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.qkv = nn.Linear(config.hidden_size, rows, bias=config.qkv_bias)
        self.out = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=config.out_bias)
        self.qk_norm: nn.Module = nn.Identity()
        if config.qk_norm:
            self.qk_norm = HeadNorm(self.heads, self.kv_heads, self.head_dim, config.norm_eps)

    def forward(self, x: Tensor, rotation: Rotation, layout: Layout, cache: Cache | None, index: int) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).view(batch, tokens, self.heads + 2 * self.kv_heads, self.head_dim)
        qk, v = qkv.split_with_sizes([self.heads + self.kv_heads, self.kv_heads], 2)
        qk = rotate(self.qk_norm(qk), rotation).transpose(1, 2)  # (B, H + K, T, D)
        q, k = qk.split_with_sizes([self.heads, self.kv_heads], 1)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.append(index, k, v)  # (B, K, S, D)
        elif self.dtype is not None:
            k, v = k.to(self.dtype), v.to(self.dtype)
        y = attend(q.to(k.dtype), k, v, layout.mask(k.shape[2], self.window), self.scale)  # (B, T, H * D)
        return self.out(y.to(x.dtype))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Queries (B, H, T, D) over keys and values (B, K, S, D) -> (B, T, H * D). `mask` None: causal."""
    batch, heads, tokens, dim = q.shape
    if tokens == 1:
        # One token: the query heads of a group act as the rows of one product, nothing is repeated.
        grouped = q.view(batch, k.shape[1], heads // k.shape[1], dim)
        y = functional.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, scale=scale)
        return y.reshape(batch, 1, heads * dim)
    y = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=heads != k.shape[1]
    )
    return y.transpose(1, 2).reshape(batch, tokens, heads * dim)


Rotation = tuple[Tensor, Tensor]
"""Cosines and signed sines, each (B or 1, T, 1, D)."""


class RotaryTables(nn.Module):
    """Cosines and sines of every position, computed when first needed (arXiv 2104.09864)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.kinds: tuple[LayerKind, ...] = tuple(sorted({config.kind(i) for i in range(config.num_layers)}))
        self._tables: dict[LayerKind, Rotation] = {}
        self._outgrown: list[Rotation] = []
        """Captured steps go on reading these; together they are smaller than those that replaced them."""

    def forward(self, kind: LayerKind, layout: Layout, device: torch.device) -> Rotation:
        """The rotation of a layout's positions."""
        cosines, sines = self.table(kind, layout.end, device)
        return layout.select(cosines).unsqueeze(2), layout.select(sines).unsqueeze(2)

    def table(self, kind: LayerKind, positions: int, device: torch.device) -> Rotation:
        """Cosines and signed sines, (P, D) each, of at least so many positions."""
        table = self._tables.get(kind)
        if table is None or table[0].shape[0] < positions or table[0].device != device:
            size = max(512, 1 << (positions - 1).bit_length())
            cosines, sines = rotary_table(self.config.rotary_of(kind), self.config.head_dim, size)
            if table is not None:
                self._outgrown.append(table)
            self._tables[kind] = table = (cosines.to(device), sines.to(device))
        return table


def rotary_table(config: RotaryConfig, dim: int, positions: int) -> Rotation:
    """Cosines and signed sines (positions, D): the sign of the half-split rotation is folded into the sines."""
    frequencies, amplitude = rotary_frequencies(config, dim)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies[None]  # (P, D / 2)
    cosines, sines = angles.cos() * amplitude, angles.sin() * amplitude
    return torch.cat((cosines, cosines), 1).float(), torch.cat((-sines, sines), 1).float()


def rotary_frequencies(config: RotaryConfig, dim: int) -> tuple[Tensor, float]:
    """Angle by position for each pair of channels (D / 2,), and a factor on cosines and sines."""
    frequencies = config.base ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if config.scaling == "linear":
        return frequencies / config.factor, 1.0
    if config.scaling == "llama3":
        # Long waves are stretched, short ones kept, those between interpolated (Llama 3.1, arXiv 2407.21783).
        turns = config.original_context * frequencies / (2 * math.pi)
        spread = config.high_freq_factor - config.low_freq_factor
        keep = ((turns - config.low_freq_factor) / spread).clamp(0, 1)
        return frequencies * (keep + (1 - keep) / config.factor), 1.0
    if config.scaling == "yarn":
        return _yarn_frequencies(config, dim, frequencies)
    return frequencies, 1.0


def _yarn_frequencies(config: RotaryConfig, dim: int, frequencies: Tensor) -> tuple[Tensor, float]:
    """YaRN (arXiv 2309.00071) with its published bounds of 32 and 1 turns."""

    def pair_with_turns(turns: float) -> float:
        return dim * math.log(config.original_context / (turns * 2 * math.pi)) / (2 * math.log(config.base))

    low, high = max(math.floor(pair_with_turns(32)), 0), min(math.ceil(pair_with_turns(1)), dim - 1)
    ramp = ((torch.arange(dim // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    return frequencies * ((1 - ramp) + ramp / config.factor), 0.1 * math.log(config.factor) + 1


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """(B, T, heads, D) turned by the angle of its position."""
    cosines, signed_sines = rotation
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, -1), signed_sines)


class FeedForward(nn.Module):
    """SwiGLU or GeGLU (arXiv 2002.05202); gate and up come from one product."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)
        self.gelu = config.activation == "gelu_tanh"

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.down(self.gated(self.gate_up(x)))

    def gated(self, gate_up: Tensor) -> Tensor:
        """(B, T, 2 I), gates first -> (B, T, I)."""
        gate, up = gate_up.chunk(2, dim=-1)
        return (functional.gelu(gate, approximate="tanh") if self.gelu else functional.silu(gate)) * up


class RMSNorm(nn.Module):
    """Division by the root mean square, then a weight a channel (arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class HeadNorm(nn.Module):
    """RMSNorm over each query and key head; one weight for all query heads, one for all key heads."""

    def __init__(self, heads: int, kv_heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.ones(head_dim))
        self.k = nn.Parameter(torch.ones(head_dim))
        self.heads, self.kv_heads, self.eps = heads, kv_heads, eps

    def forward(self, qk: Tensor) -> Tensor:
        """(B, T, H + K, D), queries first."""
        q, k = qk.split_with_sizes([self.heads, self.kv_heads], 2)
        q = functional.rms_norm(q, self.q.shape, self.q, self.eps)
        k = functional.rms_norm(k, self.k.shape, self.k, self.eps)
        return torch.cat((q, k), dim=2)
