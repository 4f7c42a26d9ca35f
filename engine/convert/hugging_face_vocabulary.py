"""Reads the tokenizer of a Hugging Face folder: `tokenizer.model` where there is one, else `tokenizer.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.convert import tokenizer_json, vocabulary_proto
from engine.convert.vocabulary_proto import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED
from engine.errors import CheckpointError
from engine.tokenizer import PLACEHOLDER
from engine.tokenizer_config import DummyPrefix, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Folder:
    """The JSON files of a folder that say something about its tokenizer; absent ones are empty."""

    tokenizer: dict[str, Any]
    settings: dict[str, Any]
    model: dict[str, Any]
    generation: dict[str, Any]
    special: dict[str, Any]
    added: dict[str, Any]


def read(source: Path, end_tokens: Sequence[str]) -> tuple[bytes, TokenizerConfig, str | None]:
    """The SentencePiece model, the config and the chat template of a folder. Raises CheckpointError."""
    try:
        return _read(source, end_tokens)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"the tokenizer's files in {source} are damaged: {error!r}") from error


def _read(source: Path, end_tokens: Sequence[str]) -> tuple[bytes, TokenizerConfig, str | None]:
    names = ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json")
    files = _Folder(*(_json(source / n) for n in (*names, "special_tokens_map.json", "added_tokens.json")))
    proto = source / "tokenizer.model"
    if proto.is_file():
        model, config = _native(_parse(proto), files, end_tokens)
    elif files.tokenizer:
        rules = tokenizer_json.read(files.tokenizer, source / "tokenizer.json")
        model, config = (_byte_level if rules.byte_level else _byte_fallback)(rules, files, end_tokens)
    else:
        raise CheckpointError(f"{source} has neither tokenizer.model nor tokenizer.json")
    template = _template(source, files)
    (template or "").encode()  # half a character, which JSON can hold, can't be kept
    return model, config, template


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, empty if there is no such file. Raises CheckpointError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} can't be read: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds a {type(data).__name__}, not an object")
    return data


def _parse(path: Path) -> Any:
    """A ModelProto. Raises CheckpointError."""
    from google.protobuf.message import DecodeError

    model = vocabulary_proto.new_proto()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise CheckpointError(f"{path} is not a SentencePiece model: {error}") from error
    if not model.pieces:
        raise CheckpointError(f"{path} is not a SentencePiece model: it has no pieces")
    return model


def _added(files: _Folder) -> dict[int, tuple[str, bool]]:
    """Added tokens by id: content and whether they are special."""
    found = {i: (name, False) for name, i in files.added.items() if isinstance(i, int)}
    for entry in files.tokenizer.get("added_tokens") or []:
        found[entry["id"]] = (entry["content"], bool(entry.get("special")))
    for key, entry in (files.settings.get("added_tokens_decoder") or {}).items():
        found[int(key)] = (entry["content"], bool(entry.get("special")))
    if any(not isinstance(i, int) or not 0 <= i < 2**24 or not isinstance(n, str) for i, (n, _) in found.items()):
        raise CheckpointError("the folder's added tokens are damaged")
    return found


def _native(model: Any, files: _Folder, end_tokens: Sequence[str]) -> tuple[bytes, TokenizerConfig]:
    """The publisher's SentencePiece model with the added tokens in place."""
    added = _added(files)
    unknown = next((i for i, piece in enumerate(model.pieces) if piece.type == UNKNOWN), None)
    for token in sorted(added):
        name, special = added[token]
        _place(model, token, name, CONTROL if special else USER_DEFINED)
    control = {piece.piece: i for i, piece in enumerate(model.pieces) if piece.type == CONTROL}
    rules = model.normalizer_spec
    plain = not rules.precompiled_charsmap and not rules.remove_extra_whitespaces
    prefix: DummyPrefix = "none"
    if rules.add_dummy_prefix:
        prefix = _prefix(files) if plain else "model"
        rules.add_dummy_prefix = not plain
    texts = [piece.piece for piece in model.pieces if piece.type in {NORMAL, USER_DEFINED}]
    config = TokenizerConfig(
        kind="native",
        vocab_size=_size(len(model.pieces), files),
        unk_id=unknown,
        control_tokens=control,
        dummy_prefix=prefix,
        prefix_unless_space=_metaspace(files) is not None,
        cut_before=vocabulary_proto.cuts(texts) if plain else "",
        **_ends(files, control, end_tokens, add_bos=True),
    )
    return model.SerializeToString(), config


def _place(model: Any, token: int, name: str, kind: int) -> None:
    """Puts an added token at its id, whatever was there; a gap before it is filled with nameless pieces."""
    while len(model.pieces) <= token:
        index = len(model.pieces)
        model.pieces.add(piece=f"{PLACEHOLDER}{index}", score=0.0, type=CONTROL)
    piece = model.pieces[token]
    if piece.type not in {UNKNOWN, BYTE}:
        piece.piece, piece.type = name, kind


def _metaspace(files: _Folder) -> dict[str, Any] | None:
    """tokenizer.json's Metaspace step, if it has one."""
    return next(
        (s for s in tokenizer_json.steps(files.tokenizer.get("pre_tokenizer")) if s["type"] == "Metaspace"), None
    )


def _prefix(files: _Folder) -> DummyPrefix:
    """Where the space before a text goes: as tokenizer.json says, else as `legacy` does."""
    step = _metaspace(files)
    if step is not None:
        schemes: dict[Any, DummyPrefix] = {"first": "first", "never": "none"}
        return schemes.get(step.get("prepend_scheme"), "always")
    if any(s["type"] == "Prepend" for s in tokenizer_json.steps(files.tokenizer.get("normalizer"))):
        return "always"
    return "first" if files.settings.get("legacy") is False else "always"


