"""An n-gram language model with interpolated, modified Kneser-Ney smoothing (Chen & Goodman 1999), as sorted arrays.

Token ids of an n-gram are packed into one integer of 64 bits, so that counting is sorting and looking up is searching.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Keys = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Order:
    """The n-grams of one length, and the contexts that they begin with."""

    grams: Keys
    left: Floats
    """Of each n-gram: its discounted share of its context's count."""
    contexts: Keys
    spread: Floats
    """Of each context: the share that the discounts leave to shorter contexts."""


class NGramModel:
    """Probabilities of each of `vocabulary` ids after up to `order` - 1 others; none is zero."""

    def __init__(self, orders: Sequence[_Order], bits: int, vocabulary: int) -> None:
        self._orders, self._bits, self._vocabulary = orders, bits, vocabulary

    @classmethod
    def train(cls, ids: Sequence[int], vocabulary: int, order: int = 4) -> Self:
        """From the ids, each below `vocabulary`, of texts in a row. Raises ValueError if packed n-grams don't fit."""
        bits = (vocabulary - 1).bit_length()
        if order * bits > 63:
            raise ValueError(f"{order}-grams of {vocabulary} ids don't fit into 63 bits")
        if len(ids) < order:
            raise ValueError(f"{len(ids)} tokens are too few for {order}-grams")
        stream = np.asarray(ids, np.int64)
        grams, counts = np.unique(_packed(stream, order, bits)[order - 1 :], return_counts=True)
        orders = [_smoothed(grams, counts, bits)]
        for length in range(order - 1, 0, -1):
            # A shorter n-gram counts once for each different token before it: San Francisco is frequent, Francisco
            # is a likely word after San alone.
            grams, counts = np.unique(grams & ((1 << bits * length) - 1), return_counts=True)
            orders.append(_smoothed(grams, counts, bits))
        return cls(orders[::-1], bits, vocabulary)

    def logprobs(self, ids: Sequence[int]) -> Floats:
        """Natural log-probability of each id after those before it. (N,)"""
        stream = np.asarray(ids, np.int64)
        found = np.full(len(stream), 1 / self._vocabulary)
        for length, order in enumerate(self._orders, 1):
            keys = _packed(stream, length, self._bits)[length - 1 :]
            shorter = found[length - 1 :]
            spread = _looked_up(keys >> self._bits, order.contexts, order.spread, missing=1.0)
            found[length - 1 :] = _looked_up(keys, order.grams, order.left, missing=0.0) + spread * shorter
        return np.log(found)


def _packed(stream: Keys, length: int, bits: int) -> Keys:
    """The n-gram that ends at each position; the first `length` - 1 are shorter than they should be."""
    keys = np.zeros(len(stream), np.int64)
    for back in range(min(length, len(stream))):
        keys[back:] |= stream[: len(stream) - back] << bits * back
    return keys


def _smoothed(grams: Keys, counts: Keys, bits: int) -> _Order:
    discounts = _discounts(counts)
    contexts, starts = np.unique(grams >> bits, return_index=True)
    totals = np.add.reduceat(counts, starts).astype(np.float64)
    taken = discounts[np.minimum(counts, 3)]
    sizes = np.diff(np.append(starts, len(grams)))
    return _Order(
        grams=grams,
        left=(counts - taken) / np.repeat(totals, sizes),
        contexts=contexts,
        spread=np.add.reduceat(taken, starts) / totals,
    )


def _discounts(counts: Keys) -> Floats:
    """What is taken off counts of 1, 2 and 3 or more (at 1, 2, 3); from how many n-grams occur one to four times."""
    n = [max(1, int((counts == times).sum())) for times in range(1, 5)]
    share = n[0] / (n[0] + 2 * n[1])
    wanted = [times - (times + 1) * share * n[times] / n[times - 1] for times in range(1, 4)]
    # Few n-grams can ask for less than nothing, or for more than there is, which would leave zero for an n-gram seen.
    return np.array([0.0, *(min(max(value, 0.1), times - 0.1) for times, value in enumerate(wanted, 1))])


def _looked_up(keys: Keys, table: Keys, values: Floats, missing: float) -> Floats:
    places = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[places] == keys, values[places], missing)
