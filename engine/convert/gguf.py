"""Reads GGUF files: architecture, vocabulary, and weights in float under our names."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.config import ModelConfig, RotaryConfig
from engine.errors import CheckpointError
from engine.model import rotary_frequencies

if TYPE_CHECKING:
    from pathlib import Path

    from gguf import GGUFReader
    from gguf.gguf_reader import ReaderTensor

GEMMA3_GLOBAL_EVERY = 6
"""Every sixth layer of Gemma 3 sees everything (technical report, arXiv 2503.19786); most files do not say so."""
GEMMA3_LOCAL_BASE = 10_000.0

_USUAL_SCALING = {
    "attn_factor": 1, "yarn_attn_factor": 1, "yarn_ext_factor": 1, "yarn_beta_fast": 32, "yarn_beta_slow": 1,
    "yarn_log_multiplier": 0,
}  # fmt: skip
"""How a stretched context is computed beside its factor: only so, as with published Hugging Face folders."""

_LAYER_NAMES = {
    "attention_norm.weight": "attn_norm.weight",
    "post_attention_norm.weight": "post_attention_norm.weight",
    "mlp_norm.weight": "ffn_norm.weight",
    "post_mlp_norm.weight": "post_ffw_norm.weight",
    "attention.qk_norm.q": "attn_q_norm.weight",
    "attention.qk_norm.k": "attn_k_norm.weight",
    "attention.out": "attn_output",
    "attention.q": "attn_q",
    "attention.k": "attn_k",
    "attention.v": "attn_v",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}
_TOP_NAMES = {
    "embedding.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "head.weight": "output.weight",
}


class GgufSource:
    """A GGUF file as a `convert.Source`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = _open(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.architecture = str(self.field("general.architecture"))
        self._check_size()
        if (parts := self.field("split.count")) not in (None, 0, 1):  # 0 after they were joined
            raise CheckpointError(
                f"{path.name} is one of {parts} parts of a model", hint="join them: llama-gguf-split --merge"
            )
        self.config = _config(self)

    def field(self, key: str, default: Any = None) -> Any:
        """A metadata value as a Python one. Raises CheckpointError."""
        entry = self._reader.get_field(key)
        try:
            return default if entry is None else entry.contents()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path.name} is damaged: {key} is not UTF-8") from error

    def required(self, key: str) -> Any:
        """A metadata value of the architecture that must be there."""
        value = self.field(f"{self.architecture}.{key}")
        if value is None:
            raise CheckpointError(f"{self.path.name}: {self.architecture}.{key} is missing")
        return value

    def optional(self, key: str, default: Any = None) -> Any:
        """A metadata value of the architecture, or the default."""
        return self.field(f"{self.architecture}.{key}", default)

    def has(self, name: str) -> bool:
        """Whether a tensor, by our name, is in the file."""
        return self._name(name) in self._tensors

    def tensor(self, name: str) -> Tensor:
        """A tensor by our name, float32; rows of q and k in half-split rotary order."""
        stored = self._tensors.get(self._name(name))
        if stored is None:
            raise CheckpointError(f"{self.path.name}: tensor {self._name(name)} is missing")
        weight = _dequantize(stored, self.path)
        if self.architecture == "llama" and (".attention.q." in name or ".attention.k." in name):
            heads = self.config.num_heads if ".attention.q." in name else self.config.num_kv_heads
            weight = _half_split(weight, heads)
        return weight

    def write_tokenizer(self, folder: Path) -> None:
        """Write tokenizer.model, tokenizer_config.json and, if there is one, chat_template.jinja."""
        from engine.convert.vocabulary import from_gguf

        fields = {key: self.field(key) for key in self._reader.fields if key.startswith(("tokenizer.", "general."))}
        from_gguf(fields, folder)

    def _name(self, name: str) -> str:
        if not name.startswith("layers."):
            return _TOP_NAMES[name]
        _, layer, rest = name.split(".", 2)
        if rest in _LAYER_NAMES:
            return f"blk.{layer}.{_LAYER_NAMES[rest]}"
        stem, _, kind = rest.rpartition(".")
        return f"blk.{layer}.{_LAYER_NAMES[stem]}.{kind}"

    def _check_size(self) -> None:
        end = max((t.data_offset + t.n_bytes for t in self._reader.tensors), default=0)
        size = self.path.stat().st_size
        if end > size:
            raise CheckpointError(f"{self.path.name} is truncated: {size} bytes where {end} are needed")


