"""Models of any size with random weights, in our own format: what they cost does not depend on what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import ModelConfig

SIZES = {
    "0.02B": (6, 384, 1024, 6),
    "0.1B": (12, 768, 2048, 12),
    "0.3B": (24, 1024, 2816, 16),
    "0.5B": (24, 1280, 4352, 20),
    "1B": (16, 2048, 8192, 32),
}
"""Layers, hidden width, width of the feed-forward block, heads of 64 channels; four heads share keys and values."""
VOCABULARY, CONTEXT = 32_000, 16_384


def shape(size: str) -> ModelConfig:
    """The config of a size by name."""
    from engine.config import ModelConfig

    layers, hidden, middle, heads = SIZES[size]
    return ModelConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=middle, num_layers=layers, num_heads=heads,
        num_kv_heads=max(1, heads // 4), head_dim=64, max_context=CONTEXT, family="synthetic",
    )  # fmt: skip


def write(config: ModelConfig, folder: Path) -> Path:
    """Weights of unit gain into an existing folder; returns it. There is no vocabulary."""
    import torch

    from engine import checkpoint
    from engine.config import QuantizationConfig

    draw = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.values"] = torch.randint(-127, 128, (rows, columns), dtype=torch.int8, generator=draw)
        tensors[f"{name}.scales"] = torch.full((rows,), columns**-0.5 / 73)  # 73: the deviation of such integers

    hidden, width = config.hidden_size, config.num_heads * config.head_dim
    matrix("embedding", config.vocab_size, hidden)
    tensors["embedding.columns"] = torch.ones(hidden)
    tensors["norm.weight"] = torch.ones(hidden)
    for layer in range(config.num_layers):
        name = f"layers.{layer}"
        matrix(f"{name}.attention.qkv", width + 2 * config.num_kv_heads * config.head_dim, hidden)
        matrix(f"{name}.attention.out", hidden, width)
        matrix(f"{name}.mlp.gate_up", 2 * config.intermediate_size, hidden)
        matrix(f"{name}.mlp.down", hidden, config.intermediate_size)
        for norm in ("attention_norm", "mlp_norm"):
            tensors[f"{name}.{norm}.weight"] = torch.ones(hidden)
    checkpoint.save(folder, config, QuantizationConfig(), tensors)
    return folder
