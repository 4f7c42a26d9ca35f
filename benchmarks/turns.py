"""How an engine under measure is asked, and what all of them are given. The peer's environment runs this file too.

Engines stay loaded and take turns within seconds, as a machine's speed changes within minutes.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DECODED = 32
"""Tokens of a turn of decoding."""
DEEPEST = 8192


def ids_of(count: int) -> list[int]:
    """The same ids for everybody; what they say does not matter for time."""
    return [(7919 * i) % 40_000 + 100 for i in range(count)]


def answer(load: Callable[[], Any]) -> None:
    """Load an engine, print the seconds that took, then answer each line `MEASURE ARGUMENT` with a number."""
    begun = time.perf_counter()
    engine = load()
    engine.prefill(64)  # first products choose their ways
    print(json.dumps(time.perf_counter() - begun), flush=True)
    for line in sys.stdin:
        name, _, argument = line.strip().partition(" ")
        value = getattr(engine, name)(int(argument) if argument.isdigit() else argument)
        print(json.dumps(value), flush=True)


def divergence(float_logits: Any, logits: Any) -> float:
    """Mean Kullback-Leibler divergence from the float model's predictions, (T, V) each."""
    import numpy

    def log_softmax(x: Any) -> Any:
        x = x.astype(numpy.float64)
        x -= x.max(1, keepdims=True)
        return x - numpy.log(numpy.exp(x).sum(1, keepdims=True))

    p, q = log_softmax(float_logits), log_softmax(logits)
    return float((numpy.exp(p) * (p - q)).sum(1).mean())