@cache
def reader() -> type[GGUFReader]:
    """The reader of the gguf package, over plain arrays: each slice of numpy's class for mapped files costs more than
    what is read of it. And a list at a time: a vocabulary is a million slices."""
    from gguf import GGUFReader, GGUFValueType
    from numpy import ndarray

    class Reader(GGUFReader):
        @property
        def data(self) -> Any:
            return self._data

        @data.setter
        def data(self, mapped: Any) -> None:
            self._data = mapped.view(ndarray)

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
            if raw_type != GGUFValueType.ARRAY or self.byte_order != "I":
                return super()._get_field_parts(orig_offs, raw_type)
            parts = [self._get(orig_offs, "u4"), self._get(orig_offs + 4, "u8")]
            (kind,), (count,) = parts[0].tolist(), parts[1].tolist()
            at = orig_offs + 12
            if kind == GGUFValueType.STRING:
                for _ in range(count):
                    begin = at + 8
                    at = begin + int.from_bytes(self._data[at:begin], sys.byteorder)
                    if at > len(self._data):
                        raise ValueError("it ends within a list")
                    parts.append(self._data[begin:at])
            elif kind in self.gguf_scalar_to_np:
                values = self._get(at, self.gguf_scalar_to_np[kind], count)
                if len(values) < count:
                    raise ValueError("it ends within a list")
                parts += list(values[:, None])
                at += values.nbytes
            else:
                return super()._get_field_parts(orig_offs, raw_type)
            types = [GGUFValueType.ARRAY, *[GGUFValueType(kind)] * bool(count)]
            return at - orig_offs, parts, list(range(2, 2 + count)), types

    return Reader


def _open(path: Path) -> GGUFReader:
    try:
        return reader()(path)
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} is not a readable GGUF file: {error}") from error


def _dequantize(tensor: ReaderTensor, path: Path) -> Tensor:
    import numpy
    from gguf import dequantize

    try:
        data = dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as error:
        raise CheckpointError(f"{path.name}: can't read {tensor.tensor_type.name} weights") from error
    shape = tuple(int(size) for size in reversed(tensor.shape))
    return torch.from_numpy(numpy.array(data, dtype=numpy.float32)).reshape(shape)


def _half_split(weight: Tensor, heads: int) -> Tensor:
    """Llama files interleave the two halves of each head's rows; put them back one after the other."""
    rest = weight.shape[1:]
    return weight.reshape(heads, -1, 2, *rest).transpose(1, 2).reshape(-1, *rest)


def _config(source: GgufSource) -> ModelConfig:
    builders = {"llama": _llama, "qwen2": _llama, "qwen3": _llama, "gemma3": _gemma3}
    builder = builders.get(source.architecture)
    if builder is None:
        raise CheckpointError(
            f"{source.path.name}: unknown architecture {source.architecture!r}",
            hint=f"Known: {', '.join(builders)}.",
        )
    try:
        return builder(source, _common(source))
    except (TypeError, ValueError, IndexError, ArithmeticError) as error:
        raise CheckpointError(f"{source.path.name}: bad metadata: {error}") from error


