"""CUDA in Triton: activations to int8 digits, and the product of digits with int8 rows.

A weight is read as the bytes it has, once for all rows and both digits; scales, bias and the gate are applied where
the sums lie. Few rows leave most of a GPU without work: then the inputs are cut in `splits`, whose sums are added by
who reads them next. Needs Triton; `engine.kernels.triton_kernel` says whether it runs here.
"""

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from engine.kernels.triton_launch import launch

SECOND_DIGIT = tl.constexpr(254.0)
"""As in `engine.kernels.activations`, the twin."""
ROUNDING = tl.constexpr(12582912.0)
"""1.5 * 2**23: added and taken away again, it leaves the nearest whole number, the even one of two."""


@triton.jit
def take_turn(EARLY: tl.constexpr):
    """Before a kernel reads what others wrote, or writes: wait for those before it, let the next one be launched."""
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()


@triton.jit
def _rounded(value):
    return (value + ROUNDING) - ROUNDING


@triton.jit
def store_digits(value, digits, scales, row, rows, width, at, inside, DIGITS: tl.constexpr):
    """A row as `to_digits` has it: all first digits lie before all second ones."""
    scale = tl.maximum(tl.div_rn(tl.max(tl.abs(value), 0), 127.0), 1e-30)
    tl.store(scales + row, scale)
    scaled = tl.div_rn(value, scale)
    first = _rounded(scaled)
    tl.store(digits + row.to(tl.int64) * width + at, first.to(tl.int8), mask=inside)
    if DIGITS == 2:
        second = _rounded((scaled - first) * SECOND_DIGIT)
        tl.store(digits + (rows + row).to(tl.int64) * width + at, second.to(tl.int8), mask=inside)


@triton.jit
def _normed(value, weight, width, eps):
    return value * tl.rsqrt(tl.sum(value * value, 0) / width + eps) * weight


@triton.jit(do_not_specialize=["rows"])
def _add_norm(
    x, y, post, weight, digits, scales, out, rows, width, eps,
    SPLITS: tl.constexpr, POST: tl.constexpr, NORM: tl.constexpr, DIGITS: tl.constexpr, BLOCK: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < width
    line = row.to(tl.int64) * width
    if POST:
        post_weight = tl.load(post + at, mask=inside, other=0.0)
    if NORM:
        norm_weight = tl.load(weight + at, mask=inside, other=0.0)
    take_turn(EARLY)
    value = tl.load(x + line + at, mask=inside, other=0.0)
    if SPLITS > 0:
        more = tl.zeros((BLOCK,), tl.float32)
        for split in tl.static_range(SPLITS):
            more += tl.load(y + (split * rows + row).to(tl.int64) * width + at, mask=inside, other=0.0)
        if POST:
            more = _normed(more, post_weight, width, eps)
        value += more
        tl.store(x + line + at, value, mask=inside)
    if NORM:
        value = _normed(value, norm_weight, width, eps)
    if DIGITS == 0:
        tl.store(out + line + at, value, mask=inside)
    else:
        store_digits(value, digits, scales, row, rows, width, at, inside, DIGITS)


@triton.jit
def _sums(first, second, weight_scale, DIGITS: tl.constexpr):
    """Products of digits -> of what they stand for, but for the row's scale."""
    sums = first.to(tl.float32) * weight_scale[None, :]
    if DIGITS == 2:
        sums += second.to(tl.float32) * weight_scale[None, :] * (1.0 / SECOND_DIGIT)
    return sums


@triton.jit
def _activated(gate, GELU: tl.constexpr):
    if GELU:
        inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate)
        return gate * tl.sigmoid(2.0 * inner)  # 0.5 * (1 + tanh(inner)) is the sigmoid of twice that
    return gate * tl.sigmoid(gate)


