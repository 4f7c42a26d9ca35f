"""Decoders of our own with random weights, in the shapes that differ where it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engine.config import ModelConfig, RotaryConfig
from engine.model import Decoder

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import LayerKind

SIZE: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "num_kv_heads": 2, "head_dim": 8,
    "max_context": 4096,
}  # fmt: skip
PLAIN = ModelConfig(**SIZE, num_layers=2)


def windowed(window: int, kinds: tuple[LayerKind, ...] = ("local", "global", "local")) -> ModelConfig:
    """Local and global layers with norms on heads and after blocks, as Gemma 3 has them."""
    return ModelConfig(
        **SIZE,
        num_layers=len(kinds),
        layer_kinds=kinds,
        sliding_window=window,
        local_rotary=RotaryConfig(base=1_000.0),
        activation="gelu_tanh",
        qk_norm=True,
        post_norms=True,
        embedding_scale=32**0.5,
        attention_scale=0.3,
        tied_head=False,
    )


BIASED = ModelConfig(**SIZE, num_layers=2, qkv_bias=True, out_bias=True, mlp_bias=True, tied_head=False)
CONFIGS = {"plain": PLAIN, "biased": BIASED, "windowed": windowed(5)}


def decoder(config: ModelConfig, seed: int = 0) -> Decoder:
    """A float decoder with matrices of unit gain, and norms and biases that show."""
    model = Decoder(config)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            if weight.dim() == 2:
                weight.copy_(noise * (0.4 if name.startswith(("embedding", "head")) else weight.shape[1] ** -0.5))
            elif name.endswith("bias"):
                weight.copy_(0.3 * noise)
            else:
                weight.copy_(1 + 0.2 * noise)
    return model.eval()


def some_ids(count: int, seed: int = 1, vocabulary: int = SIZE["vocab_size"]) -> list[int]:
    """Random ids."""
    return torch.randint(0, vocabulary, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


class DecoderSource:
    """A float decoder as a checkpoint that the converter reads."""

    def __init__(self, model: Decoder) -> None:
        self.config = model.config
        self._state = model.state_dict()

    def has(self, name: str) -> bool:
        return name in self._state

    def tensor(self, name: str) -> torch.Tensor:
        config = self.config
        stem, _, kind = name.rpartition(".")
        owner, _, part = stem.rpartition(".")
        if part in {"q", "k", "v"}:
            rows = [config.num_heads * config.head_dim] + [config.num_kv_heads * config.head_dim] * 2
            return self._state[f"{owner}.qkv.{kind}"].split(rows)["qkv".index(part)]
        if part in {"gate", "up"}:
            return self._state[f"{owner}.gate_up.{kind}"].chunk(2)[part == "up"]
        return self._state[name]

    def write_tokenizer(self, folder: Path) -> None:
        raise NotImplementedError("a bare decoder has no vocabulary")
