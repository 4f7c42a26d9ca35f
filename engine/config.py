"""Frozen, torch-free configurations that refuse nonsense at birth.

`ModelConfig` describes a decoder: the differences between the Llama, Qwen and Gemma families are values here, never
names in the model's code. `QuantizationConfig` says how its weights lie on disk, `SamplingConfig` how text is drawn.
Each turns into plain JSON types with `to_json` and back with `from_json`; an unknown or missing key is an error.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from engine.errors import CheckpointError, UsageError

Activation = Literal["silu", "gelu_tanh"]
LayerKind = Literal["global", "local"]
RotaryScaling = Literal["none", "linear", "llama3", "yarn"]
DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]
Overflow = Literal["error", "search", "summarize", "head", "tail", "middle"]

TOGETHER = 16
"""Sequences decoded in step: a step costs little more than for one, and each takes its part of the KV memory."""

_LARGEST = 2**24
_MOST_LAYERS = 1_000
"""Far above every model; below what a hostile file could make a loop or an allocation last."""


def _refuse(condition: bool, message: str, error: type[UsageError | CheckpointError] = CheckpointError) -> None:
    if condition:
        raise error(message)


class _Json:
    """Plain JSON round trip for flat dataclasses; nested ones override `_NESTED`."""

    _NESTED: ClassVar[dict[str, type[_Json]]] = {}

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises CheckpointError on unknown or missing keys and on other types."""
        _refuse(not isinstance(data, dict), f"{cls.__name__} should be a JSON object, is {data!r:.40}")
        fields = {f.name: str(f.type) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(data) - set(fields))
        _refuse(bool(unknown), f"{cls.__name__}: unknown keys {', '.join(unknown)}")
        values = {
            key: cls._NESTED[key].from_json(value) if key in cls._NESTED and value is not None else value
            for key, value in data.items()
        }
        for key, value in values.items():
            _refuse(not _fits(value, fields[key]), f"{cls.__name__}: {key} has the wrong type: {value!r:.40}")
            if isinstance(value, list):
                values[key] = tuple(value)
        try:
            for key, value in values.items():
                if isinstance(value, int) and fields[key].startswith("float"):
                    values[key] = float(value)
            return cls(**values)
        except (TypeError, OverflowError) as error:
            raise CheckpointError(f"{cls.__name__}: {error}") from error


def _fits(value: Any, annotation: str) -> bool:
    """Whether a JSON value may stand in a field of this annotation; what is inside lists and objects is not seen."""
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,), "float": (int, float), "bool": (bool,), "None": (type(None),), "tuple": (list, tuple),
        "dict": (dict,), "RotaryConfig": (_Json,),
    }  # fmt: skip
    names = [name.partition("[")[0] for name in annotation.split(" | ")]
    if isinstance(value, bool):
        return "bool" in names
    return any(isinstance(value, kinds.get(name, (str,))) for name in names)


@dataclass(frozen=True, slots=True)
class RotaryConfig(_Json):
    """Rotary position embedding (arXiv 2104.09864), half-split layout."""

    base: float = 10_000.0
    scaling: RotaryScaling = "none"
    factor: float = 1.0
    """By how much the context was stretched; `linear` divides positions by it."""
    low_freq_factor: float = 1.0
    """Llama 3: wavelengths above original_context / low_freq_factor are stretched in full."""
    high_freq_factor: float = 4.0
    """Llama 3: wavelengths below original_context / high_freq_factor are left alone."""
    original_context: int = 8192
    """Positions seen before stretching (`llama3` and `yarn`)."""

    def __post_init__(self) -> None:
        _refuse(not 1 < self.base < math.inf, f"rotary base must be above 1, got {self.base}")
        _refuse(self.scaling not in get_args(RotaryScaling), f"unknown rotary scaling {self.scaling!r}")
        _refuse(not 1 <= self.factor < math.inf, f"rotary factor must be at least 1, got {self.factor}")
        _refuse(
            not 0 < self.low_freq_factor < self.high_freq_factor < math.inf,
            f"rotary low_freq_factor {self.low_freq_factor} must lie below high_freq_factor {self.high_freq_factor}",
        )
        _refuse(self.original_context < 1, f"rotary original_context must be positive, got {self.original_context}")


