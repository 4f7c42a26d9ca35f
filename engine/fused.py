"""The decoder in native code: whole steps, and blocks around PyTorch's attention for many tokens far into a text.

A step of `engine.model` is several hundred small operations, whose calls cost more than what they compute. Here it is
one call. `engine.model` is the twin that it is compared with, and what runs where this can't.
"""

from __future__ import annotations

import ctypes
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from engine.kernels.native import NativeProduct, Weight
from engine.kernels.native_build import library
from engine.kv_cache import KVCache, layout_of
from engine.layout import Packed
from engine.linear import Int8Embedding, Int8Linear
from engine.model import Block, Decoder, HeadNorm, attend
from engine.row_cache import RowCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.config import ModelConfig
    from engine.kv_cache import Cache
    from engine.layout import Layout
    from engine.model import Rotation

CPU = torch.device("cpu")
T = TypeVar("T")
FEW = 16
"""Tokens of one sequence that a step takes at any depth; beyond, PyTorch's attention over all of them is faster."""
NEAR = 1024
"""Up to this position a step takes any number of tokens, as their attention costs little: prompts of usual length, and
the beginning of longer ones, give bit by bit the same however they are cut, whatever of them was cached."""
WIDEST_HEAD = 1024
"""Channels of a head that the library has room for."""


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("attention_norm", "mlp_norm", "post_attention_norm", "post_mlp_norm")),
        ("q_norm", ctypes.c_void_p),
        ("k_norm", ctypes.c_void_p),
        *((name, Weight) for name in ("qkv", "out", "gate_up", "down")),
        ("kind", ctypes.c_int32),
        ("window", ctypes.c_int32),
    )


class _Embedding(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "scales", "columns")),
        ("rows", ctypes.c_int32),
        ("factor", ctypes.c_float),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("hidden", "middle", "layers", "gelu", "heads", "kv_heads", "width")),
        ("scale", ctypes.c_float),
        ("eps", ctypes.c_float),
        ("layer", ctypes.POINTER(_Layer)),
        ("norm", ctypes.c_void_p),
        ("embedding", _Embedding),
    )


class _LayerCache(ctypes.Structure):
    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("row_stride", ctypes.c_int64),
        ("head_stride", ctypes.c_int64),
        ("first", ctypes.c_int32),
        ("bfloat", ctypes.c_int32),
    )


