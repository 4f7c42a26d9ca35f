"""The KV cache gives what a pass over everything gives, whatever is cut, forgotten, moved or interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupts import interrupted
from toy_decoders import BIASED, CONFIGS, PLAIN, decoder, some_ids, windowed

from engine import kv_cache
from engine.kv_cache import KVCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.config import ModelConfig
    from engine.model import Decoder

MODELS = {name: decoder(config) for name, config in CONFIGS.items()}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that grow and windows that move after a few tokens, not after hundreds."""
    monkeypatch.setattr(kv_cache, "STEP", 4)


@torch.inference_mode()
def whole(model: Decoder, ids: Sequence[int]) -> torch.Tensor:
    """(T, V) without a cache."""
    return model.logits(model(torch.tensor([list(ids)])))[0]


@torch.inference_mode()
def feed(model: Decoder, cache: KVCache, ids: Sequence[int], sizes: Sequence[int]) -> torch.Tensor:
    """(T, V) of tokens fed in pieces of these sizes, repeated as often as needed."""
    rows, at, turn = [], 0, 0
    while at < len(ids):
        piece = ids[at : at + sizes[turn % len(sizes)]]
        rows.append(model.logits(model(torch.tensor([list(piece)]), cache))[0])
        at, turn = at + len(piece), turn + 1
    return torch.cat(rows)


def close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


sizes_of_pieces = st.lists(st.integers(1, 17), min_size=1, max_size=6)


@settings(max_examples=60)
@given(window=st.integers(1, 12), length=st.integers(1, 90), sizes=sizes_of_pieces)
def test_a_rolling_window_equals_masked_attention_over_everything(window: int, length: int, sizes: list[int]) -> None:
    kv_cache.STEP = 4  # hypothesis runs many examples in one test: the fixture's value holds for all
    model = decoder(windowed(window))
    ids = some_ids(length, seed=length)
    close(feed(model, KVCache(model.config), ids, sizes), whole(model, ids))


@settings(max_examples=60)
@given(window=st.one_of(st.none(), st.integers(1, 9)), sizes=st.lists(st.integers(1, 14), min_size=1, max_size=12))
def test_what_is_stored_is_what_comes_back_oldest_first(window: int | None, sizes: list[int]) -> None:
    config = windowed(window, ("local",)) if window else PLAIN
    cache, draw = KVCache(config), torch.Generator().manual_seed(0)
    everything = torch.empty(2, 1, 2, 0, 8)
    for size in sizes:
        new = torch.randn(2, 1, 2, size, 8, generator=draw)
        everything = torch.cat((everything, new), 3)
        keys, values = cache.append(0, new[0], new[1])
        cache.advance(size)
        seen = everything.shape[3] if window is None else min(everything.shape[3], window - 1 + size)
        assert torch.equal(keys, everything[0, :, :, everything.shape[3] - seen :])
        assert torch.equal(values, everything[1, :, :, everything.shape[3] - seen :])


@settings(max_examples=60)
@given(window=st.integers(1, 9), length=st.integers(2, 50), data=st.data())
def test_after_forgetting_the_rest_is_as_if_it_had_never_been(window: int, length: int, data: st.DataObject) -> None:
    model = decoder(windowed(window))
    cache = KVCache(model.config)
    ids = some_ids(length, seed=7)
    feed(model, cache, ids, data.draw(sizes_of_pieces))
    wanted = data.draw(st.integers(0, length + 3))
    kept = cache.truncate(wanted)
    assert kept == cache.length
    assert kept in {0, min(wanted, length)}
    other = ids[:kept] + some_ids(20, seed=8)
    close(feed(model, cache, other[kept:], data.draw(sizes_of_pieces)), whole(model, other)[kept:])


def test_a_window_that_has_moved_on_is_given_up_and_one_that_has_not_is_kept() -> None:
    model = decoder(windowed(5))
    cache = KVCache(model.config)
    feed(model, cache, some_ids(60), [1])
    assert cache.truncate(20) == 0
    assert cache.length == 0
    feed(model, cache, some_ids(8), [1])
    assert cache.truncate(3) == 3
    plain = KVCache(PLAIN)
    feed(MODELS["plain"], plain, some_ids(60), [7])
    assert plain.truncate(1) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_the_last_few_tokens_can_always_be_taken_back(size: int) -> None:
    """However the window has just moved, half a step of tokens can go."""
    model = decoder(windowed(5))
    for length in range(20, 40):
        cache = KVCache(model.config)
        feed(model, cache, some_ids(length), [size])
        assert cache.truncate(length - 2) == length - 2, length


