"""CUDA in Triton: heads turned and stored, and attention over a cache, for one token a row and for many of one.

One token looks at its keys in parts, side by side, which the next kernel joins (flash decoding); many look at tiles of
keys one after the other (FlashAttention, arXiv 2205.14135). The host need not know how long a row is.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.triton_launch import launch
from engine.kernels.triton_products import Digits, store_digits, take_turn

LOG2E = 1.4426950408889634
WIDE = 128
"""Channels of a head above which a tile is of half as many keys, to fit a smaller device's memory."""
MOST_PARTS = 16
"""What the kernel that joins them takes at once."""
PROGRAMS = 264
NEVER = tl.constexpr(-1e30)
"""Finite, so that a tile without a visible key leaves zeros and no NaN."""


@triton.jit
def _summed(qkv, rows, row, width, at, mask, SPLITS: tl.constexpr):
    """Some of a row's products, over their splits."""
    total = tl.load(qkv + row.to(tl.int64) * width + at, mask=mask, other=0.0)
    for split in tl.static_range(1, SPLITS):
        total += tl.load(qkv + (split * rows + row).to(tl.int64) * width + at, mask=mask, other=0.0)
    return total


@triton.jit(do_not_specialize=["rows", "first"])
def _place_heads(
    qkv, cosines, sines, q_norm, k_norm, positions, queries, keys, values, rows, heads, kv_heads, first,
    head_stride, eps,
    SPLITS: tl.constexpr, NORM: tl.constexpr, PACKED: tl.constexpr, D: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """One head of one row: normed, turned, and stored where attention looks for it."""
    take_turn(EARLY)
    row, head = tl.program_id(0), tl.program_id(1)
    at = tl.arange(0, D)
    other = (at + D // 2) % D
    width = (heads + 2 * kv_heads) * D
    value = _summed(qkv, rows, row, width, head * D + at, at < D, SPLITS)
    partner = _summed(qkv, rows, row, width, head * D + other, at < D, SPLITS)
    position = tl.load(positions + row)
    turned = head < heads + kv_heads
    if NORM:
        factor = tl.rsqrt(tl.sum(value * value, 0) / D + eps)
        ours = tl.where(head < heads, tl.load(q_norm + at), tl.load(k_norm + at))
        theirs = tl.where(head < heads, tl.load(q_norm + other), tl.load(k_norm + other))
        value = tl.where(turned, value * factor * ours, value)
        partner = partner * factor * theirs
    cosine, sine = tl.load(cosines + position * D + at), tl.load(sines + position * D + at)
    value = tl.where(turned, value * cosine + partner * sine, value).to(queries.dtype.element_ty)
    if head < heads:
        tl.store(queries + (row * heads + head).to(tl.int64) * D + at, value)
    else:
        place = (row if PACKED else position - first).to(tl.int64) * D + at
        if turned:
            tl.store(keys + (head - heads).to(tl.int64) * head_stride + place, value)
        else:
            tl.store(values + (head - heads - kv_heads).to(tl.int64) * head_stride + place, value)


@triton.jit
def _turned(value, partner, norm, partner_norm, cosine, sine, mean, eps, NORM: tl.constexpr):
    """A head's channels, normed and turned; `partner`: those half a head away."""
    if NORM:
        factor = tl.rsqrt(mean + eps)
        value, partner = value * factor * norm, partner * factor * partner_norm
    return value * cosine + partner * sine


@triton.jit
def _seen(q, k, v, seen, scale, best, weights, mixed):
    """Values of one more tile of keys mixed in, by the exponentials of scores below the best one so far."""
    score = tl.where(seen, tl.dot(q, tl.trans(k), input_precision="ieee") * scale, float("-inf"))
    higher = tl.maximum(best, tl.max(score, 1))
    weight = tl.exp2(score - higher[:, None])
    fade = tl.exp2(best - higher)
    more = tl.dot(weight.to(v.dtype), v, input_precision="ieee")
    return higher, weights * fade + tl.sum(weight, 1), mixed * fade[:, None] + more


@triton.jit(do_not_specialize=["rows"])
def _attend_part(
    qkv, cosines, sines, q_norm, k_norm, keys, values, lengths, sums, most, total, rows, kv_heads, row_stride,
    head_stride, eps, scale,
    GROUP: tl.constexpr, PARTS: tl.constexpr, WINDOW: tl.constexpr, SPLITS: tl.constexpr, NORM: tl.constexpr,
    D: tl.constexpr, BN: tl.constexpr, BG: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """One part of a row's keys, for the query heads that share them; the part with the newest entry stores it."""
    take_turn(EARLY)
    row, kv_head, part = tl.program_id(0) // kv_heads, tl.program_id(0) % kv_heads, tl.program_id(1)
    position = tl.load(lengths + row)
    end = position.to(tl.int32) + 1
    begin = 0
    if WINDOW > 0:
        begin = tl.maximum(end - WINDOW, 0)
    size = tl.cdiv(tl.cdiv(end - begin, PARTS), BN) * BN
    low = begin + part * size
    high = tl.minimum(low + size, end)
    group, channel, key = tl.arange(0, BG), tl.arange(0, D), tl.arange(0, BN)
    other = (channel + D // 2) % D
    here = group < GROUP
    width = (GROUP + 2) * kv_heads * D
    queries = (kv_head * GROUP + group)[:, None] * D
    k_head, v_head = (GROUP * kv_heads + kv_head) * D, ((GROUP + 1) * kv_heads + kv_head) * D
    all_ = channel < D
    q = _summed(qkv, rows, row, width, queries + channel[None, :], here[:, None], SPLITS)
    q_partner = _summed(qkv, rows, row, width, queries + other[None, :], here[:, None], SPLITS)
    new_k = _summed(qkv, rows, row, width, k_head + channel, all_, SPLITS)
    k_partner = _summed(qkv, rows, row, width, k_head + other, all_, SPLITS)
    new_v = _summed(qkv, rows, row, width, v_head + channel, all_, SPLITS).to(values.dtype.element_ty)
    cosine, sine = tl.load(cosines + position * D + channel), tl.load(sines + position * D + channel)
    q = _turned(
        q, q_partner, tl.load(q_norm + channel)[None, :], tl.load(q_norm + other)[None, :], cosine[None, :],
        sine[None, :], tl.sum(q * q, 1)[:, None] / D, eps, NORM,
    ).to(keys.dtype.element_ty)  # fmt: skip
    new_k = _turned(
        new_k, k_partner, tl.load(k_norm + channel), tl.load(k_norm + other), cosine, sine,
        tl.sum(new_k * new_k, 0) / D, eps, NORM,
    ).to(keys.dtype.element_ty)  # fmt: skip
    offset = row.to(tl.int64) * row_stride + kv_head.to(tl.int64) * head_stride
    newest = channel * 0 + (end - 1)
    stores = (newest >= low) & (newest < high)
    tl.store(keys + offset + position * D + channel, new_k, mask=stores)
    tl.store(values + offset + position * D + channel, new_v, mask=stores)
    best = tl.full((BG,), NEVER, tl.float32)
    weights = tl.zeros((BG,), tl.float32)
    mixed = tl.zeros((BG, D), tl.float32)
    for start in range(low, high, BN):
        entry = start + key
        seen, held = entry < high, (entry < high) & (entry < end - 1)
        place = offset + entry[:, None] * D + channel[None, :]
        k = tl.load(keys + place, mask=held[:, None], other=0.0)
        v = tl.load(values + place, mask=held[:, None], other=0.0)
        k = tl.where(held[:, None], k, new_k[None, :])
        v = tl.where(held[:, None], v, new_v[None, :])
        best, weights, mixed = _seen(q, k, v, seen[None, :], scale, best, weights, mixed)
    out = ((row * kv_heads + kv_head) * GROUP + group) * PARTS + part
    tl.store(most + out, best, mask=here)
    tl.store(total + out, weights, mask=here)
    tl.store(sums + out[:, None] * D + channel[None, :], mixed, mask=here[:, None])


@triton.jit(do_not_specialize=["rows"])
def _join_parts(
    sums, most, total, digits, scales, rows, width,
    PARTS: tl.constexpr, DIGITS: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """All heads of a row, and their digits for the product that follows."""
    take_turn(EARLY)
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < width
    part = tl.arange(0, PARTS)
    place = (row * (width // D) + at // D)[None, :] * PARTS + part[:, None]
    seen = inside[None, :] & (part[:, None] >= 0)
    best = tl.load(most + place, mask=seen, other=NEVER)
    weight = tl.exp2(best - tl.max(best, 0)[None, :])
    all_weights = tl.sum(weight * tl.load(total + place, mask=seen, other=1.0), 0)
    mixed = tl.load(sums + place * D + (at % D)[None, :], mask=seen, other=0.0)
    value = tl.sum(mixed * weight, 0) / all_weights
    store_digits(value, digits, scales, row, rows, width, at, inside, DIGITS)


@triton.jit(do_not_specialize=["tokens", "end"])
def _attend_many(
    queries, keys, values, y, tokens, end, heads, head_stride, scale,
    GROUP: tl.constexpr, WINDOW: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """A tile of the newest `tokens` of `end` entries, one head."""
    take_turn(EARLY)
    tile, head = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1)  # those with most keys go first
    token, channel, key = tile * BM + tl.arange(0, BM), tl.arange(0, D), tl.arange(0, BN)
    here = token < tokens
    line = (token[:, None] * heads + head) * D + channel[None, :]
    q = tl.load(queries + line, mask=here[:, None], other=0.0)
    entry = end - tokens + token
    low = 0
    if WINDOW > 0:
        low = tl.maximum(end - tokens + tile * BM - WINDOW + 1, 0) // BN * BN
    high = tl.minimum(end - tokens + (tile + 1) * BM, end)
    offset = (head // GROUP).to(tl.int64) * head_stride
    best = tl.full((BM,), NEVER, tl.float32)
    weights = tl.zeros((BM,), tl.float32)
    mixed = tl.zeros((BM, D), tl.float32)
    for start in range(low, high, BN):
        there = start + key
        place = offset + there[:, None] * D + channel[None, :]
        k = tl.load(keys + place, mask=(there < end)[:, None], other=0.0)
        v = tl.load(values + place, mask=(there < end)[:, None], other=0.0)
        seen = there[None, :] <= entry[:, None]
        if WINDOW > 0:
            seen = seen & (there[None, :] > entry[:, None] - WINDOW)
        best, weights, mixed = _seen(q, k, v, seen, scale, best, weights, mixed)
    tl.store(y + line, mixed / weights[:, None], mask=here[:, None])


def _keys_of(dim: int) -> int:
    return 64 if dim <= WIDE else 32


def place_heads(
    qkv: Tensor,
    tables: tuple[Tensor, Tensor],
    norms: tuple[Tensor, Tensor] | None,
    eps: float,
    positions: Tensor,
    heads: int,
    keys: Tensor,
    values: Tensor,
    first: int | None,
) -> Tensor:
    """(S, M, (H + 2 K) * D) products of rows at `positions` (M,) -> queries (M, H, D), in the type of the cache.

    Keys and values, (1, K, S, D), receive theirs: entry `position - first`; entry i for row i where `first` is None.
    """
    splits, rows, _ = qkv.shape
    _, kv_heads, _, dim = keys.shape
    queries = torch.empty(rows, heads, dim, dtype=keys.dtype, device=keys.device)
    cosines, sines = tables
    q_norm, k_norm = (cosines, cosines) if norms is None else norms
    launch(
        _place_heads, (rows, heads + 2 * kv_heads, 1),
        (
            qkv, cosines, sines, q_norm, k_norm, positions, queries, keys, values, rows, heads, kv_heads, first or 0,
            keys.stride(1), eps,
        ),
        {"SPLITS": splits, "NORM": norms is not None, "PACKED": first is None, "D": dim}, num_warps=1,
    )  # fmt: skip
    return queries


def attend_rows(
    qkv: Tensor,
    tables: tuple[Tensor, Tensor],
    norms: tuple[Tensor, Tensor] | None,
    eps: float,
    lengths: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    window: int | None,
    digits: int,
) -> Digits:
    """One token a row: (S, B, (H + 2 K) * D) products become entry lengths (B,) of (B, K, S, D), and what they see of
    all entries up to it, digits of (B, H * D)."""
    splits, rows, width = qkv.shape
    kv_heads, room, dim = keys.shape[1:]
    heads = width // dim - 2 * kv_heads
    group, tile = heads // kv_heads, _keys_of(dim)
    parts = 1 << max(0, min(MOST_PARTS, -(-room // tile), PROGRAMS // (rows * kv_heads)).bit_length() - 1)
    sums = torch.empty(rows, heads, parts, dim, device=qkv.device)
    most, total = torch.empty(2, rows, heads, parts, device=qkv.device)
    cosines, sines = tables
    q_norm, k_norm = (cosines, cosines) if norms is None else norms
    launch(
        _attend_part, (rows * kv_heads, parts, 1),
        (
            qkv, cosines, sines, q_norm, k_norm, keys, values, lengths, sums, most, total, rows, kv_heads,
            keys.stride(0), keys.stride(1), eps, scale * LOG2E,
        ),
        {
            "GROUP": group, "PARTS": parts, "WINDOW": window or 0, "SPLITS": splits, "NORM": norms is not None,
            "D": dim, "BN": tile, "BG": max(16, triton.next_power_of_2(group)),
        },
        num_warps=4, num_stages=2,
    )  # fmt: skip
    made = Digits.empty(rows, heads * dim, digits, qkv.device)
    block = triton.next_power_of_2(heads * dim)
    launch(
        _join_parts, (rows, 1, 1), (sums, most, total, made.values, made.scales, rows, heads * dim),
        {"PARTS": parts, "DIGITS": digits, "D": dim, "BLOCK": block}, num_warps=min(16, max(1, block // 128)),
    )  # fmt: skip
    return made


def attend_many(queries: Tensor, keys: Tensor, values: Tensor, end: int, scale: float, window: int | None) -> Tensor:
    """Many tokens of one sequence: queries (T, H, D), the newest of `end` entries of (1, K, S, D) -> (T, H * D)."""
    tokens, heads, dim = queries.shape
    y = torch.empty(tokens, heads * dim, device=queries.device)
    rows = 64 if tokens > 16 else 16
    launch(
        _attend_many, (-(-tokens // rows), heads, 1),
        (queries, keys, values, y, tokens, end, heads, keys.stride(1), scale * LOG2E),
        {"GROUP": heads // keys.shape[1], "WINDOW": window or 0, "D": dim, "BM": rows, "BN": _keys_of(dim)},
        num_warps=4, num_stages=2,
    )  # fmt: skip
    return y
