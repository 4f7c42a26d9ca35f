"""Tiny models of every family that the reference library knows too, with every kind of weight drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE: dict[str, Any] = {
    "vocab_size": 160, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
LLAMA3: dict[str, Any] = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10_000.0, "original_max_position_embeddings": 128}
GEMMA: dict[str, Any] = {
    "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 7, "num_hidden_layers": 7,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}  # fmt: skip

FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama2": lambda: LlamaConfig(**SIZE | {"num_key_value_heads": 6, "tie_word_embeddings": False}),
    "llama3": lambda: LlamaConfig(**SIZE, rope_parameters=LLAMA3),
    "llama-biases": lambda: LlamaConfig(**SIZE, attention_bias=True, mlp_bias=True),
    "llama-linear": lambda: LlamaConfig(
        **SIZE, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
    ),
    "llama-yarn": lambda: LlamaConfig(**SIZE, rope_parameters=YARN),
    "smollm": lambda: LlamaConfig(**SIZE, tie_word_embeddings=True),
    "mistral": lambda: MistralConfig(**SIZE, sliding_window=7, head_dim=16),
    "qwen2": lambda: Qwen2Config(**SIZE, tie_word_embeddings=True),
    "qwen2-windows": lambda: Qwen2Config(**SIZE, use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": lambda: Qwen3Config(**SIZE, head_dim=16, tie_word_embeddings=True),
    "gemma3": lambda: Gemma3TextConfig(**SIZE | GEMMA),
}


def random_model(config: PreTrainedConfig, seed: int = 0) -> Any:
    """The reference model: matrices of unit gain, norms and biases away from where they would not be noticed."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    draw = torch.Generator().manual_seed(seed)
    offset = 0.0 if config.model_type.startswith("gemma") else 1.0
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            if "norm" in name:
                weight.copy_(offset + 0.2 * noise)
            elif "embed_tokens" in name or weight.dim() == 1:
                weight.copy_(0.3 * noise)
            else:
                weight.copy_(noise * weight.shape[1] ** -0.5)
    return model.eval()


def write(family: str, folder: Path, **settings: Any) -> Any:
    """Save a random model of a family as a Hugging Face folder; returns the reference model."""
    model = random_model(FAMILIES[family]())
    model.save_pretrained(folder, **settings)
    return model


def some_ids(count: int, seed: int = 1, vocabulary: int = 160) -> list[int]:
    """Random ids."""
    return torch.randint(3, vocabulary, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def reference_logits(model: Any, ids: list[int]) -> torch.Tensor:
    """(T, V) of the reference library."""
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]