@dataclass(frozen=True, slots=True)
class ModelConfig(_Json):
    """A decoder-only Transformer. Widths are in units (channels), contexts in tokens."""

    _NESTED: ClassVar[dict[str, type[_Json]]] = {"rotary": RotaryConfig, "local_rotary": RotaryConfig}

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    """Width of the gated feed-forward block."""
    num_layers: int
    num_heads: int
    """Query heads."""
    num_kv_heads: int
    """Key/value heads; each serves num_heads / num_kv_heads query heads (arXiv 2305.13245)."""
    head_dim: int
    max_context: int
    """Positions that the model was trained for."""
    norm_eps: float = 1e-6
    activation: Activation = "silu"
    rotary: RotaryConfig = RotaryConfig()
    local_rotary: RotaryConfig | None = None
    """For local layers; None: the same as `rotary`."""
    layer_kinds: tuple[LayerKind, ...] = ()
    """One for each layer; empty: all global."""
    sliding_window: int | None = None
    """How many tokens, itself included, a token of a local layer sees."""
    qkv_bias: bool = False
    out_bias: bool = False
    """A bias on the attention's output projection."""
    mlp_bias: bool = False
    qk_norm: bool = False
    """RMSNorm over each query and key head before rotation (Qwen 3, Gemma 3)."""
    post_norms: bool = False
    """RMSNorm after the attention and feed-forward blocks as well as before (Gemma)."""
    embedding_scale: float = 1.0
    attention_scale: float | None = None
    """Multiplies query-key products; None: head_dim ** -0.5."""
    tied_head: bool = True
    """The head reads the embedding table."""
    family: str = "llama"
    """Where the weights come from; for people only, no code may branch on it."""

    def __post_init__(self) -> None:
        for name in (
            "vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "head_dim",
            "max_context",
        ):  # fmt: skip
            value = getattr(self, name)
            largest = _MOST_LAYERS if name == "num_layers" else _LARGEST
            _refuse(
                not isinstance(value, int) or not 1 <= value <= largest,
                f"{name} must be a positive integer up to {largest}, got {value!r:.40}",
            )
        _refuse(
            self.num_heads % self.num_kv_heads != 0,
            f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}",
        )
        _refuse(self.head_dim % 2 != 0, f"head_dim must be even for rotary embedding, got {self.head_dim}")
        _refuse(self.activation not in get_args(Activation), f"unknown activation {self.activation!r}")
        _refuse(
            len(self.layer_kinds) not in (0, self.num_layers),
            f"layer_kinds names {len(self.layer_kinds)} layers of {self.num_layers}",
        )
        unknown = set(self.layer_kinds) - set(get_args(LayerKind))
        _refuse(bool(unknown), f"unknown layer kinds {sorted(unknown)}")
        _refuse(
            "local" in self.layer_kinds and (self.sliding_window is None or self.sliding_window < 1),
            "local layers need a positive sliding_window",
        )
        for scale in (self.embedding_scale, self.softmax_scale):
            _refuse(not 0 < scale < math.inf, f"scales must be positive, got {scale}")
        _refuse(not 0 < self.norm_eps < 1, f"norm_eps must lie between 0 and 1, got {self.norm_eps}")

    def kind(self, layer: int) -> LayerKind:
        """Whether a layer sees everything or only its window."""
        return self.layer_kinds[layer] if self.layer_kinds else "global"

    def rotary_of(self, kind: LayerKind) -> RotaryConfig:
        """The rotary embedding of a kind of layer."""
        return self.local_rotary or self.rotary if kind == "local" else self.rotary

    @property
    def softmax_scale(self) -> float:
        """What query-key products are multiplied with."""
        return self.attention_scale if self.attention_scale is not None else self.head_dim**-0.5

    @property
    def num_parameters(self) -> int:
        """Weights of the model; a tied head counts once."""
        q_width, kv_width = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        attention = self.hidden_size * (2 * q_width + 2 * kv_width)
        attention += (q_width + 2 * kv_width) * self.qkv_bias + self.hidden_size * self.out_bias
        attention += 2 * self.head_dim * self.qk_norm
        mlp = 3 * self.hidden_size * self.intermediate_size
        mlp += (2 * self.intermediate_size + self.hidden_size) * self.mlp_bias
        norms = self.hidden_size * (4 if self.post_norms else 2)
        tables = self.vocab_size * self.hidden_size * (1 if self.tied_head else 2)
        return self.num_layers * (attention + mlp + norms) + tables + self.hidden_size


