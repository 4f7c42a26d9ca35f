"""A checkpoint with an adapter's change added to its float weights: quantized once, and measured as what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import adapter as adapters
from engine.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from engine.adapter import Adapter
    from engine.config import ModelConfig
    from engine.convert.source import Source


class AdaptedSource:
    """A `Source` whose linear layers carry a low-rank change."""

    def __init__(self, source: Source, adapter: Adapter) -> None:
        """Raises CheckpointError if the adapter's shapes are another model's."""
        self.config = source.config
        self._source, self._adapter = source, adapter
        self._parts = _parts(source.config)
        _require_shapes(adapter, source.config, self._parts)

    def has(self, name: str) -> bool:
        """Whether the tensor is there."""
        return self._source.has(name)

    def tensor(self, name: str) -> Tensor:
        """The tensor in float32, changed."""
        weight = self._source.tensor(name)
        part = name.removesuffix(".weight").split(".", 2)
        if not name.endswith(".weight") or len(part) < 3 or part[2] not in self._parts:
            return weight
        fused, first, last = self._parts[part[2]]
        stem = f"layers.{part[1]}.{fused}"
        if f"{stem}.a" not in self._adapter.tensors:
            return weight
        a, b = self._adapter.tensors[f"{stem}.a"].float(), self._adapter.tensors[f"{stem}.b"][first:last].float()
        return weight.addmm(b, a, alpha=self._adapter.info["scale"])

    def write_tokenizer(self, folder: Path) -> None:
        """The vocabulary is not changed."""
        self._source.write_tokenizer(folder)


def load(path: Path, sha256: str) -> Adapter:
    """An adapter for the file with this hash, over weights that conversion has not smoothed.

    Raises UsageError for an adapter of another model, CheckpointError for a damaged one.
    """
    found = adapters.load(path)
    if not sha256 or found.info["base"] != sha256:
        trained = found.info.get("base_name", "another model")
        raise UsageError(
            f"the adapter {path.name} was trained over {trained}, not over this file",
            hint="name that model's file, or the installed model that it was trained over",
        )
    if found.info.get("smoothing"):
        raise UsageError(
            f"the adapter {path.name} was trained over smoothed weights, which only the installed model has",
            hint="llm models import MODEL --adapter FILE --name NAME",
        )
    return found


def _parts(config: ModelConfig) -> dict[str, tuple[str, int, int]]:
    """Name of a layer in a source -> its fused layer, and which of its rows it is."""
    q, kv, middle = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim, config.intermediate_size
    return {
        "attention.q": ("attention.qkv", 0, q),
        "attention.k": ("attention.qkv", q, q + kv),
        "attention.v": ("attention.qkv", q + kv, q + 2 * kv),
        "attention.out": ("attention.out", 0, config.hidden_size),
        "mlp.gate": ("mlp.gate_up", 0, middle),
        "mlp.up": ("mlp.gate_up", middle, 2 * middle),
        "mlp.down": ("mlp.down", 0, config.hidden_size),
    }


def _require_shapes(adapter: Adapter, config: ModelConfig, parts: dict[str, tuple[str, int, int]]) -> None:
    columns = {"attention.out": config.num_heads * config.head_dim, "mlp.down": config.intermediate_size}
    rows = {fused: last for fused, _, last in parts.values()}
    shapes = {
        f"layers.{layer}.{fused}": (rows[fused], columns.get(fused, config.hidden_size))
        for layer in range(config.num_layers)
        for fused in rows
    }
    for stem in {name[:-2] for name in adapter.tensors}:
        pair = [adapter.tensors.get(f"{stem}.{letter}") for letter in "ab"]
        found = None if pair[0] is None or pair[1] is None else (pair[1].shape[0], pair[0].shape[1])
        if stem not in shapes or found != shapes[stem]:
            raise CheckpointError(f"the adapter does not fit the layer {stem}: {found}, expected {shapes.get(stem)}")
