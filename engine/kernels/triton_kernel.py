"""CUDA, where Triton comes with PyTorch and can compile: products that read weights as int8 for few rows and many.

The digits are those of `engine.kernels.cuda`, and so are the products, up to the order of float sums. Without Triton,
that file serves the device.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.kernels import Product
    from engine.kernels.triton_products import Int8Rows

OFF = "LOCAL_LLM_NO_TRITON"
"""Set to anything: the kernels of PyTorch alone are used, to compare with."""


class TritonProduct:
    """A weight where it lies, and its product; `engine.fused_cuda` takes what it knows of it."""

    def __init__(self, rows: Int8Rows) -> None:
        self.rows = rows

    def __call__(self, x: Tensor) -> Tensor:
        """(M, K) -> (M, N)."""
        from engine.kernels.triton_products import multiply, to_digits

        made = to_digits(x.float().contiguous(), self.rows.digits)
        return multiply(made, self.rows)[0].to(x.dtype)


class TritonKernel:
    """Int8 products of our own, which more of a step can be fused with."""

    name = "cuda-triton"

    def unavailable(self, device: torch.device) -> str:
        """Needs a CUDA device with int8 and bfloat16 matrix units, Triton, and what Triton compiles with."""
        if device.type != "cuda":
            return "needs a CUDA device"
        if os.environ.get(OFF):
            return f"{OFF} is set"
        return _trouble(device.index or 0)

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Nothing is packed."""
        from engine.kernels.triton_products import Int8Rows

        return TritonProduct(Int8Rows(values.contiguous(), scales.float().contiguous(), None, digits))


def has_triton() -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _trouble(index: int) -> str:
    """Why a first product fails on a device; empty if it is right."""
    if not has_triton():
        return "Triton is not installed"
    device = torch.device("cuda", index)
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "the device has no matrix units for bfloat16"
    values = torch.ones(16, 32, dtype=torch.int8, device=device)
    try:
        product = TritonKernel().pack(values, torch.ones(16, device=device), 1)
        found = [product(torch.full((1, 32), x, device=device)) for x in (1.0, 2.0)]  # compiled, and remembered
    except Exception as error:  # noqa: BLE001 (what a compiler of others may raise is not known)
        return f"Triton can't compile here: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    right = all(torch.allclose(y, torch.full_like(y, 32 * (at + 1))) for at, y in enumerate(found))
    return "" if right else "Triton's first products are wrong"
