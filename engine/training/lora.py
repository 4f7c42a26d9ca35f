"""A decoder to train: frozen weights dequantized from int8, and low-rank products beside them (arXiv 2106.09685)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from engine.kernels import Product
    from engine.linear import Int8Linear
    from engine.model import Decoder
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
        weight = (values.float() * scales[:, None]).to(self.dtype)  # (N, K)
        return lambda x: functional.linear(x.to(self.dtype), weight).to(x.dtype)


class LoRALinear(nn.Module):
    """A frozen linear layer, and beside it B A x, scaled: A is random and B zero, so that training starts from it."""

    def __init__(self, base: Int8Linear, rank: int, scale: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.base, self.scale, self.dtype = base, scale, dtype
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        inner = functional.linear(x.to(self.dtype), self.a.to(self.dtype))
        more = functional.linear(inner, self.b.to(self.dtype))
        return self.base(x) + more.to(x.dtype) * self.scale


def dtype_of(device: torch.device) -> torch.dtype:
    """bfloat16 where it is multiplied natively."""
    if device.type == "cpu":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return torch.bfloat16


def open_decoder(folder: Path, config: TrainingConfig, device: torch.device) -> tuple[Decoder, dict[str, nn.Parameter]]:
    """The decoder of a model folder with adapters in place, and the parameters to train by name."""
    dtype = dtype_of(device)
    model = checkpoint.load(folder, TrainableKernel(dtype), device)
    torch.manual_seed(config.seed)
    parameters: dict[str, nn.Parameter] = {}
    for index, block in enumerate(model.layers):
        for target in config.targets:
            owner, _, name = target.partition(".")
            module = block.get_submodule(owner)
            linear = LoRALinear(cast("Int8Linear", getattr(module, name)), config.rank, config.scale, dtype).to(device)
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
