"""Sequences run together give what each gives alone: decoded in rows that come and go, or scored side by side."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupts import interrupted
from toy_decoders import CONFIGS, decoder, some_ids, windowed

from engine import batch, row_cache
from engine.batch import Row, Together, decode_in_row, score_packed
from engine.config import SamplingConfig
from engine.generate import Drawing, decode, generate_naive, last_logits, logits_after, prefill, score
from engine.kv_cache import KVCache
from engine.layout import Packed
from engine.row_cache import RowCache
from engine.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.model import Decoder

MODELS = {name: decoder(config) for name, config in CONFIGS.items()} | {"one-window": decoder(windowed(3, ("local",)))}
CPU = torch.device("cpu")
GREEDY = SamplingConfig(temperature=0)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "STEP", 4)


def alone(model: Decoder, prompt: Sequence[int], count: int, config: SamplingConfig) -> list[int]:
    """The slow obvious twin: no cache, no company."""
    drawn = generate_naive(model, prompt, Sampler(config), frozenset())
    return [token.id for token, _ in zip(drawn, range(count), strict=False)]


def together(
    model: Decoder, prompts: Sequence[list[int]], counts: Sequence[int], capacity: int, config: SamplingConfig
) -> list[list[int]]:
    """Each prompt's first `counts` ids, at most `capacity` rows at a time."""
    rows = Together(model, RowCache(model.config, capacity, dtype=torch.float32, device=CPU), capacity)
    waiting = list(enumerate(prompts))
    found: list[list[int]] = [[] for _ in prompts]
    while waiting or rows.rows:
        drawn = []
        while waiting and not rows.full:
            index, prompt = waiting.pop(0)
            cache, row = KVCache(model.config), Row(index, Sampler(config))
            for hidden in prefill(model, cache, prompt, chunk=5):  # noqa: B007
                pass
            drawn.append((row, rows.join(row, cache, last_logits(model, hidden))))
        if not drawn:
            drawn = rows.step()
        for row, token in drawn:
            found[row.index].append(token.id)
            if len(row.ids) >= counts[row.index]:
                rows.leave(row)
    return found


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
@pytest.mark.parametrize("name", MODELS)
def test_rows_that_decode_together_give_what_each_gives_alone(name: str, capacity: int) -> None:
    model = MODELS[name]
    prompts = [some_ids(length, seed=length) for length in (9, 1, 20, 4, 13)]
    counts = [7, 12, 1, 9, 3]
    found = together(model, prompts, counts, capacity, GREEDY)
    assert found == [alone(model, prompt, count, GREEDY) for prompt, count in zip(prompts, counts, strict=True)]


def test_a_row_draws_what_it_draws_alone_with_the_same_seed() -> None:
    sampled = SamplingConfig(temperature=0.9, top_p=0.9, seed=3, repetition_penalty=1.2)
    prompts = [some_ids(length, seed=length) for length in (9, 3, 6)]
    found = together(MODELS["plain"], prompts, [8, 8, 8], 3, sampled)
    assert found == [alone(MODELS["plain"], prompt, 8, sampled) for prompt in prompts]


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=7),
    counts=st.lists(st.integers(1, 12), min_size=7, max_size=7),
    capacity=st.integers(1, 4),
)
def test_any_coming_and_going_leaves_the_others_alone(lengths: list[int], counts: list[int], capacity: int) -> None:
    row_cache.STEP = 4
    model = MODELS["windowed"]
    prompts = [some_ids(length, seed=length) for length in lengths]
    found = together(model, prompts, counts, capacity, GREEDY)
    assert found == [alone(model, prompt, count, GREEDY) for prompt, count in zip(prompts, counts, strict=False)]


def test_rows_of_memory_are_counted_and_grow_in_steps() -> None:
    config = CONFIGS["plain"]
    rows = RowCache(config, 3, dtype=torch.bfloat16, device=CPU)
    assert rows.nbytes == 0
    cache = KVCache(config)
    for _ in prefill(MODELS["plain"], cache, some_ids(6)):
        pass
    of_one = 2 * 2 * config.num_layers * config.num_kv_heads * 8 * config.head_dim
    for held in (1, 2, 3):  # doubled, but not beyond the three
        expected = rows.bytes_with(cache.length)
        rows.add(cache)
        assert rows.nbytes == expected == held * of_one
    for row in (2, 1):
        rows.drop(row)
    assert rows.nbytes == 3 * of_one


@pytest.mark.parametrize("name", MODELS)
def test_a_sequence_goes_into_rows_and_out_again_as_if_it_had_stayed_alone(name: str) -> None:
    model, prompt = MODELS[name], some_ids(9)
    expected = alone(model, prompt, 25, GREEDY)
    cache, other, row = KVCache(model.config), KVCache(model.config), Row(0, Sampler(GREEDY))
    logits = logits_after(model, cache, prompt)
    for _ in prefill(model, other, some_ids(14, seed=2)):
        pass
    drawing = Drawing(model, cache, row.sample, frozenset(), row.ids)
    stream = decode(drawing, logits)
    for _ in range(5):
        next(stream)
    for count in (9, 1, 8):
        rows = Together(model, RowCache(model.config, 2, dtype=torch.float32, device=CPU), 2)
        rows.enter(Row(1, Sampler(GREEDY), [1]), other)
        rows.enter(row, cache)
        for _ in range(count):
            rows.step()
        rows.leave(row, cache)
        assert cache.length == len(prompt) + len(row.ids) - 1
        next(decode(drawing, None))
    assert row.ids[:25] == expected


