"""Prefill and decode, yielding ids; and a naive cache-free twin that must yield the same.

Also scoring: the log-probabilities of given continuations. Text, stop strings and templates are not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.drafts import Drafts
    from engine.kv_cache import KVCache
    from engine.model import Decoder

PREFILL_CHUNK = 512
"""Tokens a prefill step: enough to keep the matrix units busy, few enough to be interrupted soon."""

CUDA_CHUNK = 2048
"""There, where a block's kernels run for less time than it takes to launch them."""

Sample = Callable[[Tensor, Sequence[int]], tuple[int, float]]
"""Logits (V,) and the ids generated so far -> an id and its log-probability."""


@dataclass(frozen=True, slots=True)
class Token:
    """One generated id, and its natural log-probability under the model."""

    id: int
    logprob: float


@dataclass(slots=True, eq=False)
class Drawing:
    """A sequence whose next ids are drawn: what computes and remembers, what draws, and what ends it."""

    model: Decoder
    cache: KVCache
    sample: Sample
    stop_ids: frozenset[int]
    ids: list[int] = field(default_factory=list)
    """Drawn so far."""


def chunk_for(device: torch.device) -> int:
    """Tokens of a prompt that are run at once."""
    return CUDA_CHUNK if device.type == "cuda" else PREFILL_CHUNK


@torch.inference_mode()
def prefill(model: Decoder, cache: KVCache, ids: Sequence[int], chunk: int | None = None) -> Iterator[Tensor]:
    """Add `ids` to the cache, yielding after each chunk the hidden state of its last token (1, 1, C)."""
    for part in _chunks(model, ids, chunk):
        yield model(part, cache, ends=[part.shape[1] - 1])


def _chunks(model: Decoder, ids: Sequence[int], chunk: int | None) -> Iterator[Tensor]:
    """Ids (1, T) that are run at once."""
    device = next(model.parameters()).device
    chunk = chunk or chunk_for(device)
    for start in range(0, len(ids), chunk):
        yield torch.tensor([ids[start : start + chunk]], device=device)


@torch.inference_mode()
def last_logits(model: Decoder, hidden: Tensor) -> Tensor:
    """Hidden states (1, T, C) -> logits (V,) after the last token."""
    return model.logits(hidden[0, -1])


@torch.inference_mode()
def logits_after(model: Decoder, cache: KVCache, prompt: Sequence[int]) -> Tensor:
    """Prefill what the cache lacks of `prompt` (its length says how much it has); the logits (V,) after all of it."""
    hidden = None
    for hidden in prefill(model, cache, prompt[cache.length :]):  # noqa: B007
        pass
    if hidden is None:
        told = f"{len(prompt)} tokens, {cache.length} held"
        raise ValueError(f"the prompt must be longer than what the cache holds, got {told}")
    return last_logits(model, hidden)


def decode(drawing: Drawing, logits: Tensor | None, drafts: Drafts | None = None) -> Generator[Token, None, None]:
    """Draw ids one by one, starting from the logits (V,) after the prompt, until a stop id or the context's end.

    The stop id is yielded as well. An id enters the cache only when the next one is asked for; with `drafts`, so do
    those that may follow it, and those that were not drawn leave it again. Drafts change no id: they need a model that
    gives each token the same among others as alone (`Decoder.steps_are_exact`). `logits` None: go on after the
    ids that were drawn before, all of which but the last the cache holds.
    """
    model, cache, ids = drawing.model, drawing.cache, drawing.ids
    device = next(model.parameters()).device
    if logits is None:
        with torch.inference_mode():
            logits = last_logits(model, model(torch.tensor([ids[-1:]], device=device), cache))
    rows, draft, seconds = logits[None], list[int](), 0.0
    while True:
        first = cache.length - len(draft)
        for at, row in enumerate(rows):
            token = Token(*drawing.sample(row, ids))
            ids.append(token.id)
            yield token
            if token.id in drawing.stop_ids or first + at >= model.config.max_context:
                return
            if drafts is not None:
                drafts.add(token.id)
            if at == len(draft) or draft[at] != token.id:
                break
        if draft:
            kept = cache.truncate(first + at)
            assert kept == first + at, "a window keeps more than a draft behind it"
        if drafts is not None:
            if seconds:
                drafts.judge(len(draft), at, seconds)
            room = model.config.max_context - cache.length - 1
            draft = drafts.propose()[: max(0, room)]
        begun = time.perf_counter()
        with torch.inference_mode():
            rows = model.next_logits(torch.tensor([[token.id, *draft]], device=device), cache)[0]
        seconds = time.perf_counter() - begun


def generate(
    model: Decoder, cache: KVCache, prompt: Sequence[int], sample: Sample, stop_ids: frozenset[int]
) -> Iterator[Token]:
    """Prefill what the cache lacks of `prompt`, then decode."""
    yield from decode(Drawing(model, cache, sample, stop_ids), logits_after(model, cache, prompt))


@torch.inference_mode()
def generate_naive(model: Decoder, prompt: Sequence[int], sample: Sample, stop_ids: frozenset[int]) -> Iterator[Token]:
    """The slow obvious twin of `generate`: no cache, everything again for each token."""
    ids = list(prompt)
    while True:
        logits = model.logits(model(torch.tensor([ids]))[0, -1])
        token = Token(*sample(logits, ids[len(prompt) :]))
        yield token
        if token.id in stop_ids or len(ids) >= model.config.max_context:
            return
        ids.append(token.id)


@torch.inference_mode()
def score(model: Decoder, cache: KVCache, prompt: Sequence[int], continuation: Sequence[int]) -> list[float]:
    """Log-probability of each id of `continuation` after `prompt`; the cache must hold less than all of the prompt.

    Afterwards the cache holds the prompt and all of the continuation but its last id.
    """
    ids = [*prompt, *continuation]
    first = len(prompt) - 1  # the position whose logits predict the continuation's first id
    logprobs: list[float] = []
    for part in _chunks(model, ids[cache.length : -1], PREFILL_CHUNK):  # whose logits take memory
        begin, tokens = cache.length, part.shape[1]
        asked = list(range(max(first - begin, 0), tokens))
        hidden = model(part, cache, ends=asked)[0]
        if not asked:
            continue
        logits = model.logits(hidden).float()
        targets = torch.tensor(ids[begin + asked[0] + 1 : begin + tokens + 1], device=logits.device)
        logprobs += (logits.gather(1, targets[:, None]).squeeze(1) - logits.logsumexp(1)).tolist()
    return logprobs


@torch.inference_mode()
def score_all(
    model: Decoder, cache: KVCache, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """`score` of each continuation, with the prompt run once: those of one id cost nothing more.

    The cache must hold less than all of the prompt; afterwards it holds the prompt and nothing after it, unless a
    sliding window has moved past the prompt's end: then it holds less.
    """
    first = logits_after(model, cache, prompt).float().log_softmax(0)
    rows = []
    for ids in continuations:
        row = [first[id_].item() for id_ in ids[:1]]
        if len(ids) > 1:
            cache.truncate(len(prompt))
            row += score(model, cache, [*prompt, ids[0]], ids[1:])
        rows.append(row)
    cache.truncate(len(prompt))
    return rows