def _common(source: GgufSource) -> dict[str, Any]:
    hidden, heads = int(source.required("embedding_length")), int(source.required("attention.head_count"))
    layers = int(source.required("block_count"))
    if layers > len(source._tensors):
        raise CheckpointError(f"{source.path.name} is said to have {layers} layers; most of them are missing")
    return {
        "family": source.architecture,
        "vocab_size": int(source._tensors["token_embd.weight"].shape[1]) if source.has("embedding.weight") else 0,
        "hidden_size": hidden,
        "intermediate_size": int(source.required("feed_forward_length")),
        "num_layers": layers,
        "num_heads": heads,
        "num_kv_heads": int(source.optional("attention.head_count_kv", heads)),
        "head_dim": int(source.optional("attention.key_length", hidden // heads)),
        "max_context": int(source.required("context_length")),
        "norm_eps": float(source.required("attention.layer_norm_rms_epsilon")),
        "tied_head": not source.has("head.weight"),
    }


def _llama(source: GgufSource, common: dict[str, Any]) -> ModelConfig:
    window = source.optional("attention.sliding_window")
    return ModelConfig(
        **common,
        rotary=_rotary(source, common["head_dim"]),
        qkv_bias="blk.0.attn_q.bias" in source._tensors,
        out_bias="blk.0.attn_output.bias" in source._tensors,
        mlp_bias="blk.0.ffn_down.bias" in source._tensors,
        qk_norm="blk.0.attn_q_norm.weight" in source._tensors,
        sliding_window=int(window) if window else None,
        layer_kinds=("local",) * common["num_layers"] if window else (),
    )


def _rotary(source: GgufSource, head_dim: int) -> RotaryConfig:
    base = float(source.optional("rope.freq_base", 10_000.0))
    if int(source.optional("rope.dimension_count", head_dim)) != head_dim:
        raise CheckpointError(f"{source.path.name}: rotary embedding of a part of each head is not supported")
    if "rope_freqs.weight" in source._tensors:
        return _llama3_rotary(source, base, head_dim)
    # What a file leaves out is what llama.cpp takes it for.
    factor = float(source.optional("rope.scaling.factor") or 1)
    kind = source.optional("rope.scaling.type", "none" if factor == 1 else "linear")
    if kind == "none":
        return RotaryConfig(base=base)
    if kind not in {"linear", "yarn"}:
        raise CheckpointError(f"{source.path.name}: unknown rotary scaling {kind!r}")
    for name, usual in _USUAL_SCALING.items():
        if (found := source.optional(f"rope.scaling.{name}", usual)) != usual:
            raise CheckpointError(f"{source.path.name}: rotary embedding with {name} = {found} is not supported")
    original = int(source.optional("rope.scaling.original_context_length", 0) or source.required("context_length"))
    return RotaryConfig(base=base, scaling=kind, factor=factor, original_context=original)


def _llama3_rotary(source: GgufSource, base: float, head_dim: int) -> RotaryConfig:
    """Llama 3.1 files store the divisors of all frequencies; the largest is the factor, the rest are published."""
    divisors = _dequantize(source._tensors["rope_freqs.weight"], source.path)
    config = RotaryConfig(
        base=base,
        scaling="llama3",
        factor=float(divisors.max()),
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_context=8192,
    )
    stretched, _ = rotary_frequencies(config, head_dim)
    plain, _ = rotary_frequencies(RotaryConfig(base=base), head_dim)
    if divisors.shape != plain.shape or not torch.allclose(plain / stretched, divisors.double(), rtol=1e-3):
        raise CheckpointError(f"{source.path.name}: rope_freqs.weight does not stretch frequencies as Llama 3.1 does")
    return config


def _gemma3(source: GgufSource, common: dict[str, Any]) -> ModelConfig:
    layers = common["num_layers"]
    rotary = _rotary(source, common["head_dim"])
    every = int(source.optional("attention.sliding_window_pattern", GEMMA3_GLOBAL_EVERY))
    # As llama.cpp calls it, and as Ollama does.
    base = source.optional("rope.freq_base_swa") or source.optional("rope.local.freq_base", GEMMA3_LOCAL_BASE)
    return ModelConfig(
        **common,
        rotary=rotary,
        local_rotary=RotaryConfig(base=float(base)),
        layer_kinds=tuple("local" if (i + 1) % every else "global" for i in range(layers)),
        sliding_window=int(source.required("attention.sliding_window")),
        activation="gelu_tanh",
        qk_norm=True,
        post_norms=True,
        embedding_scale=common["hidden_size"] ** 0.5,
    )
