"""SmoothQuant (arXiv 2211.10438): moves the outliers of activations into the weights, exactly in float.

A factor a channel divides an activation and multiplies the weight columns that read it. The division is folded into
whatever made the activation: the norm before q/k/v and gate/up, the rows of `up` before `down`, and the rows of `v`
before the attention's output projection. The head is not smoothed: `quantize` gives it a scale a column instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.config import ModelConfig

State = dict[str, Tensor]


def smooth_block(state: State, ranges: Mapping[str, Tensor], config: ModelConfig, alphas: Mapping[str, float]) -> State:
    """One block's float tensors, smoothed for the kinds of linear layers that `alphas` names.

    `ranges`: largest absolute input of each channel, by kind of layer.
    """
    state = dict(state)
    for kind, weight, norm in (
        ("qkv", "attention.qkv.weight", "attention_norm.weight"),
        ("gate_up", "mlp.gate_up.weight", "mlp_norm.weight"),
    ):
        if kind in alphas:
            factors = smoothing_factors(ranges[kind], state[weight], alphas[kind])
            state[norm] = state[norm] / factors
            state[weight] = state[weight] * factors
    if "down" in alphas:
        factors = smoothing_factors(ranges["down"], state["mlp.down.weight"], alphas["down"])
        state["mlp.down.weight"] = state["mlp.down.weight"] * factors
        _divide_rows(state, "mlp.gate_up", config.intermediate_size, factors)
    if "out" in alphas:
        factors = _value_factors(state["attention.out.weight"], ranges["out"], config, alphas["out"])
        per_head = factors.view(config.num_kv_heads, 1, config.head_dim)
        group = config.num_heads // config.num_kv_heads
        state["attention.out.weight"] = state["attention.out.weight"] * per_head.expand(-1, group, -1).reshape(-1)
        _divide_rows(state, "attention.qkv", (config.num_heads + config.num_kv_heads) * config.head_dim, factors)
    return state


def smoothing_factors(inputs: Tensor, weight: Tensor, alpha: float) -> Tensor:
    """Factors (K,) from the range of each input channel (K,) and the weight's columns (N, K)."""
    return _balance(inputs, weight.abs().amax(0), alpha)


def _balance(inputs: Tensor, weights: Tensor, alpha: float) -> Tensor:
    # A channel that is always zero, or that nobody reads, keeps its scale.
    inputs, weights = inputs.clamp_min(1e-5), weights.clamp_min(1e-5)
    return (inputs**alpha / weights ** (1 - alpha)).clamp(1e-4, 1e4)


def _value_factors(weight: Tensor, inputs: Tensor, config: ModelConfig, alpha: float) -> Tensor:
    """One factor for each channel of each key/value head, which all query heads of its group share: (K * D,)."""
    shape = (config.num_kv_heads, config.num_heads // config.num_kv_heads, config.head_dim)
    return _balance(inputs.view(shape).amax(1), weight.abs().amax(0).view(shape).amax(1), alpha).reshape(-1)


def _divide_rows(state: State, name: str, first: int, factors: Tensor) -> None:
    """Divide the rows from `first` on, of a weight and its bias."""
    for suffix, divisor in (("weight", factors[:, None]), ("bias", factors)):
        tensor = state.get(f"{name}.{suffix}")
        if tensor is not None:
            state[f"{name}.{suffix}"] = torch.cat((tensor[:first], tensor[first:] / divisor))
