"""Any CPU: PyTorch's weight-only int8 product, float activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from engine.kernels import Product

MANY_ROWS = 16
"""Above this the product is bound by arithmetic, and dequantizing once for all rows is faster."""
BLOCK = 64
"""The operator checks neither: rows that are no multiple of its vectors are read past their end, and weights that lie
across vectors, as memory-mapped ones do, end the process."""


class GenericKernel:
    """`_weight_int8pack_mm` in bfloat16, its fast type on CPUs, for few rows; a float product for many."""

    name = "cpu-generic"

    def unavailable(self, device: torch.device) -> str:
        """Runs on every CPU."""
        return "" if device.type == "cpu" else "needs a CPU"

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Weights that lie well are used where they lie, others are copied."""
        outputs, inputs = values.shape
        padding = -inputs % BLOCK
        weight = functional.pad(values, (0, padding)) if padding else values.contiguous()
        if weight.data_ptr() % BLOCK:
            weight = weight.clone()
        # The scales are applied in float32: in bfloat16 they would lose what one scale a row is there to keep.
        ones = torch.ones(outputs, dtype=torch.bfloat16)

        def product(x: Tensor) -> Tensor:
            if x.shape[0] > MANY_ROWS:
                return (x @ weight[:, :inputs].to(x.dtype).t()).mul_(scales)
            rows = functional.pad(x, (0, padding)).to(torch.bfloat16, memory_format=torch.contiguous_format)
            return torch._weight_int8pack_mm(rows, weight, ones).float().mul_(scales)

        return product
