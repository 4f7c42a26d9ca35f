"""Apple GPUs: PyTorch's weight-only int8 product, which has a Metal kernel; float16 activations.

The same operator exists on the CPU, where the tests compare this file with the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.kernels import Product


UNIT = 2.0**-14
"""The smallest normal float16. In place of the rows' scales it keeps sums of 127 * K within float16's range."""


class MpsKernel:
    """`_weight_int8pack_mm` in half precision, each row brought to the range of float16 and back."""

    name = "mps-int8"
    dtype = torch.float16

    def unavailable(self, device: torch.device) -> str:
        """Needs an Apple GPU."""
        return "" if device.type == "mps" else "needs an Apple GPU (mps)"

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Weights are used as they are."""
        units = torch.full_like(scales, UNIT, dtype=self.dtype)
        scales = scales / UNIT

        def product(x: Tensor) -> Tensor:
            # Feed-forward blocks of Gemma and Qwen reach numbers that float16 does not have.
            peak = x.abs().amax(-1, keepdim=True).clamp_min(1e-30)
            y = torch._weight_int8pack_mm((x / peak).to(self.dtype), values, units)
            return y.to(x.dtype).mul_(scales).mul_(peak)

        return product