@pytest.mark.parametrize("name", MODELS)
def test_real_steps_and_thousands_of_positions_agree_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "STEP", 512)
    ids = some_ids(1_300)
    expected = whole(MODELS[name], ids)
    close(feed(MODELS[name], KVCache(CONFIGS[name]), ids, [512, 1, 700, 1, 1, 85]), expected)


def test_growing_keeps_what_was_there_and_counts_its_bytes() -> None:
    model = MODELS["plain"]
    cache = KVCache(PLAIN)
    layer = 2 * PLAIN.num_kv_heads * PLAIN.head_dim * 4  # bytes a position
    assert cache.nbytes == PLAIN.num_layers * layer * 4
    ids = some_ids(30)
    first = feed(model, cache, ids[:10], [3])
    assert cache.nbytes == PLAIN.num_layers * layer * 12
    rest = feed(model, cache, ids[10:], [1])
    assert cache.nbytes == PLAIN.num_layers * layer * 32
    close(torch.cat((first, rest)), whole(model, ids))


def test_local_layers_stay_small_however_long_the_text() -> None:
    config = windowed(6, ("local", "local"))
    cache = KVCache(config, dtype=torch.bfloat16)
    size = cache.nbytes
    assert size == 2 * 2 * config.num_kv_heads * config.head_dim * 2 * (6 + 4)
    feed(decoder(config), cache, some_ids(500), [3])
    assert cache.nbytes == size
    assert cache.length == 500


class Stopped(Exception):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("config", [PLAIN, BIASED, windowed(5)], ids=["plain", "biased", "windowed"])
@pytest.mark.parametrize("at_layer", [0, 2])
@pytest.mark.parametrize("length", [3, 10, 24])
def test_a_pass_that_broke_off_in_the_middle_is_mended_by_truncating(
    config: ModelConfig, at_layer: int, length: int
) -> None:
    """Some layers have stored the tokens, others have not, and windows have moved: nothing of it may show."""
    model = decoder(config)
    cache = KVCache(config)
    ids = some_ids(40)
    feed(model, cache, ids[:length], [6])

    def stop(*_: object) -> None:
        raise Stopped

    hook = model.layers[min(at_layer, config.num_layers - 1)].register_forward_hook(stop)
    for piece in ([4, 5, 6], [7], list(range(11))):
        with pytest.raises(Stopped), torch.inference_mode():
            model(torch.tensor([piece]), cache)
        assert cache.truncate(cache.length) == length
    hook.remove()
    close(feed(model, cache, ids[length:], [1, 5]), whole(model, ids)[length:])


def test_half_precision_caches_stay_close() -> None:
    """bfloat16 keeps 8 bits of keys and values: logits of unit size move by a few hundredths at most."""
    ids = some_ids(60)
    for name, model in MODELS.items():
        found = feed(model, KVCache(CONFIGS[name], dtype=torch.bfloat16), ids, [20, 1])
        expected = whole(model, ids)
        assert float((found - expected).abs().mean()) < 0.02 * float(expected.std())


@pytest.mark.parametrize("length", [3, 11, 30])
def test_a_ctrl_c_at_any_line_leaves_nothing_that_is_wrongly_taken_for_held(length: int) -> None:
    """Such as between the keys that were moved and their values: the next prompt would be answered from noise."""
    config = windowed(5, ("local", "global"))
    new = torch.randn(2, 2, 1, 2, length + 16, 8, generator=torch.Generator().manual_seed(0))

    def fed(cache: KVCache, end: int, piece: int) -> None:
        while cache.length < end:
            size = min(piece, end - cache.length)
            stretch = slice(cache.length, cache.length + size)
            for layer in range(2):
                cache.append(layer, *new[layer, :, :, :, stretch])
            cache.advance(size)

    for stop in range(2_000):
        cache = KVCache(config)
        fed(cache, length, piece=3)
        done = not interrupted("kv_cache.py", stop, lambda: (fed(cache, length + 8, piece=4), cache.truncate(0)))  # noqa: B023
        kept = cache.truncate(length)
        for layer in range(2):
            keys, values, first = cache.held(layer)
            assert first + keys.shape[2] == kept
            assert torch.equal(keys, new[layer, 0, :, :, first:kept]), stop
            assert torch.equal(values, new[layer, 1, :, :, first:kept]), stop
        fed(cache, length + 16, piece=2)
        assert torch.equal(cache.held(1)[0], new[1, 0]), stop
        if done:
            return
    pytest.fail("it never ended")
