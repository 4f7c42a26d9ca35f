"""Where the tokens of one forward pass stand in their sequences, and what each may look at.

Three layouts: one sequence that goes on (prefill and decode), many sequences of one new token each (decoding
together), and many short continuations of one prefix packed side by side without padding (scoring).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


class Layout(Protocol):
    """What the decoder asks of a layout."""

    @property
    def end(self) -> int:
        """One more than the highest position."""

    def select(self, table: Tensor) -> Tensor:
        """The rows of a table (P, D) for the new tokens' positions: (B or 1, T, D)."""

    def mask(self, keys: int, window: int | None) -> Tensor | None:
        """(B or 1, 1, T, S) booleans over S = `keys` entries of the cache; None: causal, nothing else to hide."""


class Consecutive:
    """T tokens that follow `start` earlier ones; the newest S positions are looked at."""

    def __init__(self, start: int, tokens: int, device: torch.device) -> None:
        self.start, self.tokens, self.device = start, tokens, device
        self.end = start + tokens
        self._masks: dict[tuple[int, int | None], Tensor | None] = {}

    def select(self, table: Tensor) -> Tensor:
        """(P, D) -> (1, T, D)."""
        return table[None, self.start : self.end]

    def mask(self, keys: int, window: int | None) -> Tensor | None:
        """(1, 1, T, S), made once for all layers of a kind."""
        if (keys, window) not in self._masks:
            self._masks[keys, window] = self._build(keys, window)
        return self._masks[keys, window]

    def _build(self, keys: int, window: int | None) -> Tensor | None:
        if self.tokens in (1, keys) and (window is None or keys <= window):
            return None
        query = torch.arange(self.start, self.end, device=self.device)
        key = torch.arange(self.end - keys, self.end, device=self.device)
        return _reach(query, key, window)[None, None]


class Rows:
    """One new token for each of B sequences of their own lengths; entry i of a row's cache is its position i."""

    def __init__(self, lengths: Tensor, end: int | None = None) -> None:
        """`lengths` (B,): positions filled before the new token. `end`: known to be beyond them; else they are read."""
        self.lengths = lengths
        self.end = int(lengths.max()) + 1 if end is None else end
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def select(self, table: Tensor) -> Tensor:
        """(P, D) -> (B, 1, D)."""
        return table[self.lengths].unsqueeze(1)

    def mask(self, keys: int, window: int | None) -> Tensor:
        """(B, 1, 1, S)."""
        if (keys, window) not in self._masks:
            key = torch.arange(keys, device=self.lengths.device)
            self._masks[keys, window] = _reach(self.lengths, key, window)[:, None, None]
        return self._masks[keys, window]


class Packed:
    """Stretches of tokens side by side, each going on after the prefix or after an earlier stretch.

    Each token sees the prefix, the stretches that its own goes on from, and its own up to itself: a tree of
    continuations in one sequence, computed as each branch would be alone (tree attention, arXiv 2305.09781).
    """

    def __init__(self, prefix: int, stretches: Sequence[tuple[int, int | None]], device: torch.device) -> None:
        """`prefix`: positions in the cache. `stretches`: tokens, and the index of the stretch gone on from."""
        self.prefix = prefix
        positions: list[Tensor] = []
        owners = list[int]()
        ancestors = torch.zeros(len(stretches), len(stretches), dtype=torch.bool)
        ends = list[int]()
        for index, (tokens, parent) in enumerate(stretches):
            start = prefix if parent is None else ends[parent]
            positions.append(torch.arange(start, start + tokens))
            ends.append(start + tokens)
            owners += [index] * tokens
            if parent is not None:
                ancestors[index] = ancestors[parent]
            ancestors[index, index] = True
        self._stretches = stretches
        self._starts = [end - tokens for end, (tokens, _) in zip(ends, stretches, strict=True)]
        self.positions = torch.cat(positions).to(device)  # (T,)
        owner = torch.tensor(owners)
        self._related = ancestors[owner][:, owner].to(device)  # (T, T)
        self.end = int(self.positions.max()) + 1
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def select(self, table: Tensor) -> Tensor:
        """(P, D) -> (1, T, D)."""
        return table[self.positions].unsqueeze(0)

    def seen(self) -> list[list[tuple[int, int, int]]]:
        """For each token what `mask` says, as ranges: first entry, one more than the last, position of the first. The
        prefix's entries come first, then one for each token."""
        rows: list[list[tuple[int, int, int]]] = []
        whole: list[list[tuple[int, int, int]]] = []
        for (tokens, parent), start in zip(self._stretches, self._starts, strict=True):
            before = [(0, self.prefix, 0)] if parent is None else whole[parent]
            entry = self.prefix + len(rows)
            rows += [[*before, (entry, entry + 1 + at, start)] for at in range(tokens)]
            whole.append([*before, (entry, entry + tokens, start)])
        return rows

    def mask(self, keys: int, window: int | None) -> Tensor:
        """(1, 1, T, S): the newest of the prefix, then the stretches."""
        if (keys, window) not in self._masks:
            held = keys - len(self.positions)
            before = torch.arange(self.prefix - held, self.prefix, device=self.positions.device)
            seen = _reach(self.positions, torch.cat((before, self.positions)), window)
            seen[:, held:] &= self._related
            self._masks[keys, window] = seen[None, None]
        return self._masks[keys, window]


def _reach(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    """Positions (T,) and (S,) -> (T, S): not in the future, and inside the window."""
    seen = key[None, :] <= query[:, None]
    if window is not None:
        seen &= key[None, :] > query[:, None] - window
    return seen
