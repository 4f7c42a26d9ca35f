"""How byte-level vocabularies cut text into chunks, by the names that GGUF files use."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import CheckpointError

GPT_2 = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SINGLE_DIGITS = r"\p{N}"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_QWEN_2 = _WORDS + r"|\p{N}" + _TAIL
_LLAMA_3 = _WORDS + r"|\p{N}{1,3}" + _TAIL


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """The rules of a family."""

    expressions: tuple[str, ...]
    """Each cuts what the one before it left; what an expression does not match stays a chunk too."""
    nfc: bool = False
    whole_chunks: bool = False
    """A chunk that is a piece becomes it, even if merging would not make it."""


_BY_NAME = {
    **dict.fromkeys(("default", "gpt-2", "phi-2", "olmo", "mpt"), PreTokenizer((GPT_2,))),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), PreTokenizer((_SINGLE_DIGITS, GPT_2))),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), PreTokenizer((_QWEN_2,), nfc=True)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3"), PreTokenizer((_LLAMA_3,), whole_chunks=True)),
}


def by_gguf_name(name: str) -> PreTokenizer:
    """The rules behind `tokenizer.ggml.pre`. Raises CheckpointError on a name that is not known."""
    try:
        return _BY_NAME[name]
    except KeyError as error:
        raise CheckpointError(
            f"the vocabulary is cut by rules called {name!r}, which are not known here",
            hint=f"Known are {', '.join(sorted(_BY_NAME))}. A folder with tokenizer.json carries its own rules.",
        ) from error
