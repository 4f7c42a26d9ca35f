"""The linear layer's int8 twin and the int8 embedding table, swapped in for the float modules of `engine.model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from engine.kernels import Kernel, Product


class Int8Linear(nn.Module):
    """`nn.Linear` over int8 rows. Holds the packed product, so the tensors it was made from may be dropped."""

    def __init__(self, values: Tensor, scales: Tensor, bias: Tensor | None, kernel: Kernel, digits: int) -> None:
        super().__init__()
        self.out_features, self.in_features = values.shape
        self.product: Product = kernel.pack(values, scales, digits)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        y = self.product(x.reshape(-1, self.in_features))
        if self.bias is not None:
            y = y.add_(self.bias)
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"{self.in_features} -> {self.out_features}, bias={self.bias is not None}"


class Int8Embedding(nn.Module):
    """An embedding table of int8 rows, left where it is memory-mapped: only rows in use are ever read.

    `columns` (C,) is a scale a column beside the one a row; a head that shares the table finds it in the final norm.
    """

    def __init__(self, values: Tensor, scales: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.values, self.scales, self.columns = values, scales, columns

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, T, C) float32."""
        return self.values[ids] * self.scales[ids].unsqueeze(-1) * self.columns


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) float -> int8 values (N, K) and float32 scales (N,), symmetric, one scale a row."""
    weight = weight.float()
    scales = weight.abs().amax(1).div_(127).clamp_min_(1e-30)
    return (weight / scales[:, None]).round_().to(torch.int8), scales
