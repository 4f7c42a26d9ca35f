"""Float checkpoint -> int8 tensors, block by block, with smoothing calibrated and the loss measured on the way.

Only one block is ever held in float. Hidden states of a few texts flow through each float block and, for the texts
that measure, through its int8 twin beside it; so the last block leaves both models' logits to compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine import checkpoint
from engine.convert import source as sources
from engine.convert.quality import QualityMeter, next_ids, positions
from engine.convert.smooth import smooth_block
from engine.kernels import Kernel, cache_dtype
from engine.kv_cache import KVCache
from engine.layout import Consecutive
from engine.linear import Int8Embedding, Int8Linear, quantize_rows
from engine.model import Block, RMSNorm, RotaryTables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.config import ModelConfig, QuantizationConfig
    from engine.convert.source import Source
    from engine.schema import LanguageQuality

_LINEAR_NAMES = {"qkv": "attention.qkv", "out": "attention.out", "gate_up": "mlp.gate_up", "down": "mlp.down"}


@dataclass
class _Text:
    """One text on its way through the layers."""

    ids: list[int]
    language: str | None
    """Set for a text that measures; None for one that calibrates."""
    hidden: Tensor
    """(1, T, C) of the float model."""
    hidden_int8: Tensor | None = None
    cache: KVCache | None = None


@torch.inference_mode()
def quantize(
    source: Source,
    kernel: Kernel,
    calibration: list[list[int]],
    evaluation: Mapping[str, list[int]],
    quantization: QuantizationConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Tensor], dict[str, LanguageQuality]]:
    """Returns the tensors of our format and the measured loss by language.

    `calibration` and `evaluation` are texts as ids; `progress` is told layers done and layers in all.
    """
    config = source.config
    tensors, texts = _embed(source, calibration, evaluation)
    total = config.num_layers + 1
    rotary = RotaryTables(config)
    for layer in range(config.num_layers):
        progress(layer, total)
        state, ranges = _run_float_block(config, sources.block_state(source, layer), layer, texts, rotary)
        state = smooth_block(state, ranges, config, quantization.smoothing)
        block_tensors = _quantize_block(state, f"layers.{layer}.")
        _run_int8_block(config, block_tensors, layer, texts, rotary, kernel, quantization)
        tensors |= block_tensors
    progress(config.num_layers, total)
    quality = _finish(source, tensors, texts, kernel, quantization)
    progress(total, total)
    return tensors, quality


def _embed(
    source: Source, calibration: list[list[int]], evaluation: Mapping[str, list[int]]
) -> tuple[dict[str, Tensor], list[_Text]]:
    config = source.config
    table = sources.table(source, "embedding.weight")
    columns = table.abs().amax(0).clamp_min(1e-10)
    values, scales = quantize_rows(table / columns)
    int8_table = Int8Embedding(values, scales, columns)
    texts = [_Text(ids, None, _lookup(table, ids, config)) for ids in calibration]
    for language, ids in evaluation.items():
        text = _Text(ids, language, _lookup(table, ids, config))
        text.hidden_int8 = int8_table(torch.tensor([ids])) * config.embedding_scale
        text.cache = KVCache(config, dtype=cache_dtype(torch.device("cpu")))
        texts.append(text)
    return {"embedding.values": values, "embedding.scales": scales, "embedding.columns": columns}, texts


def _lookup(table: Tensor, ids: list[int], config: ModelConfig) -> Tensor:
    return table[torch.tensor([ids])] * config.embedding_scale


def _run_float_block(
    config: ModelConfig, state: dict[str, Tensor], layer: int, texts: list[_Text], rotary: RotaryTables
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Carry all texts through the float block; returns its tensors and the input ranges of its linear layers."""
    with torch.device("meta"):
        block = Block(config, config.kind(layer))
    block.load_state_dict(state, assign=True)
    ranges: dict[str, Tensor] = {}
    for text in texts:
        hooks = [] if text.language else [_watch(block, kind, ranges) for kind in _LINEAR_NAMES]
        text.hidden = _through(block, text.hidden, config, layer, rotary, None)
        for hook in hooks:
            hook.remove()
    return state, ranges


