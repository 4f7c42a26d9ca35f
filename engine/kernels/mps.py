"""Apple GPUs: PyTorch's weight-only int8 product, which has a Metal kernel; float16 activations.

The same operator exists on the CPU, where the tests compare this file with the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.kernels import Product


class MpsKernel:
    """`_weight_int8pack_mm` in half precision."""

    name = "mps-int8"
    dtype = torch.float16

    def unavailable(self, device: torch.device) -> str:
        """Needs an Apple GPU."""
        return "" if device.type == "mps" else "needs an Apple GPU (mps)"

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Weights are used as they are."""
        half_scales = scales.to(self.dtype)
        return lambda x: torch._weight_int8pack_mm(x.to(self.dtype), values, half_scales).to(x.dtype)
