"""Plain texts as what a model is trained on from nothing: one stream of tokens, and each text's end to measure with."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import torch

from engine.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from engine.schema import Document
    from engine.tokenizer import Tokenizer

AT_ONCE = 1 << 16
"""Characters that are encoded together."""


def split(text: str, share: float) -> tuple[str, str]:
    """A text, and so large a share of it at its end; a line is in one of the two."""
    at = round(len(text) * (1 - share))
    line = text.rfind("\n", 0, at) + 1
    at = line or at
    return text[:at], text[at:]


class Corpus:
    """What is trained on, in windows of `length` tokens, and what is held out."""

    def __init__(self, documents: Sequence[Document], tokenizer: Tokenizer, share: float, length: int) -> None:
        """Raises InputError for texts with less than a window to train on, or nothing to measure with."""
        self.tokenizer, self.length = tokenizer, length
        parts = [split(document.text, share) for document in documents]
        self.held_text = "\n".join(held.strip("\n") for _, held in parts) + "\n"
        ids: list[int] = []
        for text, _ in parts:
            ids += [*encode(tokenizer, text), end_of(tokenizer)]
        self.stream = torch.tensor(ids, dtype=torch.int32)
        held = encode(tokenizer, self.held_text)
        self.held = [held[at : at + length] for at in range(0, len(held), length)]
        if len(ids) < length or len(held) < 2:
            raise InputError(
                f"the texts have {len(ids)} tokens to train on and {len(held)} to measure with, "
                f"expected at least {length} and 2",
                hint="give more text, or a shorter context",
            )
        self.digest = hashlib.sha256(self.stream.numpy().tobytes() + repr(held).encode()).hexdigest()

    @property
    def windows(self) -> int:
        """Of an epoch."""
        return max(1, (len(self.stream) - 1) // self.length)

    @property
    def held_tokens(self) -> int:
        """Tokens that are measured."""
        return sum(len(window) for window in self.held)

    @property
    def held_bytes(self) -> int:
        """Bytes of UTF-8 that are measured."""
        return len(self.held_text.encode())

    def epoch(self, number: int, seed: int) -> list[int]:
        """Where the windows of an epoch begin, in its order; each epoch cuts the stream elsewhere."""
        draw = random.Random(f"{seed} {number}")
        shift = draw.randint(0, len(self.stream) - self.windows * self.length)
        starts = [shift + at * self.length for at in range(self.windows)]
        draw.shuffle(starts)
        return starts

    def batch(self, starts: Sequence[int]) -> Tensor:
        """(B, length + 1): each window after the token that begins every text, as the model will be asked."""
        begin = torch.full((len(starts), 1), begin_of(self.tokenizer), dtype=torch.int64)
        rows = torch.stack([self.stream[start : start + self.length].long() for start in starts])
        return torch.cat((begin, rows), 1)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """A long text's tokens, encoded in stretches that end with a line."""
    ids: list[int] = []
    start = 0
    while start < len(text):
        end = start + AT_ONCE
        end = text.rfind("\n", start, end) + 1 if end < len(text) else len(text)
        end = end if end > start else start + AT_ONCE
        ids += tokenizer.encode(text[start:end])
        start = end
    return ids


def begin_of(tokenizer: Tokenizer) -> int:
    """The token before every text."""
    assert tokenizer.bos_id is not None
    return tokenizer.bos_id


def end_of(tokenizer: Tokenizer) -> int:
    """The token between texts."""
    return tokenizer.control_tokens["</s>"]
