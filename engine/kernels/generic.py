"""Any CPU: PyTorch's weight-only int8 product, float activations, weights used where they lie (memory-mapped)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.kernels import Product

MANY_ROWS = 16
"""Above this the product is bound by arithmetic, and dequantizing once for all rows is faster."""


class GenericKernel:
    """`_weight_int8pack_mm` in bfloat16, its fast type on CPUs, for few rows; a float product for many."""

    name = "cpu-generic"

    def unavailable(self, device: torch.device) -> str:
        """Runs on every CPU."""
        return "" if device.type == "cpu" else "needs a CPU"

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Nothing is copied but the scales."""
        half_scales = scales.to(torch.bfloat16)

        def product(x: Tensor) -> Tensor:
            if x.shape[0] > MANY_ROWS:
                return (x @ values.to(x.dtype).t()).mul_(scales)
            # The scales are applied in float32: in bfloat16 they would lose what one scale a row is there to keep.
            ones = torch.ones_like(half_scales)
            return torch._weight_int8pack_mm(x.to(torch.bfloat16), values, ones).float().mul_(scales)

        return product
