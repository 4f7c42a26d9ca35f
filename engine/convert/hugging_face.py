"""Reads Hugging Face folders: config.json and safetensors (sharded too) of the Llama, Qwen and Gemma families.

Weights in pickles (.bin, .pt) are never opened.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.config import ModelConfig, RotaryConfig
from engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}
_FOUR_NORMS = {
    "mlp_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_mlp_norm": "post_feedforward_layernorm",
}
_QK_NORMS = {"attention.qk_norm.q": "self_attn.q_norm.weight", "attention.qk_norm.k": "self_attn.k_norm.weight"}
TOP_NAMES = {"embedding.weight": "embed_tokens.weight", "norm.weight": "norm.weight"}
_ROOTS = {"language_model.model.": "language_model.lm_head.weight", "model.language_model.": "lm_head.weight"}
"""Where a model that also sees keeps its text part, and the head that goes with it."""


class HuggingFaceSource:
    """A model folder as published on the hub, as a `convert.Source`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        raw = _read_json(folder / "config.json")
        self.model_type = str(raw.get("model_type"))
        self.raw: dict[str, Any] = raw.get("text_config", raw) if self.model_type == "gemma3" else raw
        self._files = _weight_files(folder)
        self._root = next((root for root in _ROOTS if any(n.startswith(root) for n in self._files)), "model.")
        self.config = _config(self.raw, self.model_type, self)

    def has(self, name: str) -> bool:
        """Whether a tensor, by our name, is in the folder."""
        return self._name(name) in self._files

    def tensor(self, name: str) -> Tensor:
        """A tensor by our name, float32; Gemma's norm weights with their offset of one added."""
        import safetensors

        stored = self._name(name)
        file = self._files.get(stored)
        if file is None:
            raise CheckpointError(f"{self.folder}: tensor {stored} is missing")
        try:
            with safetensors.safe_open(file, framework="pt") as handle:
                weight = handle.get_tensor(stored).to(torch.float32)
        except (safetensors.SafetensorError, OSError) as error:
            raise CheckpointError(f"{file.name} is damaged or truncated: {error}") from error
        return weight + 1 if self.config.post_norms and "norm" in name else weight

    def write_tokenizer(self, folder: Path) -> None:
        """Write tokenizer.model, tokenizer_config.json and, if there is one, chat_template.jinja."""
        from engine.convert.vocabulary import from_hugging_face

        from_hugging_face(self.folder, folder)

    def _name(self, name: str) -> str:
        if name == "head.weight":
            return _ROOTS.get(self._root, "lm_head.weight")
        if name in TOP_NAMES:
            return self._root + TOP_NAMES[name]
        _, layer, rest = name.split(".", 2)
        prefix = f"{self._root}layers.{layer}."
        if rest in _QK_NORMS:
            return prefix + _QK_NORMS[rest]
        stem, _, kind = rest.rpartition(".")
        names = LAYER_NAMES | _FOUR_NORMS if self.model_type.startswith("gemma3") else LAYER_NAMES
        return f"{prefix}{names[stem]}.{kind}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing", hint="A model folder holds config.json and safetensors.") from error
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} should hold a JSON object")
    return data


def _weight_files(folder: Path) -> dict[str, Path]:
    """Tensor name -> file, from the headers of all safetensors files."""
    import safetensors

    files: dict[str, Path] = {}
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise CheckpointError(
            f"{folder} has no .safetensors files", hint="Pickled weights (.bin, .pt) are not read: they can run code."
        )
    index = folder / "model.safetensors.index.json"
    shards = _read_json(index).get("weight_map") if index.exists() else {}
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(f"{index}: weight_map should name each tensor's file")
    missing = sorted({*shards.values()} - {path.name for path in paths})
    if missing:
        raise CheckpointError(f"{folder}: shards are missing: {', '.join(missing)}")
    for path in paths:
        try:
            with safetensors.safe_open(path, framework="pt") as handle:
                files.update(dict.fromkeys(handle.keys(), path))
        except (safetensors.SafetensorError, OSError) as error:
            raise CheckpointError(f"{path.name} is damaged or truncated: {error}") from error
    return files


def _config(raw: dict[str, Any], model_type: str, source: HuggingFaceSource) -> ModelConfig:
    builders = {
        "llama": _plain,
        "mistral": _mistral,
        "qwen2": _qwen2,
        "qwen3": _qwen3,
        "gemma3": _gemma3,
        "gemma3_text": _gemma3,
    }
    builder = builders.get(model_type)
    if builder is None:
        raise CheckpointError(f"unknown model family {model_type!r}", hint=f"Known: {', '.join(builders)}.")
    try:
        _refuse_unknown(raw)
        if int(raw["num_hidden_layers"]) > len(source._files):
            raise CheckpointError(f"the weights of most of {raw['num_hidden_layers']} layers are missing")
        common = _common(raw, model_type)
        tied = raw.get("tie_word_embeddings", model_type.startswith("gemma"))  # Gemma's files leave it out
        common["tied_head"] = bool(tied) or not source.has("head.weight")
        return builder(raw, common)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(f"{source.folder / 'config.json'}: missing or bad value: {error}") from error


