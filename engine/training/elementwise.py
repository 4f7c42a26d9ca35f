"""What lies between the matrix products, for training: sums of `engine.model` with fewer passes over memory.

Autograd keeps every step's result and adds up what comes back to the halves of a tensor; on a CPU that takes as long as
a third of the products. The twins are `engine.model.RMSNorm` and `FeedForward.gated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model import FeedForward, RMSNorm

if TYPE_CHECKING:
    from engine.model import Decoder


def replace(model: Decoder) -> None:
    """Put the layers of this file in place. Norms' weights learn nothing here."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, RMSNorm):
                setattr(module, name, FrozenNorm(child.weight.detach(), child.eps))
        if isinstance(module, FeedForward) and not module.gelu:
            module.gated = swiglu  # type: ignore[method-assign]


class FrozenNorm(nn.Module):
    """RMSNorm whose weight (C,) gets no gradient."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return cast("Tensor", _Norm.apply(x, self.weight, self.eps))  # type: ignore[no-untyped-call]


class _Norm(torch.autograd.Function):
    """n w with n = x / sqrt(mean(x²) + eps); n is kept, not x: dx = (g w - n mean(g w n)) / sqrt(…)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        width = x.shape[-1]
        inverse = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(width).add_(eps).rsqrt_()
        normed = x * inverse
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        normed, inverse, weight = ctx.saved_tensors
        gradient = gradient * weight
        along = torch.linalg.vecdot(gradient, normed).unsqueeze(-1).div_(normed.shape[-1])
        return torch.addcmul(gradient, normed, along, value=-1).mul_(inverse), None, None


def swiglu(gate_up: Tensor) -> Tensor:
    """(..., 2 I), gates first -> silu(gate) up, (..., I). Keeps its input alone for the backward pass."""
    return cast("Tensor", _SwiGLU.apply(gate_up))  # type: ignore[no-untyped-call]


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        both = torch.empty_like(gate_up)
        to_gate, to_up = both.chunk(2, -1)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=to_gate)
        torch.mul(functional.silu(gate), gradient, out=to_up)
        return both