@dataclass(frozen=True, slots=True)
class QuantizationConfig(_Json):
    """Int8 weights, one scale a row; activations in one or two int8 digits, one scale a token."""

    activation_digits: dict[str, int] = dataclasses.field(default_factory=dict)
    """int8 digits an input is split into, by kind of linear layer (`qkv out gate_up down head`); 1 where not named.
    Two digits carry 15 bits: as good as float, twice the products, the same weight traffic."""
    smoothing: dict[str, float] = dataclasses.field(default_factory=dict)
    """SmoothQuant's migration strength alpha (arXiv 2211.10438) by kind of layer but the head; it is folded into the
    weights."""

    def __post_init__(self) -> None:
        for kind, digits in self.activation_digits.items():
            _refuse(kind not in LINEAR_KINDS, f"unknown kind of linear layer {kind!r}")
            _refuse(digits not in {1, 2}, f"activations have 1 or 2 int8 digits, got {digits!r} for {kind}")
        for kind, alpha in self.smoothing.items():
            _refuse(kind not in LINEAR_KINDS or kind == "head", f"no smoothing is known for {kind!r}")
            _refuse(not 0 <= alpha <= 1, f"smoothing must lie in 0 to 1, got {alpha!r} for {kind}")

    def digits(self, kind: str) -> int:
        """How many int8 digits an input of this kind of layer has."""
        return self.activation_digits.get(kind, 1)


LINEAR_KINDS = ("qkv", "out", "gate_up", "down", "head")


MOST_PENALTY = 1000
"""As a factor, and as a divisor: far beyond all use, and no logit grows out of float32."""
_LATER = frozenset({"min_tokens"})
"""Fields of a SamplingConfig that histories and servers of earlier versions have not."""


@dataclass(frozen=True, slots=True)
class SamplingConfig(_Json):
    """How the next token is drawn. Filters apply in the order of the fields."""

    temperature: float = 0.0
    """0 is greedy: the most probable token, the lowest id among equals."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens already in the answer (arXiv 1909.05858).
    The prompt's tokens are not counted: an answer from a text has to repeat its words."""
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with this much probability (arXiv 1904.09751)."""
    min_p: float = 0.0
    """Keep tokens with at least this fraction of the best one's probability (arXiv 2407.01082)."""
    seed: int | None = None
    """None: drawn afresh each time. The same seed and device give the same text."""
    max_tokens: int = 512
    """The reply ends after so many tokens."""
    min_tokens: int = 0
    """The model can't end the reply before so many tokens; stop strings can, and a grammar decides for itself."""
    stop: tuple[str, ...] = ()
    """The reply ends before any of these strings."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types; without the later ones that are off, which older readers do not know."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in _LATER or value}

    def __post_init__(self) -> None:
        def refuse(condition: bool, message: str) -> None:
            _refuse(condition, message, UsageError)

        refuse(not (0 <= self.temperature < math.inf), f"temperature must be 0 or more, got {self.temperature}")
        refuse(
            not 1 / MOST_PENALTY <= self.repetition_penalty <= MOST_PENALTY,
            f"repetition penalty must lie between {1 / MOST_PENALTY} and {MOST_PENALTY}, got {self.repetition_penalty}",
        )
        refuse(self.top_k < 0, f"top-k must be 0 (off) or more, got {self.top_k}")
        refuse(not 0 < self.top_p <= 1, f"top-p must be above 0 and at most 1, got {self.top_p}")
        refuse(not 0 <= self.min_p <= 1, f"min-p must lie between 0 and 1, got {self.min_p}")
        refuse(self.max_tokens < 1, f"max-tokens must be at least 1, got {self.max_tokens}")
        refuse(self.min_tokens < 0, f"min-tokens must be 0 (off) or more, got {self.min_tokens}")
        refuse("" in self.stop, "a stop string must not be empty")
        refuse(
            self.seed is not None and not 0 <= self.seed < 2**63,
            f"seed must lie between 0 and 2^63 - 1, got {self.seed}",
        )
