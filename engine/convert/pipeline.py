"""Somebody's checkpoint -> a model folder of ours: tokenizer, int8 weights, and what int8 cost.

Recipes are tried from the fastest on until one keeps the measured loss within the bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import checkpoint, lean, texts
from engine.adapter import facts
from engine.config import ModelConfig, QuantizationConfig
from engine.convert.quantize import quantize
from engine.errors import CheckpointError
from engine.kernels import choose
from engine.schema import Conversion, LanguageQuality, Progress, ProgressCallback, Provenance
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.convert.source import Source

RECIPES = (
    QuantizationConfig(activation_digits={"qkv": 2, "down": 2, "head": 2}),
    QuantizationConfig(activation_digits={"qkv": 2, "out": 2, "down": 2, "head": 2}, smoothing={"gate_up": 0.65}),
    QuantizationConfig(activation_digits={"qkv": 2, "out": 2, "gate_up": 2, "down": 2, "head": 2}),
)
"""Two digits where inputs have outliers; then smoothing where most of the work is, which suits some models and harms
others; then two digits everywhere, which doubles the work of a prefill."""
KL_BOUND = 0.018
PERPLEXITY_BOUND = 0.009
"""What ships must stay within KL 0.02 and one percent of perplexity; these leave room for other machines."""
TOKENS = 1024
"""Of each text: enough for a figure that holds, few enough for seconds a recipe."""


def convert(source: Path, target: Path, provenance: Provenance, progress: ProgressCallback) -> Conversion:
    """Write the new folder `target`, with the provenance's adapter merged.

    Raises CheckpointError for a source that is damaged or of an unknown family, UsageError for another's adapter.
    """
    lean.complete()  # to convert is more than to reply
    opened = open_source(source)
    merged = None
    if provenance.adapter:
        from engine.convert.adapted import AdaptedSource, load

        change = load(provenance.adapter, provenance.sha256)
        opened, merged = AdaptedSource(opened, change), facts(change, provenance.adapter.stem)
    target.mkdir(parents=True)
    opened.write_tokenizer(target)
    tokenizer = Tokenizer.load(target)
    _require_fit(tokenizer, opened.config)
    calibration, evaluation = _texts(tokenizer, opened.config)
    kernel = choose(torch.device("cpu"), portable=True)
    total = opened.config.num_layers + 1
    best: tuple[dict[str, Tensor], dict[str, LanguageQuality], QuantizationConfig] | None = None
    for attempt, recipe in enumerate(RECIPES):
        detail = provenance.name if attempt == 0 else f"{provenance.name}, more precisely"

        def tell(done: int, layers: int, detail: str = detail) -> None:
            size = opened.config.num_parameters
            progress(Progress("convert", size * done // layers, size, detail))

        tell(0, total)
        smoothed = calibration if recipe.smoothing else []
        tensors, quality = quantize(opened, kernel, smoothed, evaluation, recipe, tell)
        best = (tensors, quality, recipe)
        if _within_bounds(quality):
            break
    assert best is not None
    tensors, quality, recipe = best
    checkpoint.save(target, opened.config, recipe, tensors)
    return Conversion(quality=quality, kernel=kernel.name, adapter=merged)


def open_source(path: Path) -> Source:
    """A reader for a `.gguf` file or a Hugging Face folder. Raises CheckpointError."""
    if path.is_dir():
        from engine.convert.hugging_face import HuggingFaceSource

        return HuggingFaceSource(path)
    from engine.convert.gguf import GgufSource

    return GgufSource(path)


def _require_fit(tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Raises CheckpointError if text could become an id that the embedding lacks; control tokens may lie beyond it."""
    beyond = [i for i in range(config.vocab_size, tokenizer.vocab_size) if tokenizer.token_bytes(i)]
    if beyond:
        raise CheckpointError(
            f"the vocabulary has {tokenizer.vocab_size} pieces, the model {config.vocab_size}: they are no pair"
        )


def _texts(tokenizer: Tokenizer, config: ModelConfig) -> tuple[list[list[int]], dict[str, list[int]]]:
    """The bundled texts as ids, each with the BOS that the model expects."""
    length = min(TOKENS, config.max_context)

    def ids(kind: str, language: str) -> list[int]:
        return (tokenizer.beginning + tokenizer.encode(texts.read(kind, language)))[:length]  # type: ignore[arg-type]

    calibration = [ids("calibration", language) for language in ("en", "zh")]
    return calibration, {language: ids("evaluation", language) for language in ("en", "zh")}


def _within_bounds(quality: Mapping[str, LanguageQuality]) -> bool:
    return all(
        figures.kl <= KL_BOUND and abs(figures.perplexity_int8 / figures.perplexity_float - 1) <= PERPLEXITY_BOUND
        for figures in quality.values()
    )
