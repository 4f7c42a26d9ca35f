"""One int8 matrix product contract, and one small file for each device's way of doing it.

A kernel packs a weight as it lies on disk, `values` (N, K) int8 and `scales` (N,) float32, into a function from
activations (M, K) to products (M, N), both float: `x @ (values * scales[:, None]).T`, up to the rounding of x.
`choose` picks the kernel for a device; `reference` is the plain float product that all others are tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from engine.errors import UsageError

Product = Callable[[Tensor], Tensor]
"""(M, K) float -> (M, N) float."""


class Kernel(Protocol):
    """A device's way to multiply by int8 weights."""

    name: str

    def unavailable(self, device: torch.device) -> str:
        """Why this kernel can't run on a device; empty if it can."""
        ...

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Lay out a weight for this device. `digits`: int8 digits that an activation is split into (1 or 2)."""
        ...


def all_kernels() -> tuple[Kernel, ...]:
    """Every kernel, the fastest first where several serve a device."""
    from engine.kernels import cuda, generic, mps, native, reference, triton_kernel, x86

    on_cpus = (native.NativeKernel(), x86.X86Kernel())
    on_cuda = (triton_kernel.TritonKernel(), cuda.CudaKernel())
    return (*on_cpus, *on_cuda, mps.MpsKernel(), generic.GenericKernel(), reference.ReferenceKernel())


def choose(device: torch.device, *, portable: bool = False) -> Kernel:
    """The best kernel for a device. `portable`: of those that need nothing but PyTorch, whose digits matter."""
    from engine.kernels.native import NativeKernel

    reasons = []
    for kernel in all_kernels():
        if portable and isinstance(kernel, NativeKernel):
            continue
        reason = kernel.unavailable(device)
        if not reason:
            return kernel
        reasons.append(f"{kernel.name}: {reason}")
    raise UsageError(f"no int8 kernel for {device}: {'; '.join(reasons)}")


def resolve_device(choice: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `mps` -> a device that is there. Raises UsageError if it is not."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if choice == "auto":
        choice = next(name for name in ("cuda", "mps", "cpu") if available[name])
    if choice not in available:
        raise UsageError(f"unknown device {choice!r}", hint="Use auto, cpu, cuda or mps.")
    if not available[choice]:
        raise UsageError(f"no {choice} device on this machine", hint="Use --device auto or --device cpu.")
    return torch.device(choice)


def cache_dtype(device: torch.device) -> torch.dtype:
    """The KV cache's type: half the memory wherever the device multiplies it natively."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
