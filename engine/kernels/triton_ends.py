"""CUDA in Triton: what stands before the blocks and after them, rows of the embedding and the most probable tokens."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.triton_launch import launch
from engine.kernels.triton_products import take_turn

PART = 4096
"""Logits of a part."""


@triton.jit
def _embed(
    ids, values, scales, columns, x, width, factor, BLOCK: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    take_turn(EARLY)
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < width
    id_ = tl.load(ids + row)
    value = tl.load(values + id_ * width + at, mask=inside, other=0).to(tl.float32) * tl.load(scales + id_)
    value = value * tl.load(columns + at, mask=inside, other=0.0) * factor
    tl.store(x + row.to(tl.int64) * width + at, value, mask=inside)


@triton.jit
def _best_of_part(logits, found, vocabulary, PART: tl.constexpr, EARLY: tl.constexpr):
    take_turn(EARLY)
    row, part = tl.program_id(0), tl.program_id(1)
    at = part * PART + tl.arange(0, PART)
    value = tl.load(logits + row.to(tl.int64) * vocabulary + at, mask=at < vocabulary, other=float("-inf"))
    most = tl.max(value, 0)
    best = tl.min(tl.where(value == most, at, 0x7FFFFFFF), 0)
    least = tl.maximum(most, -3e38)  # a part may hold nothing but -inf
    out = found + (row * tl.num_programs(1) + part) * 3
    tl.store(out, best.to(tl.float64))
    tl.store(out + 1, most.to(tl.float64))
    tl.store(out + 2, tl.sum(tl.exp(value - least), 0).to(tl.float64))


@triton.jit
def _best_of_all(found, y, PARTS: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    take_turn(EARLY)
    row = tl.program_id(0)
    part = tl.arange(0, BLOCK)
    line = found + (row * PARTS + part) * 3
    seen = part < PARTS
    most = tl.load(line + 1, mask=seen, other=float("-inf"))
    best = tl.max(most, 0)
    id_ = tl.min(tl.where(most == best, tl.load(line, mask=seen, other=1e30), 1e30), 0)
    total = tl.sum(tl.load(line + 2, mask=seen, other=0.0) * tl.exp((most - best).to(tl.float32)), 0)
    tl.store(y + row * 3, id_)
    tl.store(y + row * 3 + 1, best)
    tl.store(y + row * 3 + 2, best + tl.log(total.to(tl.float32)))


def embed(ids: Tensor, values: Tensor, scales: Tensor, columns: Tensor, factor: float) -> Tensor:
    """As `Int8Embedding` of ids (M,), times a factor: (M, C)."""
    rows, width = ids.numel(), values.shape[1]
    x = torch.empty(rows, width, device=ids.device)
    block = triton.next_power_of_2(width)
    launch(_embed, (rows, 1, 1), (ids, values, scales, columns, x, width, factor), {"BLOCK": block}, num_warps=4)
    return x


def best(logits: Tensor) -> Tensor:
    """As `Decoder.best`."""
    rows, vocabulary = logits.shape
    parts = -(-vocabulary // PART)
    found = torch.empty(rows, parts, 3, dtype=torch.float64, device=logits.device)
    y = torch.empty(rows, 3, dtype=torch.float64, device=logits.device)
    launch(_best_of_part, (rows, parts, 1), (logits, found, vocabulary), {"PART": PART}, num_warps=8)
    block = triton.next_power_of_2(parts)
    launch(_best_of_all, (rows, 1, 1), (found, y), {"PARTS": parts, "BLOCK": block}, num_warps=2)
    return y