class FusedDecoder(Decoder):
    """`Decoder` over the native kernel's weights."""

    _native: _Native | None = None

    @property
    def steps_are_exact(self) -> bool:
        """As `Decoder.steps_are_exact`, up to FEW tokens."""
        return self._native is not None and isinstance(self.head, Int8Linear)

    def fuse(self) -> None:
        """Take hold of the weights, once they are in place; they must stay there."""
        self._native = _Native.of(self)

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        layout: Layout | None = None,
        ends: Sequence[int] | None = None,
    ) -> Tensor:
        """As `Decoder.forward`."""
        native = self._native
        batch, tokens = ids.shape
        if native is None or (batch > 1 and not isinstance(cache, RowCache)):
            return super().forward(ids, cache, layout, ends)
        if isinstance(cache, RowCache):
            return self._row_step(ids, cache, partial(native.hidden, None))
        near = NEAR - cache.length if isinstance(cache, KVCache) else 0
        if layout is None and tokens > FEW and 0 < near < tokens:
            early = self.forward(ids[:, :near], cache, None, ends and [at for at in ends if at < near])
            late = self.forward(ids[:, near:], cache, None, ends and [at - near for at in ends if at >= near])
            return torch.cat((early, late), 1)
        layout = layout or layout_of(ids, cache)
        if isinstance(cache, KVCache) and (tokens <= FEW or layout.end <= NEAR):
            return self._step(ids, cache, layout, partial(native.hidden, ends))
        *_, x = self._pass(native, ids, layout, cache, [len(self.layers)], ends)
        return self.norm(x)

    def states(
        self,
        ids: Tensor,
        cache: Cache | None,
        layout: Layout | None,
        depths: Sequence[int],
        ends: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """As `Decoder.states`."""
        native = self._native
        if native is None or ids.shape[0] > 1:
            return super().states(ids, cache, layout, depths, ends)
        assert depths[-1] <= len(self.layers), depths
        layout = layout or layout_of(ids, cache)
        if isinstance(cache, KVCache) and layout.end <= NEAR:
            return self._step(ids, cache, layout, partial(native.states, depths, ends), depths[-1])
        return self._pass(native, ids, layout, cache, depths, ends)

    def next_logits(self, ids: Tensor, cache: Cache) -> Tensor:
        """As `Decoder.next_logits`, in one call where it can be."""
        native, head = self._native, self.head
        if native is None or not (isinstance(head, Int8Linear) and isinstance(head.product, NativeProduct)):
            return super().next_logits(ids, cache)
        logits = partial(native.logits, head.product.weight)
        if isinstance(cache, RowCache):
            return self._row_step(ids, cache, logits)
        if isinstance(cache, KVCache) and ids.shape[0] == 1 and ids.shape[1] <= FEW:
            return self._step(ids, cache, cache.layout(ids.shape[1]), logits)
        return super().next_logits(ids, cache)

    def _step(
        self, ids: Tensor, cache: KVCache, layout: Layout, compute: Callable[[_Step], T], depth: int | None = None
    ) -> T:
        """What is computed of new tokens of one sequence, in one call, by all blocks or the first so many."""
        tokens = ids.shape[1]
        places, ranges = _places(layout, cache.length)
        computed = compute(_Step(ids, self._tables(layout.end), _of_one(cache, tokens), places, ranges))
        cache.stored(tokens, depth)
        cache.advance(tokens)
        return computed

    def _row_step(self, ids: Tensor, cache: RowCache, compute: Callable[[_Step], Tensor]) -> Tensor:
        """What is computed of the next token of every row, in one call."""
        cache.reserve()
        places = [(row, at, at, row, 1) for row, at in enumerate(cache.lengths)]
        ranges = [(0, at + 1, 0) for at in cache.lengths]
        computed = compute(_Step(ids, self._tables(max(cache.lengths) + 1), _of_rows(cache), places, ranges))
        cache.advance(ids.shape[1])
        return computed

    def _tables(self, positions: int) -> list[Rotation]:
        return [self.rotary.table(kind, positions, CPU) for kind in self.rotary.kinds]

    def _pass(
        self,
        native: _Native,
        ids: Tensor,
        layout: Layout,
        cache: Cache | None,
        depths: Sequence[int],
        ends: Sequence[int] | None,
    ) -> list[Tensor]:
        """As `states`, of many tokens of one sequence."""
        config = self.config
        x = (self.embedding(ids) * config.embedding_scale).view(-1, config.hidden_size).contiguous()
        rotations = [self.rotary(kind, layout, ids.device) for kind in self.rotary.kinds]
        tables = [tuple(table.reshape(x.shape[0], -1).contiguous() for table in pair) for pair in rotations]
        heads = [config.num_heads, config.num_kv_heads, config.num_kv_heads]
        found = list[Tensor]()
        for index, layer in enumerate(islice(self.layers, depths[-1])):
            assert isinstance(layer, Block)
            qkv = native.before(index, x, tables[self.rotary.kinds.index(layer.kind)])
            q, k, v = qkv.view(1, len(x), sum(heads), config.head_dim).transpose(1, 2).split_with_sizes(heads, 1)
            if cache is not None:
                k, v = cache.append(index, k, v)
            mask = layout.mask(k.shape[2], layer.attention.window)
            y = attend(q.to(k.dtype), k, v, mask, layer.attention.scale)
            if ends is not None and index + 1 == depths[-1]:
                x, y = x[ends], y[:, ends]
            if len(x):
                native.after(index, y, x)
            if index + 1 in depths:
                found.append(x.clone()[None])
        if cache is not None:
            cache.advance(ids.shape[1])
        return found


_Place = tuple[int, int, int, int, int]
"""Sequence, entry, position, first range, ranges: `Place` of decoder.cpp."""
_Range = tuple[int, int, int]
"""First entry, one more than the last, position of the first: `Range`."""


class _Step(NamedTuple):
    """New tokens (B, T), and for each of them in turn where it is stored and what it sees."""

    ids: Tensor
    tables: list[Rotation]
    caches: ctypes.Array[_LayerCache]
    places: list[_Place]
    ranges: list[_Range]


def _places(layout: Layout, length: int) -> tuple[list[_Place], list[_Range]]:
    """Where the new tokens of one sequence are stored and what they see."""
    if isinstance(layout, Packed):
        positions, seen = layout.positions.tolist(), layout.seen()
    else:
        positions = list(range(length, layout.end))
        seen = [[(0, position + 1, 0)] for position in positions]
    places, ranges = list[_Place](), list[_Range]()
    for at, (position, row) in enumerate(zip(positions, seen, strict=True)):
        places.append((0, length + at, position, len(ranges), len(row)))
        ranges += row
    return places, ranges


def _of_one(cache: KVCache, tokens: int) -> ctypes.Array[_LayerCache]:
    room = cache.room(tokens)
    if room.described is None:
        room.described = (_LayerCache * len(room.layers))(
            *(
                _LayerCache(keys.data_ptr(), values.data_ptr(), 0, keys.stride(1), first, keys.dtype == torch.bfloat16)
                for keys, values, first in room.layers
            )
        )
    return cast("ctypes.Array[_LayerCache]", room.described)


def _of_rows(cache: RowCache) -> ctypes.Array[_LayerCache]:
    keys, values = cache.buffers
    size = keys.stride(0) * keys.element_size()
    row, head = keys.stride(1), keys.stride(2)
    told = row, head, 0, keys.dtype == torch.bfloat16
    layers = (_LayerCache(keys.data_ptr() + i * size, values.data_ptr() + i * size, *told) for i in range(len(keys)))
    return (_LayerCache * len(keys))(*layers)


class _Native:
    """The library's view of a decoder's weights."""

    def __init__(self, native: ctypes.CDLL, model: Decoder, layers: list[_Layer]) -> None:
        config = model.config
        self._library = native
        self._layers = (_Layer * len(layers))(*layers)
        self._model = _Model(
            config.hidden_size, config.intermediate_size, config.num_layers, config.activation == "gelu_tanh",
            config.num_heads, config.num_kv_heads, config.head_dim, config.softmax_scale, config.norm_eps, self._layers,
            model.norm.weight.data_ptr(), self._embedding(model),
        )  # fmt: skip
        self._width = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim

    def _embedding(self, model: Decoder) -> _Embedding:
        table = cast("object", model.embedding)
        assert isinstance(table, Int8Embedding)
        self._table = [tensor.contiguous() for tensor in (table.values, table.scales, table.columns)]
        pointers = (tensor.data_ptr() for tensor in self._table)
        return _Embedding(*pointers, model.config.vocab_size, model.config.embedding_scale)

    @classmethod
    def of(cls, model: Decoder) -> _Native | None:
        """None where a layer is not one of this kernel's, or a head is wider than the library has room for."""
        native = library()
        config = model.config
        if isinstance(native, str) or config.head_dim > WIDEST_HEAD:
            return None
        blocks = [block for block in model.layers if isinstance(block, Block)]
        linear = [part for b in blocks for part in (b.attention.qkv, b.attention.out, b.mlp.gate_up, b.mlp.down)]
        if not isinstance(cast("object", model.embedding), Int8Embedding):
            return None
        if not all(isinstance(part, Int8Linear) and isinstance(part.product, NativeProduct) for part in linear):
            return None
        return cls(native, model, [_layer(block, model.rotary.kinds.index(block.kind), config) for block in blocks])

    def hidden(self, ends: Sequence[int] | None, step: _Step) -> Tensor:
        """(B, T or E, C): after the final norm."""
        x = torch.empty(*step.ids.shape, self._model.hidden)
        self._run(step, x, ends=ends)
        return x if ends is None else x[:, : len(ends)]

    def states(self, depths: Sequence[int], ends: Sequence[int] | None, step: _Step) -> list[Tensor]:
        """As `Decoder.states`."""
        x = torch.empty(len(depths), *step.ids.shape, self._model.hidden)
        self._run(step, x[-1], depths, x, ends)
        return [*x[:-1], x[-1] if ends is None else x[-1, :, : len(ends)]]

    def logits(self, head: Weight, step: _Step) -> Tensor:
        """(B, T, V): what the head makes of them."""
        x = torch.empty(*step.ids.shape, self._model.hidden)
        logits = torch.empty(*step.ids.shape, head.outputs)
        self._run(step, x, head=ctypes.byref(head), logits=_at(logits))
        return logits

    def _run(
        self,
        step: _Step,
        x: Tensor,
        depths: Sequence[int] = (),
        states: Tensor | None = None,
        ends: Sequence[int] | None = None,
        head: Any = None,
        logits: ctypes.c_void_p | None = None,
    ) -> None:
        ids = step.ids.contiguous()
        cosines, sines = (
            (ctypes.c_void_p * len(step.tables))(*(table.data_ptr() for table in one))
            for one in zip(*step.tables, strict=True)
        )
        done = self._library.llm_step(
            ctypes.byref(self._model), _numbers(depths), len(depths), None if states is None else _at(states),
            _numbers(ends or ()), -1 if ends is None else len(ends),
            _at(ids), _at(x), len(step.places), _flat(step.places), _flat(step.ranges), step.caches, cosines, sines,
            head, logits, torch.get_num_threads(),
        )  # fmt: skip
        if not done:
            raise IndexError(f"ids must be below {self._model.embedding.rows}, got {ids.tolist()}")

    def before(self, layer: int, x: Tensor, table: tuple[Tensor, ...]) -> Tensor:
        """(T, C) -> (T, (H + 2 K) * D): what attention works on."""
        qkv = torch.empty(x.shape[0], self._width)
        cosines, sines = table
        self._library.llm_before(
            ctypes.byref(self._model),
            layer,
            _at(x),
            x.shape[0],
            _at(cosines),
            _at(sines),
            _at(qkv),
            torch.get_num_threads(),
        )
        return qkv

    def after(self, layer: int, attention: Tensor, x: Tensor) -> None:
        """Adds to x (T, C) what comes of attention (1, T, H * D)."""
        y = attention.float().contiguous()
        self._library.llm_after(ctypes.byref(self._model), layer, _at(y), _at(x), x.shape[0], torch.get_num_threads())


def _flat(rows: list[_Place] | list[_Range]) -> ctypes.Array[ctypes.c_int32]:
    return _numbers([number for row in rows for number in row])


def _numbers(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_int32]:
    return (ctypes.c_int32 * len(numbers))(*numbers)


def _at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _layer(block: Block, kind: int, config: ModelConfig) -> _Layer:
    norms: list[Any] = [block.attention_norm, block.mlp_norm, block.post_attention_norm, block.post_mlp_norm]
    pointers = [norm.weight.data_ptr() if hasattr(norm, "weight") else None for norm in norms]
    heads = block.attention.qk_norm
    if isinstance(heads, HeadNorm):
        pointers += [heads.q.data_ptr(), heads.k.data_ptr()]
    else:
        pointers += [None, None]
    linear = (block.attention.qkv, block.attention.out, block.mlp.gate_up, block.mlp.down)
    window = (config.sliding_window or 0) if block.kind == "local" else 0
    return _Layer(*pointers, *(_weight(part) for part in linear), kind, window)


def _weight(linear: Any) -> Weight:
    packed = linear.product.weight
    bias = None if linear.bias is None else linear.bias.data_ptr()
    return Weight(packed.values, packed.scales, bias, packed.outputs, packed.inputs, packed.digits)
