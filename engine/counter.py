"""A model's tokenizer alone: counting and showing tokens, without weights and without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TextCounter:
    """What can be told of a text before a model reads it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """How many tokens a text is."""
        return len(self._tokenizer.encode(text))

    def token_bytes(self, id_: int) -> bytes:
        """The bytes that a token stands for."""
        return self._tokenizer.token_bytes(id_)

    def pieces(self, text: str) -> list[tuple[int, str, bytes]]:
        """Each token's id, readable piece and bytes."""
        tokenizer = self._tokenizer
        return [(id_, tokenizer.piece(id_), tokenizer.token_bytes(id_)) for id_ in tokenizer.encode(text)]


def load_tokenizer(folder: Path) -> TextCounter:
    """The tokenizer of a model folder, without its weights."""
    return TextCounter(Tokenizer.load(folder))


def with_controls(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """A text with its control tokens shown by name."""
    names = {id_: name for name, id_ in tokenizer.control_tokens.items()}
    text, run = "", list[int]()
    for id_ in ids:
        if id_ in names:
            text += tokenizer.decode(run, continuing=True) + names[id_]
            run = []
        else:
            run.append(id_)
    return text + tokenizer.decode(run, continuing=True)
