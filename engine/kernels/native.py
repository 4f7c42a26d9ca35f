"""Any CPU where the native library could be compiled: int8 digits of activations with one scale for each 64 inputs.

For most models one digit is then as good as two with one scale a token, at half the work; the others get their second,
which reads no weight again. Weights are used where they are mapped. Rows of activations give bit by bit what each
gives alone.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.kernels.native_build import library

if TYPE_CHECKING:
    from engine.kernels import Product

GROUP = 64
"""Inputs that share a scale."""


class Weight(ctypes.Structure):
    """`Weight` of digits.h."""

    _fields_ = (
        ("values", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("outputs", ctypes.c_int32),
        ("inputs", ctypes.c_int32),
        ("digits", ctypes.c_int32),
    )


class _Best(ctypes.Structure):
    """`Best` of logits.h."""

    _fields_ = (("id", ctypes.c_int32), ("logit", ctypes.c_float), ("total", ctypes.c_double))


class NativeProduct:
    """A weight where it lies, and its product."""

    def __init__(self, native: ctypes.CDLL, values: Tensor, scales: Tensor, digits: int = 1) -> None:
        self.values, self.scales = values.contiguous(), scales.float().contiguous()
        outputs, inputs = values.shape
        self.weight = Weight(self.values.data_ptr(), self.scales.data_ptr(), None, outputs, inputs, digits)
        self._multiply = native.llm_multiply

    def __call__(self, x: Tensor) -> Tensor:
        """(M, K) -> (M, N)."""
        x = x.to(torch.float32).contiguous()
        rows = x.shape[0]
        y = torch.empty(rows, self.weight.outputs)
        pointers = ctypes.c_void_p(x.data_ptr()), rows, ctypes.c_void_p(y.data_ptr())
        self._multiply(ctypes.byref(self.weight), *pointers, torch.get_num_threads())
        return y


class NativeKernel:
    """Our own loops, compiled on this machine."""

    name = "cpu-native"

    def unavailable(self, device: torch.device) -> str:
        """Needs a CPU, and the library."""
        if device.type != "cpu":
            return "needs a CPU"
        found = library()
        return found if isinstance(found, str) else ""

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Nothing is packed. Two digits of a number, x = scale * (256 * first + second), carry 16 bits."""
        found = library()
        assert not isinstance(found, str), found
        return NativeProduct(found, values, scales, digits)


def best(logits: Tensor) -> tuple[int, float] | None:
    """Logits (V,) float32 -> the id of the largest, the lowest of equals, and log(sum(exp(logits))); None without the
    library."""
    native = library()
    if isinstance(native, str):
        return None
    logits = logits.contiguous()
    found = _Best()
    native.llm_best(ctypes.c_void_p(logits.data_ptr()), logits.numel(), ctypes.byref(found), torch.get_num_threads())
    return found.id, found.total


def lanes() -> str:
    """The instructions that the library was compiled for; empty without one."""
    found = library()
    return "" if isinstance(found, str) else found.llm_lanes().decode()
