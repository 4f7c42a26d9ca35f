"""A decoder to train: frozen weights dequantized from int8, and low-rank products beside them (arXiv 2106.09685)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine import checkpoint
from engine.training import elementwise

if TYPE_CHECKING:
    from pathlib import Path

    from engine.kernels import Product
    from engine.linear import Int8Linear
    from engine.model import Block, Decoder
    from engine.training.settings import TrainingConfig


class TrainableKernel:
    """The float product that gradients pass through, to activations only; bfloat16 where the device multiplies it."""

    name = "training"

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def unavailable(self, device: torch.device) -> str:
        """It runs everywhere."""
        return ""

    def pack(self, values: Tensor, scales: Tensor, digits: int) -> Product:
        """Dequantize once."""
        return FrozenProduct((values.float() * scales[:, None]).to(self.dtype))


class FrozenProduct:
    """(M, K) -> (M, N) with a weight (N, K) that learns nothing."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        """In the weight's dtype, answered in that of `x`."""
        return functional.linear(x.to(self.weight.dtype), self.weight).to(x.dtype)


class LoRALinear(nn.Module):
    """A frozen linear layer, and beside it B A x, scaled: A is random and B zero, so that training starts from it.

    `wide` layers answer in the dtype they multiply in: what their many channels cost is memory traffic.
    """

    def __init__(self, base: Int8Linear, rank: int, scale: float, dtype: torch.dtype, wide: bool = False) -> None:
        super().__init__()
        self.base, self.scale, self.dtype, self.wide = base, scale, dtype, wide
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        weight = base.product.weight if isinstance(base.product, FrozenProduct) else None
        assert weight is not None, "a layer to train is loaded with the training kernel"
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        flat = x.reshape(-1, x.shape[-1]).to(self.dtype)
        y = cast("Tensor", _LowRankSum.apply(flat, self.weight, self.a, self.b, self.scale))  # type: ignore[no-untyped-call]
        if not self.wide:
            y = y.to(x.dtype)
        if self.base.bias is not None:
            # Qwen's biases of keys are large: added after the rounding, they take no digits from the product.
            y = y + self.base.bias
        return y.view(*x.shape[:-1], y.shape[-1])


class _LowRankSum(torch.autograd.Function):
    """x W' + s (x A') B' with what a backward pass needs and no more: the frozen weight gets no gradient, the
    low-rank product is added where the wide one lies, and x is kept once. (M, K) -> (M, N)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        a_, b_ = a.to(x.dtype), (b * scale).to(x.dtype)
        inner = x @ a_.T  # (M, R)
        ctx.save_for_backward(x, weight, inner, a_, b_)
        ctx.scale = scale
        return functional.linear(x, weight).addmm_(inner, b_.T)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None]:
        x, weight, inner, a_, b_ = ctx.saved_tensors
        gradient = gradient.to(x.dtype)
        narrow = gradient @ b_  # (M, R)
        to_a, to_b = narrow.T @ x, gradient.T @ inner
        return (gradient @ weight).addmm_(narrow, a_), None, to_a.float(), to_b.float() * ctx.scale, None


def dtype_of(device: torch.device) -> torch.dtype:
    """bfloat16 where it is multiplied natively."""
    if device.type == "cpu":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return torch.bfloat16


def open_decoder(folder: Path, config: TrainingConfig, device: torch.device) -> tuple[Decoder, dict[str, nn.Parameter]]:
    """The decoder of a model folder with adapters in place, and the parameters to train by name."""
    dtype = dtype_of(device)
    model = checkpoint.load(folder, TrainableKernel(dtype), device)
    elementwise.replace(model)
    torch.manual_seed(config.seed)
    parameters: dict[str, nn.Parameter] = {}
    for index, block in enumerate(model.layers):
        cast("Block", block).attention.dtype = dtype
        for target in config.targets:
            owner, _, name = target.partition(".")
            module = block.get_submodule(owner)
            base = cast("Int8Linear", getattr(module, name))
            linear = LoRALinear(base, config.rank, config.scale, dtype, wide=name == "gate_up").to(device)
            setattr(module, name, linear)
            parameters[f"layers.{index}.{target}.a"] = linear.a
            parameters[f"layers.{index}.{target}.b"] = linear.b
    return model, parameters


def loss_of(model: Decoder, ids: Tensor, places: Tensor) -> Tensor:
    """Summed cross-entropy of the learnt tokens. `ids` (B, T), right-padded: what is causal never sees the padding.

    `places` (N, 2): row, and place of a token that counts, from 1. Only the states before those meet the head, whose
    whole vocabulary takes part: what is left out of the softmax would rise unpunished.
    """
    hidden = model(ids[:, :-1])  # (B, T - 1, C)
    rows, at = places.unbind(1)
    logits = model.logits(hidden[rows, at - 1]).float()  # (N, V)
    return functional.cross_entropy(logits, ids[rows, at], reduction="sum")
