"""Turns other people's vocabularies into a model folder's tokenizer: from GGUF fields or a Hugging Face folder.

Writes `tokenizer.model`, `tokenizer_config.json` and, where the publisher gives one, `chat_template.jinja`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.convert import hugging_face_vocabulary, vocabulary_proto
from engine.convert.pre_tokenizers import by_gguf_name
from engine.convert.vocabulary_proto import CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from engine.errors import CheckpointError
from engine.tokenizer import META_SPACE, PLACEHOLDER, Tokenizer
from engine.tokenizer_config import MODEL_FILE, TEMPLATE_FILE, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

END_TOKENS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "<end_of_turn>", "</s>",
    "<eos>",
)  # fmt: skip
"""What ends a turn or a text by its name, in whatever vocabulary it is a control token."""
_LLAMA_3 = frozenset({"llama3", "llama-v3", "llama-bpe", "falcon3"})


def from_gguf(fields: Mapping[str, Any], folder: Path) -> TokenizerConfig:
    """Writes the tokenizer that GGUF metadata describe into `folder`. Raises CheckpointError."""
    try:
        return _write(folder, *_gguf(fields))
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"the vocabulary of the GGUF file is damaged: {error!r}") from error


def _gguf(fields: Mapping[str, Any]) -> tuple[bytes, TokenizerConfig, str | None]:
    kind = _field(fields, "model", str)
    pieces = _field(fields, "tokens", list)
    types = fields.get("tokenizer.ggml.token_type") or [NORMAL] * len(pieces)
    if len(types) != len(pieces):
        raise CheckpointError(f"the GGUF file has {len(pieces)} tokens but {len(types)} token types")
    if kind == "llama":
        model, config = _native_gguf(fields, pieces, list(types))
    elif kind == "gpt2":
        model, config = _byte_level_gguf(fields, pieces, types)
    else:
        raise CheckpointError(f"the vocabulary is of kind {kind!r}; only 'llama' and 'gpt2' are known")
    template = fields.get("tokenizer.chat_template")
    return model, config, template if isinstance(template, str) else None


def from_hugging_face(source: Path, folder: Path) -> TokenizerConfig:
    """Writes the tokenizer of a Hugging Face folder into `folder`. Raises CheckpointError."""
    model, config, template = hugging_face_vocabulary.read(source, END_TOKENS)
    return _write(folder, model, config, template)


def _native_gguf(fields: Mapping[str, Any], pieces: list[str], types: list[int]) -> tuple[bytes, TokenizerConfig]:
    scores = _field(fields, "scores", list)
    unknown = _unknown_of(fields, pieces, types)
    types = [CONTROL if kind == UNKNOWN else kind for kind in types]
    size, scores = len(pieces), list(scores)
    # Converters write the spaces of added tokens as spaces; SentencePiece knows them as ▁.
    pieces = [n.replace(" ", META_SPACE) if t == USER_DEFINED else n for n, t in zip(pieces, types, strict=True)]
    if unknown is None:
        pieces.append(PLACEHOLDER + "unknown")
        scores.append(0.0)
        types.append(UNKNOWN)
    else:
        types[unknown] = UNKNOWN
    control = {name: i for i, name in enumerate(pieces) if types[i] == CONTROL}
    config = TokenizerConfig(
        kind="native",
        vocab_size=size,
        **_gguf_beginning(fields, default=True),
        eos_ids=_gguf_ends(fields, control),
        unk_id=unknown,
        control_tokens=control,
        dummy_prefix="always" if fields.get("tokenizer.ggml.add_space_prefix", True) else "none",
        cut_before=vocabulary_proto.cuts(n for n, t in zip(pieces, types, strict=True) if t in {NORMAL, USER_DEFINED}),
    )
    return vocabulary_proto.native_proto(pieces, scores, types), config


def _unknown_of(fields: Mapping[str, Any], pieces: list[str], types: list[int]) -> int | None:
    """The unknown token: by type, by number or by name."""
    if UNKNOWN in types:
        return types.index(UNKNOWN)
    named = fields.get("tokenizer.ggml.unknown_token_id")
    if isinstance(named, int) and 0 <= named < len(pieces) and types[named] in {NORMAL, CONTROL}:
        return named
    return pieces.index("<unk>") if "<unk>" in pieces else None


def _byte_level_gguf(
    fields: Mapping[str, Any], pieces: Sequence[str], types: Sequence[int]
) -> tuple[bytes, TokenizerConfig]:
    pre = str(fields.get("tokenizer.ggml.pre", "default"))
    rules = by_gguf_name(pre)
    merges = split_merges(_field(fields, "merges", list))
    added = {name: i for i, name in enumerate(pieces) if types[i] in {UNKNOWN, CONTROL, USER_DEFINED}}
    text_tokens = {
        n: i for n, i in added.items() if types[i] == USER_DEFINED and not vocabulary_proto.looks_like_control(n)
    }
    control = {name: i for name, i in added.items() if name not in text_tokens}
    known = [None if types[i] == UNUSED else name for i, name in enumerate(pieces)]
    model, never = vocabulary_proto.byte_level_proto(known, merges, added.values())
    config = TokenizerConfig(
        kind="byte_level",
        vocab_size=len(pieces),
        **_gguf_beginning(fields, default=pre in _LLAMA_3),
        eos_ids=_gguf_ends(fields, control),
        control_tokens=control,
        text_tokens=text_tokens,
        pre_tokenizer=rules.expressions,
        whole_chunks=tuple(never) if rules.whole_chunks else (),
        nfc=rules.nfc,
    )
    return model, config


def split_merges(merges: Iterable[str]) -> list[tuple[str, str]]:
    """Merges as pairs. Raises CheckpointError on a line that is no pair."""
    pairs: list[tuple[str, str]] = []
    for line in merges:
        left, space, right = str(line).partition(" ")
        if not (left and space and right):
            raise CheckpointError(f"expected a merge of two pieces, got {line!r}")
        pairs.append((left, right))
    return pairs


def _gguf_beginning(fields: Mapping[str, Any], *, default: bool) -> dict[str, Any]:
    """`bos_id` and `add_bos`; files that do not say follow the habit of their kind."""
    bos = fields.get("tokenizer.ggml.bos_token_id")
    return {"bos_id": bos, "add_bos": bool(fields.get("tokenizer.ggml.add_bos_token", default and bos is not None))}


def _gguf_ends(fields: Mapping[str, Any], control: Mapping[str, int]) -> tuple[int, ...]:
    """The ids that end a turn: the file's own first, then the well-known names."""
    keys = ("eos_token_id", "eot_token_id", "eom_token_id")
    named = [fields.get(f"tokenizer.ggml.{key}") for key in keys]
    ids = [i for i in named if isinstance(i, int)] + [control[name] for name in END_TOKENS if name in control]
    return tuple(dict.fromkeys(ids))


def _field(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    value = fields.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, kind):
        raise CheckpointError(f"the GGUF file has no usable tokenizer.ggml.{name}")
    return value


def _write(folder: Path, model: bytes, config: TokenizerConfig, template: str | None) -> TokenizerConfig:
    Tokenizer(model, config)  # refuses what could not be loaded again
    (folder / MODEL_FILE).write_bytes(model)
    config.save(folder)
    if template:
        (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8", newline="\n")
    return config
