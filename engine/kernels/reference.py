"""The slow, obvious product: dequantize, then multiply in float. What every other kernel is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.kernels import Product


class ReferenceKernel:
    """Float activations times dequantized weights, on any device."""

    name = "reference"

    def unavailable(self, device: torch.device) -> str:
        """It runs everywhere."""
        return ""

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Dequantize once: four bytes a weight."""
        weight = (values.to(torch.float32) * scales[:, None]).t()  # (K, N)
        return lambda x: x @ weight
