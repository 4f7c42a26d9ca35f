"""Many sequences at once: decoding rows together, and scoring continuations packed side by side.

A step reads all weights once, however many rows it serves, and packed stretches need no padding. The twins that take
one sequence after the other are in `engine.generate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from engine.alike import common_prefix_length
from engine.errors import EngineError
from engine.fixed_step import FixedSteps
from engine.generate import Drawing, Sample, Token, prefill, score_all
from engine.kernels import graph
from engine.layout import Packed
from engine.row_cache import RowCache
from engine.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from torch import Tensor

    from engine.kv_cache import KVCache
    from engine.model import Decoder

PACK = 512
"""Tokens of a packed pass: enough to keep the matrix units busy, few enough to be interrupted soon."""


@dataclass(slots=True, eq=False)
class Row:
    """A sequence that decodes among others."""

    index: int
    """What its caller calls it."""
    sample: Sample
    ids: list[int] = field(default_factory=list)
    """Drawn so far."""


class Together:
    """Rows that decode in step; they join after their prefill and leave when their caller has enough."""

    def __init__(self, model: Decoder, cache: RowCache, capacity: int) -> None:
        self._model, self._cache, self._capacity = model, cache, capacity
        self._device = next(model.parameters()).device
        self._fixed = FixedSteps(model, cache) if graph.has_graphs(self._device) else None
        self.rows: list[Row] = []
        """In the order of the cache's rows."""

    @property
    def full(self) -> bool:
        """Whether no row is free."""
        return len(self.rows) == self._capacity

    def fits(self, model: Decoder, cache: KVCache) -> bool:
        """Whether it was made for this model, and for such a cache."""
        return model is self._model and self._cache.buffers[0].dtype == cache.dtype

    @property
    def longest(self) -> int:
        """Positions filled in the longest row."""
        return max(self._cache.lengths)

    @torch.inference_mode()
    def join(self, row: Row, cache: KVCache, logits: Tensor) -> Token:
        """Take a row in after its prefill into `cache`, from the logits (V,) after it; draws its first token."""
        self.enter(row, cache)
        return _draw(row, logits)

    def enter(self, row: Row, cache: KVCache) -> None:
        """Take in a row that has drawn tokens alone; the cache of its own holds all of them but the last."""
        self._cache.add(cache)
        self.rows.append(row)

    def room_for(self, cache: KVCache, most_bytes: int) -> bool:
        """Whether a row with this cache can join, and all rows then take no more memory than that."""
        return not self.full and self._cache.bytes_with(cache.length) <= most_bytes

    @torch.inference_mode()
    def step(self) -> list[tuple[Row, Token | EngineError]]:
        """The next token of every row, or why none could be drawn, which is no matter of the other rows."""
        logits = self._logits([row.ids[-1] for row in self.rows])
        greedy = [isinstance(row.sample, Sampler) and row.sample.takes_best(row.ids) for row in self.rows]
        best = self._fixed.best() if self._fixed is not None and any(greedy) else None
        drawn: list[tuple[Row, Token | EngineError]] = []
        for at, row in enumerate(self.rows):
            try:
                token = _draw(row, logits[at]) if best is None or not greedy[at] else _take(row, best[at])
            except EngineError as error:  # its schema could not be followed, for one
                drawn.append((row, error))
            else:
                drawn.append((row, token))
        return drawn

    def _logits(self, last: list[int]) -> Tensor:
        """(B, V)."""
        if self._fixed is not None:
            return self._fixed.logits(last)
        ids = torch.tensor(last, device=self._device)[:, None]
        return self._model.next_logits(ids, self._cache)[:, 0]

    def leave(self, row: Row, cache: KVCache | None = None) -> None:
        """Give a row's place free; a cache that holds its beginning receives the rest."""
        at = self.rows.index(row)
        try:
            if cache is not None:
                self._cache.give(at, cache)
        finally:  # there may be no memory for it
            self._cache.drop(at)
            last = self.rows.pop()
            if last is not row:
                self.rows[at] = last


