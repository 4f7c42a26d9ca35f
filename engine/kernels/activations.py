"""Activations as int8 digits: one scale a token, one or two digits a number.

With two digits, x = scale * (d1 + d2 / 254), so that 15 bits survive. The digits of all tokens are stacked as rows:
a product of few rows costs the time to read the weight, and a second digit is then almost free.
"""

from __future__ import annotations

import torch
from torch import Tensor

SECOND_DIGIT = 254.0
"""The rounding error of the first digit lies within ±0.5; this spreads it over ±127."""


def to_digits(x: Tensor, digits: int) -> tuple[Tensor, Tensor]:
    """(M, K) float -> int8 (digits * M, K) and scales (M, 1) float32."""
    scale = x.abs().amax(-1, keepdim=True).float().div_(127).clamp_min_(1e-30)
    scaled = x / scale
    first = scaled.round()
    if digits == 1:
        return first.to(torch.int8), scale
    second = (scaled - first).mul_(SECOND_DIGIT).round_()
    return torch.cat((first, second)).to(torch.int8), scale


def from_digits(products: Tensor, scale: Tensor, digits: int) -> Tensor:
    """(digits * M, N) float products of the digits -> (M, N) products of the activations."""
    if digits == 1:
        return products * scale
    first, second = products.chunk(2)
    return torch.add(first, second, alpha=1 / SECOND_DIGIT).mul_(scale)
