"""What a model that is trained from nothing looks like, and how it is trained: TOML or JSON, nonsense refused."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import tokenizer_models
from engine.config import ModelConfig
from engine.errors import InputError, UsageError
from engine.naming import nearest
from engine.training.settings import learning_rate

if TYPE_CHECKING:
    from engine.schema import Document

_MOST = {"layers": 64, "width": 4096, "heads": 64, "kv_heads": 64, "feed_forward": 16_384, "context": 16_384}
_MOST_TOKENS = 2**20
FLOOR = 0.1
"""Of the peak: where the learning rate ends."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A decoder of the Llama family, and its training."""

    layers: int
    width: int
    """Hidden channels."""
    heads: int
    """Query heads."""
    context: int
    """Tokens that it sees at once."""
    kv_heads: int = 0
    """Key and value heads; 0: as many as `heads`."""
    feed_forward: int = 0
    """Width of the gated block; 0: 8/3 of `width`, rounded up to a multiple of 32."""
    tied_head: bool = True
    """Whether the head reads the embedding table."""
    vocabulary: str = tokenizer_models.DEFAULT
    """A SentencePiece model of `tokenizer_models`."""
    steps: int = 0
    """Updates; 0: what `epochs` takes."""
    epochs: int = 1
    """How often each text is seen, unless `steps` are given."""
    batch_tokens: int = 4096
    """Of an update."""
    pass_tokens: int = 2048
    """Of a forward and backward pass: what memory grows with."""
    learning_rate: float = 1e-3
    """At its peak: it rises over `warmup` of the steps and falls along half a cosine to a tenth."""
    warmup: float = 0.05
    weight_decay: float = 0.1
    """Of the matrices."""
    clip: float = 1.0
    """Largest norm of an update's gradient."""
    held_out: float = 0.05
    """Share of each text, its end, that is measured and never trained on."""

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            least = 0 if name in {"kv_heads", "feed_forward"} else 16 if name in {"width", "context"} else 1
            _require(least <= getattr(self, name) <= most, f"{name} must lie between {least} and {most}", self, name)
        kv_heads = self.kv_heads or self.heads
        rule = f"width must be a multiple of 2 x heads = {2 * self.heads}"
        _require(self.width % (2 * self.heads) == 0, rule, self, "width")
        _require(self.heads % kv_heads == 0, f"heads must be a multiple of kv_heads = {kv_heads}", self, "heads")
        for name in ("batch_tokens", "pass_tokens"):
            rule = f"{name} must lie between the context, {self.context}, and {_MOST_TOKENS}"
            _require(self.context <= getattr(self, name) <= _MOST_TOKENS, rule, self, name)
        _require(self.steps >= 0, "steps must be 0 (epochs decide) or more", self, "steps")
        _require(1 <= self.epochs <= 10_000, "epochs must lie between 1 and 10000", self, "epochs")
        for name in ("learning_rate", "clip"):
            _require(0 < getattr(self, name) < math.inf, f"{name} must be positive", self, name)
        for name in ("warmup", "weight_decay"):
            _require(0 <= getattr(self, name) < 1, f"{name} must lie between 0 and 1", self, name)
        _require(0 < self.held_out <= 0.5, "held_out must be above 0 and at most 0.5", self, "held_out")
        try:
            tokenizer_models.path(self.vocabulary)
        except FileNotFoundError as error:
            raise UsageError(f"there is no vocabulary {self.vocabulary!r}", hint=tokenizer_models.DEFAULT) from error

    @classmethod
    def read(cls, document: Document) -> Self:
        """A blueprint from a file's text: JSON if it begins as an object does, else TOML.

        Raises InputError for what is neither, UsageError for settings that are none.
        """
        try:
            parse = json.loads if document.text.lstrip().startswith("{") else tomllib.loads
            data = parse(document.text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{document.name} is neither TOML nor JSON: {error}") from error
        return cls(**_checked(data, cls))

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return dataclasses.asdict(self)

    def model(self, vocabulary: int) -> ModelConfig:
        """The decoder's shape over so many pieces."""
        return ModelConfig(
            vocab_size=vocabulary,
            hidden_size=self.width,
            intermediate_size=self.feed_forward or -(-self.width * 8 // 96) * 32,
            num_layers=self.layers,
            num_heads=self.heads,
            num_kv_heads=self.kv_heads or self.heads,
            head_dim=self.width // self.heads,
            max_context=self.context,
            tied_head=self.tied_head,
        )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0."""
        return learning_rate(step, steps, self.learning_rate, self.warmup, FLOOR)


def _require(condition: bool, rule: str, blueprint: Blueprint, name: str) -> None:
    if not condition:
        raise UsageError(f"{rule}, got {getattr(blueprint, name)}")


def _checked(data: dict[str, Any], kind: type) -> dict[str, Any]:
    """The fields of a file, their names and types as they should be. Raises UsageError."""
    types = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    for name, value in data.items():
        if name not in types:
            near = nearest(name, types)
            raise UsageError(f"unknown setting {name!r}", hint=f"did you mean {near[0]}?" if near else ", ".join(types))
        wanted = types[name]
        right: tuple[type, ...] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}[wanted]
        if not isinstance(value, right) or (isinstance(value, bool) and wanted != "bool"):
            raise UsageError(f"{name} should be of type {wanted}, is {value!r:.40}")
    needed = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING and f.name not in data]
    if needed:
        raise UsageError(f"the configuration lacks {', '.join(needed)}")
    return {name: float(value) if types[name] == "float" else value for name, value in data.items()}
