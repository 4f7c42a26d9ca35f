"""Reads `tokenizer.json`: pieces, merges and the steps before merging. Refuses steps that it can't reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import regex

from engine.convert.pre_tokenizers import GPT_2
from engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class BpeRules:
    """What a BPE tokenizer.json says."""

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    byte_level: bool
    expressions: tuple[str, ...]
    nfc: bool
    whole_chunks: bool
    """A chunk that is a piece becomes it without merging."""
    prefixed: bool
    """A space is put before text."""
    unknown: str | None


def read(data: dict[str, Any], path: Path) -> BpeRules:
    """The rules of a parsed tokenizer.json. Raises CheckpointError with the file named."""
    try:
        return _read(data)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}") from error


def _read(data: dict[str, Any]) -> BpeRules:
    model = data["model"]
    if model.get("type", "BPE") != "BPE":
        raise CheckpointError(f"only BPE vocabularies are known, this is {model.get('type')!r}")
    cutting, normalizing = steps(data.get("pre_tokenizer")), steps(data.get("normalizer"))
    byte_level = any(step["type"] == "ByteLevel" for step in cutting)
    nfc, prefixed = _normalizer(normalizing, byte_level=byte_level)
    vocabulary = {str(name): int(index) for name, index in model["vocab"].items()}
    if any(not 0 <= index < 2**24 for index in vocabulary.values()):
        raise CheckpointError("the vocabulary's ids are out of range")
    if not byte_level:
        prefixed = _adds_prefix(cutting) or prefixed
    return BpeRules(
        vocabulary=vocabulary,
        merges=[_pair(merge) for merge in model["merges"]],
        byte_level=byte_level,
        expressions=tuple(e for step in cutting if (e := _expression(step))) if byte_level else (),
        nfc=nfc,
        whole_chunks=bool(model.get("ignore_merges")),
        prefixed=prefixed,
        unknown=model.get("unk_token"),
    )


def steps(part: Any, key: str = "") -> list[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or post-processor, sequences unfolded."""
    if not isinstance(part, dict):
        return []
    if part.get("type") != "Sequence":
        return [part] if "type" in part else []
    inner = part.get(key) or part.get("pretokenizers") or part.get("normalizers") or part.get("processors") or []
    return [step for item in inner for step in steps(item, key)]


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge if isinstance(merge, list) else merge.split(" ")
    return str(left), str(right)


def _normalizer(normalizing: list[dict[str, Any]], *, byte_level: bool) -> tuple[bool, bool]:
    """Whether text is composed (NFC) and whether a space goes before it."""
    nfc = prefixed = False
    for step in normalizing:
        kind = step["type"]
        to_meta = kind == "Replace" and step.get("pattern") == {"String": " "} and step.get("content") == "▁"
        if kind == "NFC" and byte_level:
            nfc = True
        elif kind == "Prepend" and step.get("prepend") == "▁" and not byte_level:
            prefixed = True
        elif not (to_meta and not byte_level):
            raise CheckpointError(f"the normalizer step {kind!r} is not known")
    return nfc, prefixed


def _adds_prefix(cutting: list[dict[str, Any]]) -> bool:
    """Whether the steps put a space before text. Raises CheckpointError where they cut in ways not known."""
    prefixed = False
    for step in cutting:
        harmless = step["type"] == "Split" and step.get("pattern") == {"String": " "}
        if step["type"] == "Metaspace" and step.get("replacement") == "▁" and not step.get("split", True):
            prefixed = step.get("prepend_scheme", "always") != "never"
        elif not harmless:
            raise CheckpointError(f"the pre-tokenizer step {step['type']!r} is not known")
    return prefixed


def _expression(step: dict[str, Any]) -> str | None:
    """The expression of a step that cuts text; None for one that cuts nothing."""
    kind = step["type"]
    if kind == "ByteLevel":
        if step.get("add_prefix_space"):
            raise CheckpointError("a byte-level vocabulary that puts a space before text is not known")
        return GPT_2 if step.get("use_regex", True) else None
    if kind == "Digits":
        return r"\p{N}" if step.get("individual_digits") else r"\p{N}+"
    if kind != "Split":
        raise CheckpointError(f"the pre-tokenizer step {kind!r} is not known")
    pattern = step["pattern"]
    expression = pattern["Regex"] if "Regex" in pattern else regex.escape(pattern["String"])
    behavior, inverted = str(step.get("behavior")).lower(), bool(step.get("invert"))
    # Cutting away what does not match is the same where the expression matches everything, as these do.
    if behavior != "isolated" and not (behavior == "removed" and inverted):
        raise CheckpointError(f"cutting with {behavior!r} is not known")
    return _without_groups(str(expression))


def _without_groups(expression: str) -> str:
    """The expression with capturing groups made plain ones."""
    try:
        if regex.compile(expression).groups == 0:
            return expression
    except regex.error as error:
        raise CheckpointError(f"the expression {expression!r} is not valid: {error}") from error
    return str(regex.sub(r"(\\.|\[(?:\\.|[^\]\\])*\])|\((?!\?)", lambda m: m[1] or "(?:", expression))
