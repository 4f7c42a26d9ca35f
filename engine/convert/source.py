"""What a converter needs of somebody else's checkpoint, and the assembly of our fused float tensors from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import ModelConfig


class Source(Protocol):
    """A checkpoint of another format. Tensors go by our names, not fused: `layers.3.attention.q.weight`."""

    config: ModelConfig

    def has(self, name: str) -> bool:
        """Whether the tensor is there."""
        ...

    def tensor(self, name: str) -> Tensor:
        """The tensor in float32. Raises CheckpointError if it is missing or unreadable."""
        ...

    def write_tokenizer(self, folder: Path) -> None:
        """Write tokenizer.model, tokenizer_config.json and, if there is one, chat_template.jinja."""
        ...


_FUSED = {"attention.qkv": ("attention.q", "attention.k", "attention.v"), "mlp.gate_up": ("mlp.gate", "mlp.up")}


def block_state(source: Source, layer: int) -> dict[str, Tensor]:
    """One block's float tensors under the names of `model.Block`, checked against the config's shapes."""
    config = source.config
    return {
        name: _read(source, f"layers.{layer}.{name}", parts, shape)
        for name, (parts, shape) in _block_tensors(config).items()
    }


def table(source: Source, name: str) -> Tensor:
    """The embedding or head table (V, C)."""
    return _checked(source.tensor(name), name, (source.config.vocab_size, source.config.hidden_size))


def final_norm(source: Source) -> Tensor:
    """The weight of the last norm (C,)."""
    return _checked(source.tensor("norm.weight"), "norm.weight", (source.config.hidden_size,))


def _block_tensors(config: ModelConfig) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Name -> (suffixes that replace the fused stem, shape) of every tensor of a block."""
    hidden, middle, dim = config.hidden_size, config.intermediate_size, config.head_dim
    q_rows, qkv_rows = config.num_heads * dim, (config.num_heads + 2 * config.num_kv_heads) * dim
    shapes: dict[str, tuple[int, ...]] = {
        "attention_norm.weight": (hidden,),
        "mlp_norm.weight": (hidden,),
        "attention.qkv.weight": (qkv_rows, hidden),
        "attention.out.weight": (hidden, q_rows),
        "mlp.gate_up.weight": (2 * middle, hidden),
        "mlp.down.weight": (hidden, middle),
    }
    if config.qkv_bias:
        shapes["attention.qkv.bias"] = (qkv_rows,)
    if config.out_bias:
        shapes["attention.out.bias"] = (hidden,)
    if config.mlp_bias:
        shapes |= {"mlp.gate_up.bias": (2 * middle,), "mlp.down.bias": (hidden,)}
    if config.qk_norm:
        shapes |= {"attention.qk_norm.q": (dim,), "attention.qk_norm.k": (dim,)}
    if config.post_norms:
        shapes |= {"post_attention_norm.weight": (hidden,), "post_mlp_norm.weight": (hidden,)}
    return {name: (_FUSED.get(name.rpartition(".")[0], ()), shape) for name, shape in shapes.items()}


def _read(source: Source, name: str, parts: tuple[str, ...], shape: tuple[int, ...]) -> Tensor:
    if not parts:
        return _checked(source.tensor(name), name, shape)
    prefix = name[: name.index(".", len("layers.")) + 1]
    suffix = name.rpartition(".")[2]
    tensors = [source.tensor(f"{prefix}{part}.{suffix}") for part in parts]
    try:
        return _checked(torch.cat(tensors), name, shape)
    except RuntimeError as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise CheckpointError(f"{name}: its parts of shapes {shapes} don't fit together") from error


def _checked(tensor: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    if tuple(tensor.shape) != shape:
        raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}, the config says {shape}")
    if not tensor.isfinite().all():
        raise CheckpointError(f"{name} holds values that are not finite numbers")
    return tensor
