"""What a tokenizer needs beside its SentencePiece model: a frozen, torch-free dataclass and its JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

TokenizerKind = Literal["native", "byte_level"]
DummyPrefix = Literal["none", "first", "always", "model"]

MODEL_FILE = "tokenizer.model"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """How text becomes what the SentencePiece model reads, and which ids have a meaning of their own."""

    kind: TokenizerKind
    """`native`: the SentencePiece model reads text. `byte_level`: it reads bytes in GPT-2's printable alphabet."""
    vocab_size: int
    """Ids run from 0 to vocab_size - 1; some of them may have no piece (rows that pad an embedding table)."""
    bos_id: int | None = None
    add_bos: bool = False
    """Whether the model expects `bos_id` before every prompt."""
    eos_ids: tuple[int, ...] = ()
    """Every id that ends a turn or a text."""
    unk_id: int | None = None
    """The publisher's unknown token; None: what has no piece is left out."""
    control_tokens: dict[str, int] = field(default_factory=dict)
    """Never made from text and never shown."""
    text_tokens: dict[str, int] = field(default_factory=dict)
    """Byte-level only: strings that are one token wherever they stand, cut out before everything else."""
    pre_tokenizer: tuple[str, ...] = ()
    """Byte-level only: expressions that cut text into chunks, each applied to what the one before it left."""
    whole_chunks: tuple[int, ...] = ()
    """Byte-level only: pieces that merging never makes, used where a chunk is exactly such a piece."""
    nfc: bool = False
    """Text is brought into Unicode's composed form first."""
    dummy_prefix: DummyPrefix = "none"
    """A space before the `first` run of text or before each (`always`); `model`: the SentencePiece model adds it."""
    prefix_unless_space: bool = False
    """The dummy prefix is left out where the text already begins with a space."""
    cut_before: str = ""
    """Native only: between one of these and a different character before it no piece ever reaches across."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(TokenizerKind) or self.dummy_prefix not in get_args(DummyPrefix):
            raise CheckpointError(f"unknown kind of tokenizer {self.kind!r} with dummy prefix {self.dummy_prefix!r}")
        if not isinstance(self.vocab_size, int) or self.vocab_size < 1:
            raise CheckpointError(f"a vocabulary must have at least one id, got {self.vocab_size!r}")
        named = (*self.control_tokens.values(), *self.text_tokens.values(), *self.eos_ids, *self.whole_chunks)
        for value in (*named, *(id_ for id_ in (self.bos_id, self.unk_id) if id_ is not None)):
            if not (isinstance(value, int) and 0 <= value < self.vocab_size):
                raise CheckpointError(f"token id {value!r} is outside of the vocabulary of {self.vocab_size}")
        if self.add_bos and self.bos_id is None:
            raise CheckpointError("the model wants a token before every text, but its vocabulary names none")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {"format": _FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises CheckpointError on unknown, missing or misshapen keys."""
        values = dict(data)
        if values.pop("format", None) != _FORMAT:
            raise CheckpointError(f"expected format {_FORMAT}, got {data.get('format')!r}")
        fields = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise CheckpointError(f"unknown keys {', '.join(unknown)}")
        for key, value in values.items():
            want = _json_type(fields[key])
            if not isinstance(value, want):
                raise CheckpointError(f"{key} has the wrong type: {type(value).__name__}")
            if isinstance(value, list):
                values[key] = tuple(value)
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(str(error)) from error

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads `tokenizer_config.json`. Raises CheckpointError with the file named."""
        path = folder / CONFIG_FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict):
                raise CheckpointError(f"expected an object, got {type(data).__name__}")
            return cls.from_json(data)
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} is missing", hint="Pull or import the model again.") from error
        except (OSError, ValueError, RecursionError, CheckpointError) as error:
            raise CheckpointError(f"{path} can't be read: {error}", hint="Pull or import the model again.") from error

    def save(self, folder: Path) -> None:
        """Writes `tokenizer_config.json`."""
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=1)
        (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _json_type(annotation: str) -> tuple[type, ...]:
    """The JSON types that a field of this annotation may have."""
    if annotation.startswith("tuple"):
        return (list, tuple)
    if annotation.startswith("dict"):
        return (dict,)
    named: dict[str, tuple[type, ...]] = {"int": (int,), "int | None": (int, type(None)), "bool": (bool,)}
    return named.get(annotation, (str,))
