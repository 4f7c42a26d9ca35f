"""x86 with VNNI or AMX: oneDNN's int8 product over prepacked weights, int8 activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.kernels.activations import from_digits, to_digits

if TYPE_CHECKING:
    from engine.kernels import Product


class X86Kernel:
    """Weights are copied once into oneDNN's blocked layout; one to sixteen rows then cost about the same."""

    name = "x86-onednn"

    def __init__(self, *, signed: bool | None = None) -> None:
        """`signed`: whether oneDNN gets signed activations; None: as is fast on this processor."""
        self._signed = signed

    def unavailable(self, device: torch.device) -> str:
        """Needs a CPU with int8 dot products: without them oneDNN saturates 16-bit sums."""
        if device.type != "cpu":
            return "needs a CPU"
        if not torch._C._has_mkldnn:
            return "this PyTorch has no oneDNN"
        if not torch.cpu._is_vnni_supported():
            return "this processor has no VNNI instructions"
        return ""

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Prepack (N, K) int8."""
        packed = torch.ops.onednn.qlinear_prepack(values, None)
        zero_points = torch.zeros(values.shape[0], dtype=torch.int64)
        qlinear = torch.ops.onednn.qlinear_pointwise.default
        signed = torch.cpu._is_amx_tile_supported() if self._signed is None else self._signed
        middle = 0 if signed else 128

        def product(x: Tensor) -> Tensor:
            rows, scale = to_digits(x, digits)
            if not signed:
                rows = _shifted(rows)
            # The token's scale can't be passed in (it differs by row), so 1.0 is, and the rows are scaled afterwards.
            y = qlinear(rows, 1.0, middle, packed, scales, zero_points, None, 1.0, 0, torch.float32, "none", [], "")
            return from_digits(y, scale, digits)

        return product


def _shifted(rows: Tensor) -> Tensor:
    """int8 -> the same plus 128 as uint8. VNNI multiplies unsigned by signed: given two signed factors on a processor
    without AMX, oneDNN takes its reference loops, a thousand times slower. It takes the middle off again, exactly."""
    return rows.bitwise_xor(-128).view(torch.uint8)
