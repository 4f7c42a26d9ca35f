"""Somebody's checkpoint as a whole float decoder: for comparisons and for training, not for running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.convert.source import block_state, final_norm, table
from engine.model import Decoder

if TYPE_CHECKING:
    from engine.convert.source import Source


def float_decoder(source: Source) -> Decoder:
    """All weights in float32: four bytes each. Raises CheckpointError for tensors that are missing or misshapen."""
    config = source.config
    state = {"embedding.weight": table(source, "embedding.weight"), "norm.weight": final_norm(source)}
    state["head.weight"] = state["embedding.weight"] if config.tied_head else table(source, "head.weight")
    for layer in range(config.num_layers):
        state |= {f"layers.{layer}.{name}": tensor for name, tensor in block_state(source, layer).items()}
    with torch.device("meta"):
        model = Decoder(config)
    model.load_state_dict(state, assign=True)
    if config.tied_head:
        model.head.weight = model.embedding.weight
    return model.eval()