def decode_in_row(
    drawing: Drawing, logits: Tensor | None, returns: Callable[[], bool] = lambda: True
) -> Generator[Token, None, None]:
    """As `engine.generate.decode`, in a row of its own: for devices whose steps are of fixed shapes.

    The cache receives what was computed here once this ends or is closed, if it then still `returns` to this sequence.
    """
    model, cache, ids = drawing.model, drawing.cache, drawing.ids
    # One that is done leaves its captured steps to the next: a short reply takes less time than they do.
    rows = model.spare.pop() if model.spare else None
    if not isinstance(rows, Together) or not rows.fits(model, cache):
        rows = Together(model, RowCache(model.config, 1, dtype=cache.dtype, device=cache.device), 1)
    row = Row(0, drawing.sample, ids)
    try:
        if logits is None:
            rows.enter(row, cache)
        else:
            yield rows.join(row, cache, logits)
        while ids[-1] not in drawing.stop_ids and rows.longest < model.config.max_context:
            ((_, token),) = rows.step()
            if isinstance(token, EngineError):
                raise token
            yield token
    finally:
        if row in rows.rows:  # else it could not be taken in, and the rows are good for nobody
            rows.leave(row, cache if returns() else None)
            model.spare[:] = [rows]


def _draw(row: Row, logits: Tensor) -> Token:
    """The next token of a row from its logits (V,). Raises EngineError where its schema can't be followed."""
    return _take(row, row.sample(logits, row.ids))


def _take(row: Row, drawn: tuple[int, float]) -> Token:
    token = Token(*drawn)
    row.ids.append(token.id)
    return token


def shared_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """What all prompts begin with, less than all of the shortest."""
    first, last = min(prompts), max(prompts)
    return first[: common_prefix_length(first[:-1], last[:-1])]


def score_packed(
    model: Decoder,
    cache: KVCache,
    prefix: Sequence[int],
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
) -> Generator[list[list[float]], None, None]:
    """For each prompt, in order, the log-probability of each id of each continuation.

    The prompts begin with `prefix`, which is prefilled once, and are longer than it; the cache may hold its beginning.
    Afterwards the cache holds the prefix or less.
    """
    for hidden in prefill(model, cache, prefix[cache.length :]):
        del hidden
    pack: list[Sequence[int]] = []
    branches = sum(max(0, len(ids) - 1) for ids in continuations)
    tokens = 0
    for prompt in prompts:
        rest = prompt[len(prefix) :]
        if pack and tokens + len(rest) + branches > PACK:
            yield from _score_pack(model, cache, prefix, pack, continuations)
            pack, tokens = [], 0
        if len(rest) + branches > PACK:
            scores = score_all(model, cache, prompt, continuations)
            cache.truncate(len(prefix))
            yield scores
        else:
            pack.append(rest)
            tokens += len(rest) + branches
    if pack:
        yield from _score_pack(model, cache, prefix, pack, continuations)


@torch.inference_mode()
def _score_pack(
    model: Decoder,
    cache: KVCache,
    prefix: Sequence[int],
    pack: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
) -> Iterator[list[list[float]]]:
    """One pass: each prompt's rest is a stretch, and each continuation but its last id goes on from it."""
    if cache.truncate(len(prefix)) < len(prefix):
        for _ in prefill(model, cache, prefix[cache.length :]):
            pass
    stretches: list[tuple[int, int | None]] = []
    ids: list[int] = []
    asked: list[int] = []
    """Positions in the pass whose logits are needed: each prompt's end, then its branches."""
    for rest in pack:
        parent = len(stretches)
        stretches.append((len(rest), None))
        ids += rest
        asked.append(len(ids) - 1)
        for continuation in continuations:
            if len(continuation) > 1:
                stretches.append((len(continuation) - 1, parent))
                asked += range(len(ids), len(ids) + len(continuation) - 1)
                ids += continuation[:-1]
    device = next(model.parameters()).device
    layout = Packed(len(prefix), stretches, device)
    hidden = model(torch.tensor([ids], device=device), cache, layout, asked)[0]  # (R, C)
    cache.truncate(len(prefix))
    logprobs = model.logits(hidden).float().log_softmax(-1)
    at = 0
    for _ in pack:
        first = logprobs[at]
        at += 1
        rows = []
        for continuation in continuations:
            row = [first[id_].item() for id_ in continuation[:1]]
            for id_ in continuation[1:]:
                row.append(logprobs[at, id_].item())
                at += 1
            rows.append(row)
        yield rows
