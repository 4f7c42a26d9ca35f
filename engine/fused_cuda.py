"""The decoder in Triton kernels: nine launches a block where `engine.model`, its twin, has some sixty.

The stream of hidden states stays float32, products meet int8 digits, attention is computed in the type of the cache.
Nothing waits for the device, so that a step can be captured (`engine.kernels.graph`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from engine.kernels.triton_kernel import TritonProduct
from engine.kv_cache import KVCache, layout_of
from engine.layout import Consecutive, Rows
from engine.linear import Int8Embedding, Int8Linear
from engine.model import Block, Decoder, HeadNorm, RMSNorm, attend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.kernels.triton_products import Digits, Int8Rows
    from engine.kv_cache import Cache
    from engine.layout import Layout

HEADS = (16, 32, 64, 128, 256)
"""Channels of a head that the kernels are made for."""


class CudaDecoder(Decoder):
    """`Decoder` over Triton's products."""

    _blocks: list[_Weights] | None = None

    def fuse(self) -> None:
        """Take hold of the weights, once they are in place; they must stay there."""
        blocks = [_Weights.of(block) for block in self.layers if isinstance(block, Block)]
        whole = [block for block in blocks if block is not None]
        if len(whole) == len(self.layers) and self.config.head_dim in HEADS:
            self._blocks = whole

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        layout: Layout | None = None,
        ends: Sequence[int] | None = None,
    ) -> Tensor:
        """As `Decoder.forward`."""
        x = self._pass(ids, cache, layout, None)
        if x is None:
            return super().forward(ids, cache, layout, ends)
        return x if ends is None else x[:, ends]

    def states(
        self,
        ids: Tensor,
        cache: Cache | None,
        layout: Layout | None,
        depths: Sequence[int],
        ends: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """As `Decoder.states`."""
        x = self._pass(ids, cache, layout, depths[0]) if len(depths) == 1 else None
        if x is None:
            return super().states(ids, cache, layout, depths, ends)
        return [x if ends is None else x[:, ends]]

    def _pass(self, ids: Tensor, cache: Cache | None, layout: Layout | None, depth: int | None) -> Tensor | None:
        """(B, T, C) after so many blocks, or after all and the norm; None for what the kernels are not made for."""
        batch, tokens = ids.shape
        layout = layout or layout_of(ids, cache)
        if self._blocks is None or (batch > 1 and not isinstance(layout, Rows)):
            return None
        seer: _Seer
        if isinstance(layout, Rows):
            assert isinstance(cache, HasBuffers), type(cache)
            seer = _RowSeer(self, layout, cache.buffers)
        elif isinstance(cache, KVCache) and isinstance(layout, Consecutive) and depth is None:
            seer = _OneSeer(self, layout, cache)
        else:
            seer = _AnySeer(self, layout, cache, ids)
        x = self._through(self._blocks, ids, seer, depth)
        if cache is not None:
            cache.advance(tokens)
        return x.view(batch, tokens, -1)

    def _embedded(self, ids: Tensor) -> Tensor:
        """(B, T) ids -> (B * T, C)."""
        from engine.kernels.triton_ends import embed

        table, factor = cast("object", self.embedding), self.config.embedding_scale
        if isinstance(table, Int8Embedding):
            return embed(ids.reshape(-1).contiguous(), table.values, table.scales, table.columns, factor)
        return (self.embedding(ids) * factor).view(-1, self.config.hidden_size).contiguous()

    def best(self, logits: Tensor) -> Tensor:
        """As `Decoder.best`."""
        if self._blocks is None:
            return super().best(logits)
        from engine.kernels.triton_ends import best

        return best(logits.contiguous())

    def _through(self, blocks: list[_Weights], ids: Tensor, seer: _Seer, depth: int | None) -> Tensor:
        """(B, T) ids -> (B * T, C)."""
        from engine.kernels.triton_products import Digits, add_norm, multiply, to_digits

        config = self.config
        eps, gate = config.norm_eps, "gelu" if config.activation == "gelu_tanh" else "silu"
        x = self._embedded(ids)
        added: Tensor | None = None
        post: Tensor | None = None
        for index, block in enumerate(islice(blocks, depth)):
            digits = add_norm(x, added, post, block.attention_norm, eps, block.qkv.digits)
            assert isinstance(digits, Digits)
            y = seer.look(index, block, multiply(digits, block.qkv, whole=False))
            added = multiply(y, block.out, whole=False)
            digits = add_norm(x, added, block.post_attention_norm, block.mlp_norm, eps, block.gate_up.digits)
            assert isinstance(digits, Digits)
            inner = multiply(digits, block.gate_up, gated=gate)[0]
            added, post = multiply(to_digits(inner, block.down.digits), block.down, whole=False), block.post_mlp_norm
        last = add_norm(x, added, post, self.norm.weight if depth is None else None, eps, 0)
        assert isinstance(last, Tensor)
        return last


@dataclass(frozen=True, slots=True)
class _Weights:
    """What a block computes with."""

    block: Block
    attention_norm: Tensor
    post_attention_norm: Tensor | None
    mlp_norm: Tensor
    post_mlp_norm: Tensor | None
    head_norms: tuple[Tensor, Tensor] | None
    qkv: Int8Rows
    out: Int8Rows
    gate_up: Int8Rows
    down: Int8Rows

    @classmethod
    def of(cls, block: Block) -> _Weights | None:
        """None where a layer is not one of this kernel's."""
        attention, mlp = block.attention, block.mlp
        linear = [_rows(part) for part in (attention.qkv, attention.out, mlp.gate_up, mlp.down)]
        whole = [rows for rows in linear if rows is not None]
        if len(whole) < len(linear):
            return None
        heads = attention.qk_norm
        return cls(
            block,
            block.attention_norm.weight,
            _weight(block.post_attention_norm),
            block.mlp_norm.weight,
            _weight(block.post_mlp_norm),
            (heads.q, heads.k) if isinstance(heads, HeadNorm) else None,
            *whole,
        )


def _weight(norm: object) -> Tensor | None:
    return norm.weight if isinstance(norm, RMSNorm) else None


def _rows(linear: object) -> Int8Rows | None:
    if not isinstance(linear, Int8Linear) or not isinstance(linear.product, TritonProduct):
        return None
    return replace(linear.product.rows, bias=linear.bias)


@runtime_checkable
class HasBuffers(Protocol):
    """A cache of rows."""

    @property
    def buffers(self) -> tuple[Tensor, Tensor]:
        """Keys and values, (L, B, K, S, D)."""


class _Seer:
    """Attention of one pass; the subclasses differ in what there is to look at."""

    def __init__(self, model: Decoder, positions: Tensor, end: int) -> None:
        self._config, self._positions = model.config, positions
        kinds = model.rotary.kinds
        self._tables = {kind: model.rotary.table(kind, end, positions.device) for kind in kinds}

    def _place(self, block: _Weights, qkv: Tensor, keys: Tensor, values: Tensor, first: int | None) -> Tensor:
        from engine.kernels.triton_attention import place_heads

        config, table = self._config, self._tables[block.block.kind]
        told = (table, block.head_norms, config.norm_eps, self._positions, config.num_heads)
        return place_heads(qkv, *told, keys, values, first)

    def look(self, index: int, block: _Weights, qkv: Tensor) -> Digits:
        """Sums (S, M, (H + 2 K) * D) -> what the next product meets."""
        raise NotImplementedError


class _RowSeer(_Seer):
    """One new token a row."""

    def __init__(self, model: Decoder, layout: Rows, buffers: tuple[Tensor, Tensor]) -> None:
        super().__init__(model, layout.lengths, layout.end)
        self._keys, self._values = buffers

    def look(self, index: int, block: _Weights, qkv: Tensor) -> Digits:
        from engine.kernels.triton_attention import attend_rows

        config, attention = self._config, block.block.attention
        table, norms = self._tables[block.block.kind], block.head_norms
        told = (table, norms, config.norm_eps, self._positions, self._keys[index], self._values[index])
        return attend_rows(qkv, *told, attention.scale, attention.window, block.out.digits)


class _OneSeer(_Seer):
    """The next tokens of one sequence, written into the cache where they belong."""

    def __init__(self, model: Decoder, layout: Consecutive, cache: KVCache) -> None:
        super().__init__(model, torch.arange(layout.start, layout.end, device=layout.device), layout.end)
        self._end, self._held = layout.end, cache.room(layout.tokens).layers
        cache.stored(layout.tokens)

    def look(self, index: int, block: _Weights, qkv: Tensor) -> Digits:
        from engine.kernels.triton_attention import attend_many
        from engine.kernels.triton_products import to_digits

        keys, values, first = self._held[index]
        queries = self._place(block, qkv, keys, values, first)
        attention = block.block.attention
        y = attend_many(queries, keys, values, self._end - first, attention.scale, attention.window)
        return to_digits(y, block.out.digits)


class _AnySeer(_Seer):
    """One sequence of any layout, with or without a cache: attention is PyTorch's."""

    def __init__(self, model: Decoder, layout: Layout, cache: Cache | None, ids: Tensor) -> None:
        positions = layout.select(torch.arange(layout.end, device=ids.device)[:, None]).view(-1)
        super().__init__(model, positions, layout.end)
        self._layout, self._cache = layout, cache
        self._dtype = cache.dtype if isinstance(cache, KVCache) else torch.float32

    def look(self, index: int, block: _Weights, qkv: Tensor) -> Digits:
        from engine.kernels.triton_products import to_digits

        config, attention = self._config, block.block.attention
        shape = (2, 1, config.num_kv_heads, qkv.shape[1], config.head_dim)
        keys, values = torch.empty(shape, dtype=self._dtype, device=qkv.device)
        queries = self._place(block, qkv, keys, values, None).transpose(0, 1)[None]  # (1, H, T, D)
        if self._cache is not None:
            keys, values = self._cache.append(index, keys, values)
        mask = self._layout.mask(keys.shape[2], attention.window)
        # On CUDA only attention without groups is fast under a mask.
        group = config.num_heads // config.num_kv_heads
        keys, values = (tensor.repeat_interleave(group, 1) for tensor in (keys, values))
        y = attend(queries.contiguous(), keys, values, mask, attention.scale)
        return to_digits(y[0].float(), block.out.digits)