def _byte_level(rules: Any, files: _Folder, end_tokens: Sequence[str]) -> tuple[bytes, TokenizerConfig]:
    """A byte-level tokenizer.json."""
    added = _added(files)
    pieces = _table(rules.vocabulary, added)
    model, never = vocabulary_proto.byte_level_proto(pieces, rules.merges, added)
    control = {n: i for i, (n, special) in added.items() if special or vocabulary_proto.looks_like_control(n)}
    config = TokenizerConfig(
        kind="byte_level",
        vocab_size=_size(len(pieces), files),
        control_tokens=control,
        text_tokens={n: i for i, (n, _) in added.items() if n not in control},
        pre_tokenizer=rules.expressions,
        whole_chunks=tuple(never) if rules.whole_chunks else (),
        nfc=rules.nfc,
        **_ends(files, control, end_tokens, add_bos=False),
    )
    return model, config


def _byte_fallback(rules: Any, files: _Folder, end_tokens: Sequence[str]) -> tuple[bytes, TokenizerConfig]:
    """A tokenizer.json whose pieces are text: what a converter made of a SentencePiece model, turned back."""
    added = _added(files)
    table = _table(rules.vocabulary, added)
    rank, lost = vocabulary_proto.ranks(rules.merges), vocabulary_proto.unreachable(rules.merges)
    unknown = rules.vocabulary.get(rules.unknown)
    pieces: list[str] = []
    scores: list[float] = []
    types: list[int] = []
    for index, name in enumerate(table):
        kind = NORMAL
        if index == unknown:
            kind = UNKNOWN
        elif name is None or (len(name) > 1 and (name not in rank or name in lost)):
            kind = vocabulary_proto.UNUSED
        if name is not None and _is_byte(name):
            kind = BYTE
        elif index in added and kind != UNKNOWN:
            kind = CONTROL if added[index][1] else USER_DEFINED
        pieces.append(name or "")
        scores.append(-rank.get(name or "", -1) - 1)
        types.append(kind)
    size = len(pieces)
    if unknown is None:
        pieces.append(PLACEHOLDER + "unknown")
        scores.append(0)
        types.append(UNKNOWN)
    control = {n: i for i, (n, special) in added.items() if special and i != unknown}
    texts = [n for n, t in zip(pieces, types, strict=True) if t in {NORMAL, USER_DEFINED}]
    config = TokenizerConfig(
        kind="native",
        vocab_size=_size(size, files),
        unk_id=unknown,
        control_tokens=control,
        dummy_prefix=_prefix(files) if rules.prefixed else "none",
        prefix_unless_space=_metaspace(files) is not None,
        cut_before=vocabulary_proto.cuts(texts),
        **_ends(files, control, end_tokens, add_bos=False),
    )
    return vocabulary_proto.native_proto(pieces, scores, types), config


def _is_byte(name: str) -> bool:
    return len(name) == 6 and name.startswith("<0x") and name.endswith(">")


def _table(vocabulary: dict[str, int], added: dict[int, tuple[str, bool]]) -> list[str | None]:
    """Pieces by id; None where an id has none."""
    table: list[str | None] = [None] * (max([*vocabulary.values(), *added], default=-1) + 1)
    for name, index in vocabulary.items():
        table[index] = name
    for index, (name, _) in added.items():
        table[index] = name
    return table


def _size(pieces: int, files: _Folder) -> int:
    """How many ids the model's embedding has, at least one for each piece."""
    text = files.model.get("text_config")
    named = files.model.get("vocab_size") or (text.get("vocab_size") if isinstance(text, dict) else None)
    return max(pieces, named) if isinstance(named, int) else pieces


def _name(files: _Folder, key: str) -> str | None:
    """A special token's text from tokenizer_config.json or special_tokens_map.json."""
    for data in (files.settings, files.special):
        value = data.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value
    return None


def _ends(files: _Folder, control: dict[str, int], end_tokens: Sequence[str], *, add_bos: bool) -> dict[str, Any]:
    """`bos_id`, `add_bos` and `eos_ids`: the tokenizer's own, the model's, then the well-known names."""
    bos = control.get(_name(files, "bos_token") or "", files.model.get("bos_token_id"))
    first = _first_special(files.tokenizer)
    wanted = files.settings.get("add_bos_token")
    if wanted is None:
        wanted = first is not None and control.get(first) == bos if files.tokenizer else add_bos
    ends = [control.get(_name(files, "eos_token") or "")]
    for data in (files.generation, files.model):
        value = data.get("eos_token_id")
        ends += value if isinstance(value, list) else [value]
    ends += [control.get(name) for name in end_tokens]
    known = tuple(dict.fromkeys(i for i in ends if isinstance(i, int)))
    return {"bos_id": bos, "add_bos": bool(wanted) and bos is not None, "eos_ids": known}


def _first_special(tokenizer: dict[str, Any]) -> str | None:
    """The control token that tokenizer.json puts before a single text."""
    for step in tokenizer_json.steps(tokenizer.get("post_processor"), "processors"):
        template = step.get("single") if step["type"] == "TemplateProcessing" else None
        if template and "SpecialToken" in template[0]:
            return str(template[0]["SpecialToken"]["id"])
    return None


def _template(source: Path, files: _Folder) -> str | None:
    """The chat template: a file of its own or a key of tokenizer_config.json."""
    path = source / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path} can't be read: {error}") from error
    value = files.settings.get("chat_template")
    if isinstance(value, list):
        named = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None