@triton.jit(do_not_specialize=["rows"])
def _multiply(
    digits, scales, weight, weight_scales, bias, y, rows, outputs, inputs,
    BIAS: tl.constexpr, GATED: tl.constexpr, GELU: tl.constexpr, DIGITS: tl.constexpr,
    EVEN: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """(rows, inputs) digits times (outputs, inputs) int8; GATED: `outputs` rows of gates, then as many of ups."""
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    column = tl.program_id(1) * BN + tl.arange(0, BN)
    split, splits = tl.program_id(2), tl.num_programs(2)
    here, there = row < rows, column < outputs
    k = tl.arange(0, BK)
    x = digits + row.to(tl.int64)[:, None] * inputs + k[None, :]
    w = weight + column.to(tl.int64)[None, :] * inputs + k[:, None]
    beyond = rows.to(tl.int64) * inputs
    up = outputs.to(tl.int64) * inputs
    # What nobody computes is read before this kernel's turn.
    weight_scale = tl.load(weight_scales + column, mask=there, other=0.0)
    up_scale = tl.load(weight_scales + outputs + column, mask=there & GATED, other=0.0)
    added = tl.load(bias + column, mask=there & BIAS & (split == 0), other=0.0)
    up_added = tl.load(bias + outputs + column, mask=there & BIAS & GATED, other=0.0)
    take_turn(EARLY)
    scale = tl.load(scales + row, mask=here, other=0.0)[:, None]
    first = tl.zeros((BM, BN), tl.int32)
    second = tl.zeros((BM, BN), tl.int32)
    up_first = tl.zeros((BM, BN), tl.int32)
    up_second = tl.zeros((BM, BN), tl.int32)
    for start in range(split * BK, inputs, splits * BK):
        seen_x, seen_w = here[:, None], there[None, :]
        if not EVEN:
            seen_x = seen_x & (k[None, :] < inputs - start)
            seen_w = seen_w & (k[:, None] < inputs - start)
        tile = tl.load(w + start, mask=seen_w, other=0)
        ours = tl.load(x + start, mask=seen_x, other=0)
        first = tl.dot(ours, tile, first, out_dtype=tl.int32)
        if DIGITS == 2:
            more = tl.load(x + beyond + start, mask=seen_x, other=0)
            second = tl.dot(more, tile, second, out_dtype=tl.int32)
        if GATED:
            up_tile = tl.load(w + up + start, mask=seen_w, other=0)
            up_first = tl.dot(ours, up_tile, up_first, out_dtype=tl.int32)
            if DIGITS == 2:
                up_second = tl.dot(more, up_tile, up_second, out_dtype=tl.int32)
    value = _sums(first, second, weight_scale, DIGITS) * scale + added[None, :]
    if GATED:
        up_value = _sums(up_first, up_second, up_scale, DIGITS) * scale + up_added[None, :]
        value = _activated(value, GELU) * up_value
    place = (split * rows + row).to(tl.int64)[:, None] * outputs + column[None, :]
    tl.store(y + place, value, mask=here[:, None] & there[None, :])


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a product is cut: rows, columns and inputs of a tile, parts of the inputs, and how a tile is computed."""

    rows: int
    columns: int
    inputs: int
    splits: int = 1
    warps: int = 4
    stages: int = 4


FEW = 16
"""Rows that one tile of the matrix units takes: as many cost what one costs."""
PROGRAMS = 132
"""Processors of a large GPU."""


@functools.cache
def _room(device: torch.device) -> int:
    """Bytes of shared memory for the tiles of one program."""
    if device.type != "cuda":
        return 1 << 16
    return int(getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 101376)) - 4096


def tiles_for(rows: int, outputs: int, inputs: int, sums: int, *, whole: bool) -> Tiles:
    """`sums`: accumulators of a tile (digits, twice that where gated). `whole`: no splits."""
    if rows <= FEW:
        columns, depth = 32, 128
        most = 2 * PROGRAMS // -(-outputs // columns)
        splits = 1 if whole else max(1, min(8, most, inputs // depth // 2 + 1))
        return Tiles(FEW, columns, depth, splits, warps=2, stages=5)
    if rows <= 128:
        return Tiles(64, 32, 128, 1 if whole else max(1, min(4, inputs // 256)))
    if sums == 4:
        return Tiles(64, 32, 128)
    if outputs * sums < 4096:
        if rows > 1024:
            return Tiles(64, 128, 128, stages=3)
        return Tiles(64, 64, 256, stages=3) if inputs > 2048 else Tiles(64, 64, 128)
    return Tiles(128, 128 if sums == 1 else 64, 128, warps=8, stages=3)


@dataclass(frozen=True, slots=True)
class Digits:
    """Rows of activations as int8 digits (D * M, K), and their scales (M,)."""

    values: Tensor
    scales: Tensor
    count: int
    """1 or 2 digits a number."""

    @property
    def rows(self) -> int:
        """M."""
        return self.scales.shape[0]

    @classmethod
    def empty(cls, rows: int, width: int, count: int, device: torch.device) -> "Digits":
        """To be filled."""
        values = torch.empty(count * rows, width, dtype=torch.int8, device=device)
        return cls(values, torch.empty(rows, device=device), count)


@dataclass(frozen=True, slots=True)
class Int8Rows:
    """A weight as it is multiplied: values (N, K), scales (N,), bias (N,) or None, digits of what it meets."""

    values: Tensor
    scales: Tensor
    bias: Tensor | None
    digits: int


def add_norm(
    x: Tensor, y: Tensor | None, post: Tensor | None, weight: Tensor | None, eps: float, digits: int
) -> Digits | Tensor:
    """Adds to x (M, C), in place, y (S, M, C) summed over its splits, normed by `post` if there is one; returns
    x normed by `weight` if there is one, as digits, or as it is if `digits` is 0."""
    rows, width = x.shape
    made = Digits.empty(rows, width, digits, x.device) if digits else None
    out = torch.empty_like(x) if made is None else x
    block = triton.next_power_of_2(width)
    launch(
        _add_norm, (rows, 1, 1),
        (
            x, x if y is None else y, x if post is None else post, x if weight is None else weight,
            x if made is None else made.values, x if made is None else made.scales, out, rows, width, eps,
        ),
        {
            "SPLITS": 0 if y is None else y.shape[0], "POST": post is not None, "NORM": weight is not None,
            "DIGITS": digits, "BLOCK": block,
        },
        num_warps=min(16, max(1, block // 256)),
    )  # fmt: skip
    return out if made is None else made


def to_digits(x: Tensor, digits: int) -> Digits:
    """(M, K) float32 -> its digits."""
    made = add_norm(x, None, None, None, 0.0, digits)
    assert isinstance(made, Digits)
    return made


def multiply(x: Digits, weight: Int8Rows, *, gated: str = "", whole: bool = True, tiles: Tiles | None = None) -> Tensor:
    """Digits of (M, K) -> (S, M, N) float32, to be summed over S, which is 1 if `whole`.

    `gated` "silu" or "gelu": the first half of the weight's rows are gates, the others what they let through, (1, M,
    N / 2).
    """
    rows = x.rows
    outputs, inputs = weight.values.shape
    if gated:
        outputs //= 2
    if tiles is None:
        tiles = tiles_for(rows, outputs, inputs, x.count * (2 if gated else 1), whole=whole or bool(gated))
    y = torch.empty(tiles.splits, rows, outputs, device=x.values.device)
    stage = (tiles.rows * x.count + tiles.columns * (2 if gated else 1)) * tiles.inputs
    bias = weight.scales if weight.bias is None else weight.bias
    launch(
        _multiply, (-(-rows // tiles.rows), -(-outputs // tiles.columns), tiles.splits),
        (x.values, x.scales, weight.values, weight.scales, bias, y, rows, outputs, inputs),
        {
            "BIAS": weight.bias is not None, "GATED": bool(gated), "GELU": gated == "gelu", "DIGITS": x.count,
            "EVEN": inputs % tiles.inputs == 0, "BM": tiles.rows, "BN": tiles.columns, "BK": tiles.inputs,
        },
        num_warps=tiles.warps, num_stages=max(1, min(tiles.stages, _room(y.device) // stage)),
    )  # fmt: skip
    return y