def _watch(block: Block, kind: str, ranges: dict[str, Tensor]) -> torch.utils.hooks.RemovableHandle:
    def record(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        # The first token is an attention sink with outliers of its own in many models; it would set every range.
        seen = inputs[0][0, 1:].abs().amax(0)
        ranges[kind] = torch.maximum(ranges[kind], seen) if kind in ranges else seen

    return block.get_submodule(_LINEAR_NAMES[kind]).register_forward_pre_hook(record)


def _through(
    block: nn.Module, hidden: Tensor, config: ModelConfig, layer: int, rotary: RotaryTables, cache: KVCache | None
) -> Tensor:
    layout = Consecutive(0, hidden.shape[1], hidden.device)
    return block(hidden, rotary(config.kind(layer), layout, hidden.device), layout, cache, layer)


def _quantize_block(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in state.items():
        if tensor.dim() == 2:
            stem = prefix + name.removesuffix(".weight")
            tensors[f"{stem}.values"], tensors[f"{stem}.scales"] = quantize_rows(tensor)
        else:
            tensors[prefix + name] = tensor
    return tensors


def _run_int8_block(
    config: ModelConfig,
    tensors: dict[str, Tensor],
    layer: int,
    texts: list[_Text],
    rotary: RotaryTables,
    kernel: Kernel,
    quantization: QuantizationConfig,
) -> None:
    measured = [text for text in texts if text.hidden_int8 is not None]
    if not measured:
        return
    with torch.device("meta"):
        block = Block(config, config.kind(layer))
    weights = checkpoint.Weights(tensors, torch.device("cpu"))
    checkpoint.swap_block(block, f"layers.{layer}.", weights, kernel, quantization)
    for text in measured:
        assert text.hidden_int8 is not None
        text.hidden_int8 = _through(block, text.hidden_int8, config, layer, rotary, text.cache)


def _finish(
    source: Source, tensors: dict[str, Tensor], texts: list[_Text], kernel: Kernel, quantization: QuantizationConfig
) -> dict[str, LanguageQuality]:
    """Quantize the final norm and the head, and compare the logits of both models.

    The head has a scale a column as well as one a row: the column's is folded into the final norm.
    """
    config = source.config
    head = sources.table(source, "embedding.weight" if config.tied_head else "head.weight")
    norm = _norm(config, sources.final_norm(source))
    if config.tied_head:
        values, scales, columns = (tensors[f"embedding.{part}"] for part in ("values", "scales", "columns"))
    else:
        columns = head.abs().amax(0).clamp_min(1e-10)
        values, scales = quantize_rows(head / columns)
        tensors |= {"head.values": values, "head.scales": scales}
    int8_norm = _norm(config, norm.weight * columns)
    tensors["norm.weight"] = int8_norm.weight
    linear = Int8Linear(values, scales, None, kernel, quantization.digits("head"))
    return {
        text.language: _compare(text, norm, head, int8_norm, linear)
        for text in texts
        if text.language and text.hidden_int8 is not None
    }


def _norm(config: ModelConfig, weight: Tensor) -> RMSNorm:
    norm = RMSNorm(config.hidden_size, config.norm_eps)
    norm.weight = nn.Parameter(weight, requires_grad=False)
    return norm


def _compare(text: _Text, norm: RMSNorm, head: Tensor, int8_norm: RMSNorm, linear: Int8Linear) -> LanguageQuality:
    assert text.hidden_int8 is not None
    meter = QualityMeter()
    hidden, hidden_int8 = norm(text.hidden)[0], int8_norm(text.hidden_int8)[0]
    for at in positions(len(text.ids)):
        meter.add(hidden[at] @ head.t(), linear(hidden_int8[at]), next_ids(text.ids, at))
    return meter.result()
