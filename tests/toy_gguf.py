"""GGUF files of toy models, written with the format's own library from the reference models' weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy
from gguf import GGMLQuantizationType as Kind

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}


def write(model: Any, path: Path, kind: Kind = Kind.F32) -> Path:
    """The weights of a reference model, matrices stored as `kind`; no vocabulary."""
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    write_shape(writer, config)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        _add(writer, stored, _as_stored(name, tensor.numpy(), config), kind)
    if config.rope_parameters.get("rope_type") == "llama3":
        writer.add_tensor(gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.ROPE_FREQS] + ".weight", divisors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_shape(writer: gguf.GGUFWriter, config: Any) -> None:
    """What the metadata say about the decoder."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in {"linear", "yarn"}:
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    window = getattr(config, "sliding_window", None)
    if window and config.model_type != "qwen2":
        writer.add_sliding_window(window)


def _as_stored(name: str, weight: numpy.ndarray, config: Any) -> numpy.ndarray:
    """Llama's rows of q and k interleave the halves of each head; Gemma's norms have their one added."""
    if config.model_type in {"llama", "mistral"} and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
        return numpy.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)
    if config.model_type.startswith("gemma") and "norm" in name:
        return weight + 1
    return weight


def _add(writer: gguf.GGUFWriter, name: str, weight: numpy.ndarray, kind: Kind) -> None:
    if weight.ndim == 1 or kind == Kind.F32:
        writer.add_tensor(name, weight.astype(numpy.float32))
    else:
        writer.add_tensor(name, gguf.quantize(weight, kind), raw_dtype=kind)


def divisors(config: Any) -> numpy.ndarray:
    """What Llama 3.1's stretching divides each frequency by, written out pair by pair."""
    rope = config.rope_parameters
    dim = config.hidden_size // config.num_attention_heads
    found = []
    for pair in range(0, dim, 2):
        wavelength = 2 * numpy.pi * rope["rope_theta"] ** (pair / dim)
        turns = rope["original_max_position_embeddings"] / wavelength
        low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
        if turns > high:
            found.append(1.0)
        elif turns < low:
            found.append(factor)
        else:
            smooth = (turns - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return numpy.array(found, dtype=numpy.float32)
