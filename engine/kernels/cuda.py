"""CUDA: `torch._int_mm` on int8 activations and weights.

The same operator exists on the CPU, where the tests compare this file with the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from engine.kernels.activations import from_digits, to_digits

if TYPE_CHECKING:
    from engine.kernels import Product

ROWS = 32
"""cuBLAS refuses int8 products of 16 rows or fewer, so rows are padded up to a multiple of this."""
COLUMNS = 8
"""... and widths that are not multiples of this."""


class CudaKernel:
    """Tensor-core int8 products; weights stay int8 in memory."""

    name = "cuda-int8"

    def unavailable(self, device: torch.device) -> str:
        """Needs a CUDA device."""
        return "" if device.type == "cuda" else "needs a CUDA device"

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Pad both widths to what cuBLAS takes."""
        outputs, inputs = values.shape
        pad_outputs, pad_inputs = -outputs % COLUMNS, -inputs % COLUMNS
        weight = functional.pad(values, (0, pad_inputs, 0, pad_outputs)).t()  # (K, N)

        def product(x: Tensor) -> Tensor:
            rows, scale = to_digits(x, digits)
            count = rows.shape[0]
            rows = functional.pad(rows, (0, pad_inputs, 0, -count % ROWS))
            y = torch._int_mm(rows, weight)[:count, :outputs].float().mul_(scales)
            return from_digits(y, scale, digits).to(x.dtype)

        return product