def test_what_fails_at_any_line_of_joining_leaves_the_other_rows_as_they_were() -> None:
    """Such as for want of memory; native code would write beyond values that have grown less than the keys."""
    model, prompt = MODELS["windowed"], some_ids(9)
    expected = alone(model, prompt, 4, GREEDY)
    cache, other = KVCache(model.config), KVCache(model.config)
    logits = logits_after(model, cache, prompt)
    for _ in prefill(model, other, some_ids(30, seed=2)):
        pass
    for stop in range(200):
        buffers = RowCache(model.config, 2, dtype=torch.float32, device=CPU)
        rows, row = Together(model, buffers, 2), Row(0, Sampler(GREEDY))
        rows.join(row, cache, logits)
        failed = interrupted("row_cache.py", stop, lambda: rows.enter(Row(1, Sampler(GREEDY), [1]), other))  # noqa: B023
        assert [len(rows.rows), buffers.active] == [2 - failed] * 2
        assert buffers.buffers[0].shape == buffers.buffers[1].shape
        for _ in range(3):
            rows.step()
        assert row.ids == expected
        if not failed:
            return
    pytest.fail("it never ended")


def test_a_ctrl_c_while_a_row_of_its_own_is_made_is_a_ctrl_c_and_the_next_is_right() -> None:
    model, prompt = MODELS["plain"], some_ids(9)
    expected = alone(model, prompt, 4, GREEDY)

    def drawn() -> list[int]:
        drawing = Drawing(model, KVCache(model.config), Sampler(GREEDY), frozenset())
        logits = logits_after(model, drawing.cache, prompt)
        with contextlib.closing(decode_in_row(drawing, logits)) as tokens:
            return [token.id for token in islice(tokens, 4)]

    stop = 0
    while interrupted("row_cache.py", stop, drawn):
        assert drawn() == expected
        stop += 1
    assert stop > 10


@pytest.mark.parametrize(("held", "wanted"), [(0, 30), (10, 30), (3, 9), (30, 40)])
@pytest.mark.parametrize("name", MODELS)
def test_what_another_cache_holds_is_copied_where_no_window_has_passed_it(name: str, held: int, wanted: int) -> None:
    model, ids = MODELS[name], some_ids(50)
    other, cache, plain = (KVCache(model.config) for _ in range(3))
    for prepared, count in ((other, 45), (cache, held), (plain, wanted)):
        for _ in prefill(model, prepared, ids[:count], chunk=7):
            pass
    assert cache.extend(other, wanted)
    assert cache.length == wanted
    with torch.inference_mode():
        ours, twin = (model(torch.tensor([ids[wanted:]]), one) for one in (cache, plain))
    torch.testing.assert_close(ours, twin, atol=2e-5, rtol=1e-4)


def test_a_cache_whose_window_has_moved_gives_nothing() -> None:
    model = MODELS["windowed"]
    other, cache = KVCache(model.config), KVCache(model.config)
    for _ in prefill(model, other, some_ids(1200), chunk=100):
        pass
    assert other.held(0)[2] > 0
    assert not cache.extend(other, 600)
    assert cache.length == 0


LABELS = [[5], [7, 8], [5, 6, 7], [7, 8], [60]]


@pytest.mark.parametrize("held", [0, 2, 6])
@pytest.mark.parametrize("pack", [1, 20, 40, 512])
@pytest.mark.parametrize("name", MODELS)
def test_packed_scores_are_those_of_each_prompt_alone(
    name: str, pack: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PACK", pack)
    model, prefix = MODELS[name], some_ids(6, seed=9)
    prompts = [prefix + some_ids(length, seed=length) for length in (3, 1, 11, 7, 30, 2)]
    cache = KVCache(model.config)
    for _ in prefill(model, cache, prefix[:held]):
        pass
    found = list(score_packed(model, cache, prefix, prompts, LABELS))
    expected = [[score(model, KVCache(model.config), prompt, label) for label in LABELS] for prompt in prompts]
    for rows, twins in zip(found, expected, strict=True):
        for row, twin in zip(rows, twins, strict=True):
            torch.testing.assert_close(torch.tensor(row), torch.tensor(twin), atol=2e-4, rtol=1e-4)
    assert cache.length <= len(prefix)


def test_packed_scores_need_no_common_prefix() -> None:
    model = MODELS["biased"]
    prompts = [some_ids(4, seed=1), some_ids(5, seed=2)]
    found = list(score_packed(model, KVCache(model.config), [], prompts, [[3, 4]]))
    for rows, prompt in zip(found, prompts, strict=True):
        twin = score(model, KVCache(model.config), prompt, [3, 4])
        torch.testing.assert_close(torch.tensor(rows[0]), torch.tensor(twin), atol=2e-4, rtol=1e-4)


def test_a_branch_sees_its_ancestors_and_no_sibling() -> None:
    layout = Packed(2, [(2, None), (1, 0), (2, 0), (1, None)], CPU)
    assert layout.positions.tolist() == [2, 3, 4, 4, 5, 2]
    mask = layout.mask(8, None)
    assert mask is not None
    assert mask[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 1, 0, 0],
        [1, 1, 1, 1, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 0, 0, 1],
    ]
    assert layout.seen() == [
        [(0, 2, 0), (2, 3, 2)],
        [(0, 2, 0), (2, 4, 2)],
        [(0, 2, 0), (2, 4, 2), (4, 5, 4)],
        [(0, 2, 0), (2, 4, 2), (5, 6, 4)],
        [(0, 2, 0), (2, 4, 2), (5, 7, 4)],
        [(0, 2, 0), (7, 8, 2)],
    ]
