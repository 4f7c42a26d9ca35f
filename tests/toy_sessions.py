"""Sessions around toy decoders with float weights: only what is computed can make a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import toy_decoders

import tokenizer_models
from engine.chat_format import ChatFormat
from engine.config import ModelConfig, SamplingConfig
from engine.kernels.reference import ReferenceKernel
from engine.schema import Message
from engine.session import Session
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.schema import Chunk

GREEDY = SamplingConfig(max_tokens=24)
HELLO = [Message("user", "Hello there, what is the weather like?")]
SIZE: dict[str, Any] = toy_decoders.SIZE | {"vocab_size": 16_000, "max_context": 1500}
SHAPES = {
    "plain": ModelConfig(**SIZE, num_layers=2, tied_head=False),
    "windowed": ModelConfig(
        **SIZE, num_layers=3, tied_head=False, layer_kinds=("local", "global", "local"), sliding_window=12
    ),
}


def open_float(shape: str) -> Session:
    """Its cache is float where the test has made `kernels.cache_dtype` say so."""
    tokenizer = Tokenizer.load(tokenizer_models.path())
    chat = ChatFormat.load(tokenizer_models.path(), tokenizer)
    model = toy_decoders.decoder(SHAPES[shape])
    return Session("toy", model, tokenizer, chat, ReferenceKernel(), torch.device("cpu"))


def fresh(session: Session) -> Session:
    """Another of the same shape, that has answered nothing yet."""
    return open_float(next(name for name, config in SHAPES.items() if config == session.config))


def joined(chunks: Iterable[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)