def _refuse_unknown(raw: dict[str, Any]) -> None:
    """Settings that change what the model computes and that the decoder does not have."""
    if raw.get("quantization_config"):
        raise CheckpointError("the weights are quantized", hint="Import the original weights, or a GGUF file.")
    for name in ("use_bidirectional_attention", "attn_logit_softcapping", "final_logit_softcapping"):
        if raw.get(name):
            raise CheckpointError(f"{name} = {raw[name]!r} is not supported")
    rotary = raw | _rotary_fields(raw)
    published = {"partial_rotary_factor": 1.0, "beta_fast": 32, "beta_slow": 1, "truncate": True}
    for name in (*published, "attention_factor", "mscale", "mscale_all_dim"):
        if rotary.get(name) not in {None, published.get(name)}:
            raise CheckpointError(f"rotary embedding with {name} = {rotary[name]!r} is not supported")


def _common(raw: dict[str, Any], model_type: str) -> dict[str, Any]:
    heads = int(raw["num_attention_heads"])
    return {
        "family": model_type,
        "vocab_size": int(raw["vocab_size"]),
        "hidden_size": int(raw["hidden_size"]),
        "intermediate_size": int(raw["intermediate_size"]),
        "num_layers": int(raw["num_hidden_layers"]),
        "num_heads": heads,
        "num_kv_heads": int(raw.get("num_key_value_heads") or heads),
        "head_dim": int(raw.get("head_dim") or raw["hidden_size"] // heads),
        "max_context": int(raw["max_position_embeddings"]),
        "norm_eps": float(raw["rms_norm_eps"]),
        "rotary": _rotary(raw),
    }


def _rotary_fields(raw: dict[str, Any], layer_type: str = "full_attention") -> dict[str, Any]:
    """Rotary settings in the old style (rope_theta, rope_scaling) or the new one (rope_parameters)."""
    fields = dict(raw.get("rope_parameters") or {})
    if layer_type in fields:
        fields = dict(fields[layer_type])
    fields |= raw.get("rope_scaling") or {}
    fields.setdefault("rope_theta", raw.get("rope_theta", 10_000.0))
    fields.setdefault("rope_type", fields.get("type", "default"))
    return fields


def _rotary(raw: dict[str, Any]) -> RotaryConfig:
    fields = _rotary_fields(raw)
    base, kind = float(fields["rope_theta"]), fields["rope_type"]
    original = int(fields.get("original_max_position_embeddings") or raw["max_position_embeddings"])
    if kind == "default":
        return RotaryConfig(base=base)
    if kind in {"linear", "yarn"}:
        return RotaryConfig(base=base, scaling=kind, factor=float(fields["factor"]), original_context=original)
    if kind == "llama3":
        return RotaryConfig(
            base=base,
            scaling="llama3",
            factor=float(fields["factor"]),
            low_freq_factor=float(fields["low_freq_factor"]),
            high_freq_factor=float(fields["high_freq_factor"]),
            original_context=original,
        )
    raise CheckpointError(f"unknown rotary scaling {kind!r}")


def _activation(raw: dict[str, Any], key: str = "hidden_act") -> str:
    name = str(raw.get(key, "silu"))
    known = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh"}
    if name not in known:
        raise CheckpointError(f"unknown activation {name!r}")
    return known[name]


def _plain(raw: dict[str, Any], common: dict[str, Any], **more: Any) -> ModelConfig:
    bias = bool(raw.get("attention_bias", False))
    biases = {"qkv_bias": bias, "out_bias": bias, "mlp_bias": bool(raw.get("mlp_bias", False))}
    return ModelConfig(**(common | {"activation": _activation(raw)} | biases | more))


def _mistral(raw: dict[str, Any], common: dict[str, Any]) -> ModelConfig:
    window = raw.get("sliding_window")
    kinds = ("local",) * common["num_layers"] if window else ()
    return _plain(raw, common, sliding_window=window, layer_kinds=kinds)


def _qwen2(raw: dict[str, Any], common: dict[str, Any]) -> ModelConfig:
    return _plain(raw, common, qkv_bias=True, out_bias=False, **_qwen_windows(raw, common))


def _qwen3(raw: dict[str, Any], common: dict[str, Any]) -> ModelConfig:
    return _plain(raw, common, qk_norm=True, **_qwen_windows(raw, common))


def _qwen_windows(raw: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    if not raw.get("use_sliding_window") or not raw.get("sliding_window"):
        return {}
    first = int(raw.get("max_window_layers", 0))
    default = ["sliding_attention" if i >= first else "full_attention" for i in range(common["num_layers"])]
    kinds = _kinds(raw.get("layer_types") or default)
    return {"sliding_window": int(raw["sliding_window"]), "layer_kinds": kinds} if "local" in kinds else {}


def _kinds(layer_types: list[str]) -> tuple[str, ...]:
    known = {"sliding_attention": "local", "full_attention": "global"}
    return tuple(known.get(kind, kind) for kind in layer_types)  # others are refused by name


def _gemma3(raw: dict[str, Any], common: dict[str, Any]) -> ModelConfig:
    every = int(raw.get("sliding_window_pattern") or raw.get("_sliding_window_pattern") or 6)
    default = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(common["num_layers"])]
    layer_types = raw.get("layer_types") or default
    local = _rotary_fields(raw, "sliding_attention") if raw.get("rope_parameters") else {}
    local_base = local.get("rope_theta", raw.get("rope_local_base_freq", 10_000.0))
    return _plain(
        raw,
        common,
        activation=_activation(raw, "hidden_activation"),
        local_rotary=RotaryConfig(base=float(local_base)),
        layer_kinds=_kinds(layer_types),
        sliding_window=int(raw["sliding_window"]),
        qk_norm=True,
        post_norms=True,
        embedding_scale=common["hidden_size"] ** 0.5,
        attention_scale=float(raw.get("query_pre_attn_scalar", common["head_dim"])) ** -0.5,
    )
