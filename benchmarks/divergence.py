"""How far an engine's predictions lie from the float model's. Peers' environments run this file too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COMPARED = 192
"""Tokens whose predictions are compared."""


def divergence(float_logits: Any, logits: Any) -> float:
    """Mean Kullback-Leibler divergence from the float model's predictions, (T, V) each; padding is left out."""
    import numpy

    def log_softmax(x: Any) -> Any:
        x = x.astype(numpy.float64)
        x -= x.max(1, keepdims=True)
        return x - numpy.log(numpy.exp(x).sum(1, keepdims=True))

    width = min(float_logits.shape[1], logits.shape[1])
    p, q = log_softmax(float_logits[:, :width]), log_softmax(logits[:, :width])
    return float((numpy.exp(p) * (p - q)).sum(1).mean())


def write_float_logits(source: Path, model: Path, target: Path) -> None:
    """Ids of one of our texts, and what the float model predicts after each."""
    import numpy
    import torch

    from engine import texts
    from engine.convert.float_model import float_decoder
    from engine.convert.pipeline import open_source
    from engine.tokenizer import Tokenizer

    ids = Tokenizer.load(model).encode(texts.read("evaluation", "en"))[:COMPARED]
    float_model = float_decoder(open_source(source))
    with torch.inference_mode():
        logits = float_model.logits(float_model(torch.tensor([ids])))[0]
    numpy.savez(target, ids=numpy.array(ids), logits=logits.numpy())
