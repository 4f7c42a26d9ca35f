"""Adapters on disk: one safetensors file whose metadata holds its manifest; and how one is merged into int8 rows."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.disk import write_whole
from engine.errors import CheckpointError, UsageError
from engine.schema import AdapterFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from engine.manifest import Manifest

FORMAT = 1
KEY = "adapter"
LARGEST_SCALE = 1e6
"""Far beyond all that trains; float32 holds what comes of it."""
_LONGEST_HEADER = 100 * 2**20
"""Bytes: what the safetensors format allows."""
_KINDS: dict[str, type] = {
    "base": str, "base_name": str, "base_licence": str, "smoothing": dict, "training": dict, "rows": int, "steps": int,
    "files": list, "licences": list, "held_out_losses": list, "start": dict,
}  # fmt: skip
"""What a manifest says, if it does, and as what."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained low-rank change of a model."""

    info: dict[str, Any]
    """Its manifest: base, base_name, smoothing, rank, scale, training, files, licences, turns, held_out_losses …"""
    tensors: dict[str, Tensor]
    """NAME.a (R, K) and NAME.b (N, R) by the layer's name."""
    sha256: str


def facts(adapter: Adapter, name: str) -> AdapterFacts:
    """What the manifest of a model says about an adapter that is merged into it."""
    return AdapterFacts(name, adapter.sha256, adapter.info["base"], tuple(adapter.info.get("licences", ())))


def save(path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write an adapter, whole or not at all; weights as bfloat16."""
    import torch
    from safetensors.torch import save as to_bytes

    data = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    write_whole(path, to_bytes(data, {KEY: json.dumps({"format": FORMAT, **info}, ensure_ascii=False)}))


def read_info(path: Path) -> dict[str, Any]:
    """An adapter's manifest, without its tensors (and so without torch). Raises CheckpointError as `load` does."""
    with _damage(path), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return _info(file.read(min(length, _LONGEST_HEADER)))


def load(path: Path) -> Adapter:
    """Raises CheckpointError for what is no adapter, or a damaged one."""
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    with _damage(path, SafetensorError):
        data = path.read_bytes()
        info = _info(data[8 : 8 + int.from_bytes(data[:8], "little")])
        tensors = from_bytes(data)
    rank = info["rank"]
    for name, tensor in tensors.items():
        wide = tensor.shape[0 if name.endswith(".a") else 1] if tensor.dim() == 2 else 0
        if not name.endswith((".a", ".b")) or wide != rank or not tensor.isfinite().all():
            raise CheckpointError(f"{path}: the tensor {name} is damaged")
    return Adapter(info, tensors, hashlib.sha256(data).hexdigest())


def _info(header: bytes) -> dict[str, Any]:
    info = json.loads(json.loads(header)["__metadata__"][KEY])
    if info["format"] != FORMAT or "base" not in info:
        raise ValueError(f"expected format {FORMAT}")
    if wrong := [name for name, kind in _KINDS.items() if name in info and not isinstance(info[name], kind)]:
        raise TypeError(f"{', '.join(wrong)} of another type")
    if not all(isinstance(line, str) for line in info.get("licences", [])):
        raise TypeError("a licence is no text")
    told = {"rank": int(info["rank"]), "scale": float(info["scale"])}
    if not 0 < told["scale"] <= LARGEST_SCALE:
        raise ValueError(f"the scale is {told['scale']}")
    return info | told


@contextlib.contextmanager
def _damage(path: Path, *more: type[Exception]) -> Iterator[None]:
    damaged: tuple[type[Exception], ...] = (
        *more, ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError,
    )  # fmt: skip
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"the adapter {path} can't be read: {error.strerror or error}", hint="check the path to the adapter"
        ) from error
    except damaged as error:
        raise CheckpointError(
            f"{path} is no adapter, or a damaged one: {error}", hint="llm finetune writes them"
        ) from error


def require_fit(adapter: Adapter, model: Manifest, smoothing: Mapping[str, float]) -> None:
    """Raises UsageError if the adapter was trained over other weights."""
    if adapter.info["base"] != model.base or adapter.info.get("smoothing", {}) != dict(smoothing):
        raise UsageError(
            f"the adapter was trained over {adapter.info.get('base_name', 'another model')}, not over {model.name}",
            hint="name that model instead",
        )


def merged(tensors: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """A model's int8 tensors with the adapter's change in its rows, each quantized anew. CheckpointError if unfit."""
    from engine.linear import quantize_rows

    changed = dict(tensors)
    for stem in sorted({name[:-2] for name in adapter.tensors}):
        try:
            a, b = adapter.tensors[f"{stem}.a"].float(), adapter.tensors[f"{stem}.b"].float()
            values, scales = tensors[f"{stem}.values"], tensors[f"{stem}.scales"]
            if (b.shape[0], a.shape[1]) != tuple(values.shape):
                raise ValueError(f"{tuple(values.shape)} by {b.shape[0]} x {a.shape[1]}")
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"the adapter does not fit the layer {stem}: {error}") from error
        weight = values.float().mul_(scales[:, None]).addmm_(b, a, alpha=adapter.info["scale"])
        changed[f"{stem}.values"], changed[f"{stem}.scales"] = quantize_rows(weight)
    return changed
