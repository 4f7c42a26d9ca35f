"""A float decoder of the Llama family -> a folder as others publish them: read by `import`, and by other programs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import tokenizer_models
from engine.convert.hugging_face import LAYER_NAMES, TOP_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from engine.config import ModelConfig
    from engine.model import Decoder


def publish(model: Decoder, folder: Path, vocabulary: str) -> None:
    """Write config, weights in float32 and tokenizer into an existing folder."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(model)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(model.config), indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(tokenizer_models.path(vocabulary) / "tokenizer.model", folder / "tokenizer.model")
    settings = {
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "add_bos_token": True, "add_eos_token": False, "legacy": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_context,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rotary.base,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied_head,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }


def _tensors(model: Decoder) -> Iterator[tuple[str, Tensor]]:
    config = model.config
    state = model.state_dict()
    q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    for name, tensor in state.items():
        if name == "head.weight":
            if not config.tied_head:
                yield "lm_head.weight", tensor
            continue
        if not name.startswith("layers."):
            yield f"model.{TOP_NAMES[name]}", tensor
            continue
        _, layer, rest = name.split(".", 2)
        parts = {rest.removesuffix(".weight"): tensor}
        if rest == "attention.qkv.weight":
            parts = dict(zip(("attention.q", "attention.k", "attention.v"), tensor.split([q, kv, kv]), strict=True))
        elif rest == "mlp.gate_up.weight":
            parts = dict(zip(("mlp.gate", "mlp.up"), tensor.chunk(2), strict=True))
        for part, value in parts.items():
            yield f"model.layers.{layer}.{LAYER_NAMES[part]}.weight", value.clone()
