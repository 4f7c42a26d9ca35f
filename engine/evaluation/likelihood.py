"""What the probabilities of a text say: perplexity by token and by byte, and which ending a model finds likeliest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Likelihood:
    """A stretch of text as a model sees it."""

    logprob: float
    """Natural log-probability of the stretch."""
    tokens: int
    size: int
    """Bytes of UTF-8."""


def perplexity_by_token(parts: Sequence[Likelihood]) -> float:
    """exp of the mean loss a token: comparable between models of one vocabulary only. NaN of no tokens."""
    return _perplexity(parts, sum(part.tokens for part in parts))


def perplexity_by_byte(parts: Sequence[Likelihood]) -> float:
    """exp of the mean loss a byte: comparable between models of any vocabulary. NaN of no bytes."""
    return _perplexity(parts, sum(part.size for part in parts))


def bits_per_byte(parts: Sequence[Likelihood]) -> float:
    """log2 of the perplexity by byte. NaN of no bytes."""
    count = sum(part.size for part in parts)
    return -sum(part.logprob for part in parts) / count / math.log(2) if count else math.nan


def _perplexity(parts: Sequence[Likelihood], count: int) -> float:
    if not count:
        return math.nan
    loss = -sum(part.logprob for part in parts) / count
    return math.exp(loss) if loss < 700 else math.inf


def likeliest(logprobs: Sequence[float]) -> int:
    """Index of the likeliest ending as it stands, the first among equals: lm-evaluation-harness's `acc`."""
    return max(range(len(logprobs)), key=lambda i: logprobs[i])


def likeliest_by_length(logprobs: Sequence[float], endings: Sequence[str]) -> int:
    """The same with each log-probability divided by the ending's length, so that long ones have a chance: `acc_norm`.

    Lengths are in bytes of UTF-8; an empty ending counts as one byte.
    """
    return likeliest([value / max(1, len(text.encode())) for value, text in zip(logprobs, endings, strict=True)])
