"""Generation with a cache gives what the naive twin gives, and scoring what generating said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from toy_decoders import CONFIGS, SIZE, decoder, some_ids, windowed

from engine.config import ModelConfig, SamplingConfig
from engine.generate import Token, generate, generate_naive, prefill, score
from engine.kv_cache import KVCache
from engine.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.model import Decoder

MODELS = {name: decoder(config) for name, config in CONFIGS.items()} | {"one-window": decoder(windowed(3, ("local",)))}
NEVER: frozenset[int] = frozenset()
DRAWN = SamplingConfig(temperature=1.0, top_k=20, top_p=0.95, min_p=0.01, repetition_penalty=1.2, seed=3)


def take(tokens: Iterator[Token], count: int) -> list[Token]:
    return [token for token, _ in zip(tokens, range(count), strict=False)]


def fast(
    model: Decoder, prompt: list[int], config: SamplingConfig, count: int, stop: frozenset[int] = NEVER
) -> list[Token]:
    return take(generate(model, KVCache(model.config), prompt, Sampler(config), stop), count)


def naive(
    model: Decoder, prompt: list[int], config: SamplingConfig, count: int, stop: frozenset[int] = NEVER
) -> list[Token]:
    return take(generate_naive(model, prompt, Sampler(config), stop), count)


@pytest.mark.parametrize("config", [SamplingConfig(), DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("length", [1, 2, 23])
@pytest.mark.parametrize("name", MODELS)
def test_the_cache_changes_no_token_and_no_probability(name: str, length: int, config: SamplingConfig) -> None:
    prompt = some_ids(length)
    ours, theirs = fast(MODELS[name], prompt, config, 40), naive(MODELS[name], prompt, config, 40)
    assert [token.id for token in ours] == [token.id for token in theirs]
    assert [token.logprob for token in ours] == pytest.approx([token.logprob for token in theirs], abs=1e-4)
    assert len({token.id for token in ours}) > 5 or config.temperature == 0


@pytest.mark.parametrize("name", MODELS)
def test_scoring_says_what_generating_said(name: str) -> None:
    model, prompt = MODELS[name], some_ids(12)
    tokens = fast(model, prompt, DRAWN, 30)
    scores = score(model, KVCache(model.config), prompt, [token.id for token in tokens])
    assert scores == pytest.approx([token.logprob for token in tokens], abs=1e-4)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 5), (5, 1), (511, 4), (512, 3), (513, 2), (700, 600)])
def test_scoring_equals_the_log_softmax_of_one_pass_wherever_the_chunks_end(before: int, after: int) -> None:
    model = MODELS["windowed"]
    ids = some_ids(before + after)
    with torch.inference_mode():
        table = model.logits(model(torch.tensor([ids]))[0]).log_softmax(-1)
    expected = [float(table[at - 1, ids[at]]) for at in range(before, len(ids))]
    cache = KVCache(model.config)
    assert score(model, cache, ids[:before], ids[before:]) == pytest.approx(expected, abs=2e-4)
    assert cache.length == len(ids) - 1


@pytest.mark.parametrize("cached", [0, 1, 10, 19])
def test_scoring_goes_on_from_what_the_cache_holds(cached: int) -> None:
    model, prompt, continuation = MODELS["plain"], some_ids(20), some_ids(7, seed=9)
    expected = score(model, KVCache(model.config), prompt, continuation)
    cache = KVCache(model.config)
    for _ in prefill(model, cache, prompt[:cached]):
        pass
    assert score(model, cache, prompt, continuation) == pytest.approx(expected, abs=1e-4)


def test_scoring_nothing_gives_nothing() -> None:
    assert score(MODELS["plain"], KVCache(MODELS["plain"].config), some_ids(5), []) == []


def test_a_stop_id_is_yielded_and_ends_it() -> None:
    model, prompt = MODELS["plain"], some_ids(4)
    free = [token.id for token in fast(model, prompt, DRAWN, 60)]
    stop = frozenset({free[20], free[33]})
    first = next(i for i, id_ in enumerate(free) if id_ in stop)
    for way in (fast, naive):
        assert [token.id for token in way(model, prompt, DRAWN, 60, stop)] == free[: first + 1]


@pytest.mark.parametrize("length", [1, 15, 16])
def test_it_ends_where_the_context_ends(length: int) -> None:
    model = decoder(ModelConfig(**SIZE | {"max_context": 16}, num_layers=1))
    for way in (fast, naive):
        assert len(way(model, some_ids(length), DRAWN, 99)) == 16 - length + 1


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    model, prompt = MODELS["windowed"], some_ids(6)
    config = SamplingConfig(temperature=1.0, seed=1)
    assert fast(model, prompt, config, 30) == fast(model, prompt, config, 30)
    assert fast(model, prompt, config, 30) != fast(model, prompt, SamplingConfig(temperature=1.0, seed=2), 30)


def test_a_prompt_that_is_all_in_the_cache_is_refused() -> None:
    model, cache = MODELS["plain"], KVCache(MODELS["plain"].config)
    for _ in prefill(model, cache, [1, 2, 3]):
        pass
    with pytest.raises(ValueError, match="longer than what the cache holds"):
        next(generate(model, cache, [1, 2, 3], Sampler(SamplingConfig()), NEVER))


@pytest.mark.parametrize("chunk", [1, 3, 512])
def test_prefill_yields_the_last_hidden_state_of_every_chunk(chunk: int) -> None:
    model, ids = MODELS["biased"], some_ids(20)
    hidden = torch.cat(list(prefill(model, KVCache(model.config), ids, chunk)), 1)
    ends = [min(start + chunk, 20) - 1 for start in range(0, 20, chunk)]
    with torch.inference_mode():
        torch.testing.assert_close(hidden, model(torch.tensor([ids]))[:, ends], rtol=1e-4, atol=1e-4)
