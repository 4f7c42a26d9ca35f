"""The decode step of fixed shapes against the ordinary one. Captured on CUDA; here it runs as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from toy_decoders import CONFIGS, DecoderSource, decoder, some_ids, windowed

from engine import checkpoint, kernels, row_cache
from engine.batch import Row, Together, decode_in_row
from engine.config import QuantizationConfig, SamplingConfig
from engine.convert.quantize import quantize
from engine.fixed_step import FixedSteps
from engine.generate import Drawing, decode, last_logits, prefill
from engine.kernels import graph
from engine.kernels.cuda import CudaKernel
from engine.kernels.reference import ReferenceKernel
from engine.kv_cache import KVCache
from engine.row_cache import RowCache
from engine.sampling import Sampler
from engine.schema import Message
from engine.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from engine.model import Decoder

CPU = torch.device("cpu")
ALL = CONFIGS | {"one-window": windowed(3, ("local",))}
GREEDY = SamplingConfig()
HELLO = [Message("user", "hello")]


def int8(name: str, device: torch.device = CPU) -> Decoder:
    """With the products of CUDA, which the CPU has too."""
    tensors, _ = quantize(DecoderSource(decoder(ALL[name])), ReferenceKernel(), [], {}, QuantizationConfig())
    return checkpoint.build(ALL[name], QuantizationConfig(), tensors, CudaKernel(), device)


MODELS = {name: decoder(config) for name, config in ALL.items()} | {f"{name} int8": int8(name) for name in ALL}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "STEP", 8)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps are of fixed shapes here, too; counts how often one was prepared."""
    made: list[int] = []
    captured = graph.captured
    monkeypatch.setattr(graph, "has_graphs", lambda device: True)
    monkeypatch.setattr(graph, "captured", lambda *told: (made.append(1), captured(*told))[1])
    return made


def filled(model: Decoder, ids: list[int]) -> KVCache:
    cache = KVCache(model.config)
    for _ in prefill(model, cache, ids):
        pass
    return cache


def greedily(model: Decoder, cache: KVCache, *stops: int) -> Drawing:
    return Drawing(model, cache, Sampler(GREEDY), frozenset(stops))


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Up to the order of sums, but where such a difference moves an activation to the next digit: a step in 127."""
    off = (found - expected).abs()
    assert float(off.median()) < 1e-4
    assert float(off.max()) < 0.05 * float(expected.std())


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_rows_that_come_grow_and_go_give_what_the_ordinary_step_gives(name: str) -> None:
    model = MODELS[name]
    ordinary, fixed = (RowCache(model.config, 4, dtype=torch.float32, device=CPU) for _ in range(2))
    steps, draw = FixedSteps(model, fixed), iter(some_ids(200, seed=3))
    for event in [*(some_ids(length, seed=length) for length in (5, 1, 12)), 1, some_ids(3), 0]:
        for cache in (ordinary, fixed):
            if isinstance(event, int):
                cache.drop(event)
            else:
                cache.add(filled(model, event))
        for _ in range(7):
            ids = [next(draw) for _ in ordinary.lengths]
            expected = model.logits(model(torch.tensor(ids)[:, None], ordinary)[:, 0])
            near(steps.logits(ids), expected)
            assert fixed.lengths == ordinary.lengths


def test_a_step_is_prepared_once_for_each_number_of_rows_until_the_buffers_grow(prepared: list[int]) -> None:
    model = MODELS["plain"]
    rows = Together(model, RowCache(model.config, 2, dtype=torch.float32, device=CPU), 2)
    first, second = (Row(at, Sampler(GREEDY), [at]) for at in (1, 2))
    for row in (first, second):
        rows.enter(row, filled(model, some_ids(2)))

    def steps(count: int) -> int:
        for _ in range(count):
            rows.step()
        return len(prepared)

    assert steps(2) == 1
    rows.leave(second)
    assert steps(1) == 2
    rows.enter(second, filled(model, some_ids(2)))
    assert steps(3) == 2
    assert rows.longest == 8
    assert steps(1) == 3
    assert steps(7) == 3
    assert steps(1) == 4


@pytest.mark.parametrize("name", MODELS)
def test_a_sequence_decodes_in_a_row_of_its_own_as_it_does_without(name: str, prepared: list[int]) -> None:
    model, prompt = MODELS[name], some_ids(11)
    plain, cache = filled(model, prompt[:-1]), filled(model, prompt[:-1])
    with torch.inference_mode():
        logits = last_logits(model, model(torch.tensor([prompt[-1:]]), plain))
        model(torch.tensor([prompt[-1:]]), cache)
    stream = decode(greedily(model, plain), logits)
    expected = [next(stream).id for _ in range(20)]
    drawing = greedily(model, cache)
    first = decode_in_row(drawing, logits)
    for _ in range(9):
        next(first)
    first.close()
    assert cache.length == len(prompt) + 8
    second = decode_in_row(drawing, None)
    for _ in range(11):
        next(second)
    second.close()
    assert drawing.ids == expected
    assert prepared


def test_a_reply_takes_the_steps_that_the_one_before_it_left(prepared: list[int]) -> None:
    model = int8("plain")
    drawn = []
    for _ in range(2):
        steps = decode_in_row(greedily(model, filled(model, some_ids(4))), torch.ones(61))
        drawn.append([next(steps).id for _ in range(4)])
        steps.close()
    assert drawn[0] == drawn[1]
    assert len(prepared) == 1


@pytest.mark.parametrize("config", [GREEDY, SamplingConfig(min_tokens=9), SamplingConfig(repetition_penalty=1.3)])
def test_the_best_token_read_from_a_step_is_the_one_that_the_sampler_draws(
    prepared: list[int], monkeypatch: pytest.MonkeyPatch, config: SamplingConfig
) -> None:
    model, taken = int8("biased"), []
    monkeypatch.setattr(FixedSteps, "best", lambda self, best=FixedSteps.best: (taken.append(1), best(self))[1])
    runs = []
    for plain in (False, True):
        sample = Sampler(config, stop_ids=[3])
        with monkeypatch.context() as patch:
            if plain:
                patch.setattr(Sampler, "takes_best", lambda self, present: False)
            drawing = Drawing(model, filled(model, some_ids(4)), sample, frozenset())
            steps = decode_in_row(drawing, torch.ones(61))
            runs.append([next(steps) for _ in range(12)])
            steps.close()
    assert [token.id for token in runs[0]] == [token.id for token in runs[1]]
    assert [token.logprob for token in runs[0]] == pytest.approx([token.logprob for token in runs[1]], abs=1e-4)
    assert len(taken) == {0: 11, 9: 3}[config.min_tokens] * (config.repetition_penalty == 1)


def test_it_ends_with_a_stop_id_and_with_the_context() -> None:
    model, prompt = MODELS["plain"], some_ids(6)
    stream = decode(greedily(model, filled(model, prompt)), torch.ones(61))
    stop = [next(stream).id for _ in range(5)][-1]
    expected = list(decode(greedily(model, filled(model, prompt), stop), torch.ones(61)))
    found = decode_in_row(greedily(model, filled(model, prompt), stop), torch.ones(61))
    assert [token.id for token in found] == [token.id for token in expected]
    long = some_ids(model.config.max_context - 3)
    assert len(list(decode_in_row(greedily(model, filled(model, long)), torch.ones(61)))) == 4


def test_the_benchmark_decodes_in_the_steps_that_replies_do(tiny_model_home: Path, prepared: list[int]) -> None:
    from engine.speed.ours import Ours

    engine = Ours.open(tiny_model_home / "models" / "tiny", "cpu", 1)
    for measure in (engine.decode, engine.decode, engine.copying):
        before = len(prepared)
        engine.model.spare.clear()
        assert measure(0) > 0
        assert len(prepared) > before


def test_a_session_says_the_same_and_keeps_what_it_said(tiny_session: Session, prepared: list[int]) -> None:
    said = list(tiny_session.stream(HELLO, SamplingConfig(max_tokens=30)))
    assert prepared
    half = tiny_session.stream(HELLO, SamplingConfig(max_tokens=30))
    taken = [chunk.ids for chunk, _ in zip((chunk for chunk in half if chunk.ids), range(9), strict=False)]
    half.close()
    assert taken == [chunk.ids for chunk in said if chunk.ids][:9]
    told = [*HELLO, Message("assistant", "".join(chunk.text for chunk in said)), Message("user", "and then?")]
    whole = list(tiny_session.stream(HELLO, SamplingConfig(max_tokens=30)))
    again = list(tiny_session.stream(told, SamplingConfig(max_tokens=3)))
    assert again[-1].cached_tokens >= whole[-1].prompt_tokens


@pytest.mark.parametrize("fixed", [False, True])
def test_a_reply_that_is_closed_after_the_next_has_begun_does_not_touch_its_cache(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch, fixed: bool
) -> None:
    # A device with graphs has one way for all steps; here the native one takes some, and rounds halves otherwise.
    if fixed:
        monkeypatch.setattr(kernels, "cache_dtype", lambda device: torch.float32)
    monkeypatch.setattr(graph, "has_graphs", lambda device: fixed)
    session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    few, other = SamplingConfig(max_tokens=5), [Message("user", "other")]
    more = [*other, Message("assistant", "x"), Message("user", "and then?")]
    fresh = {id(told): [c.ids for c in session.fork().stream(told, few)] for told in (HELLO, other, more)}
    for told in (HELLO, more):
        left = session.stream(HELLO, SamplingConfig(max_tokens=60))
        for _ in range(40):
            next(left)
        assert [chunk.ids for chunk in session.stream(other, few)] == fresh[id(other)]
        left.close()
        assert [chunk.ids for chunk in session.stream(told, few)] == fresh[id(told)]
    session.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ALL)
@torch.inference_mode()
def test_what_is_captured_gives_what_the_ordinary_step_gives(name: str) -> None:
    device = torch.device("cuda")
    model = int8(name, device)
    ordinary, fixed = (RowCache(model.config, 2, dtype=torch.float32, device=device) for _ in range(2))
    steps = FixedSteps(model, fixed)
    for cache in (ordinary, fixed):
        for length in (5, 9):
            held = KVCache(model.config, device=device)
            for _ in prefill(model, held, some_ids(length, seed=length)):
                pass
            cache.add(held)
    for id_ in some_ids(20):
        expected = model.logits(model(torch.tensor([[id_]] * 2, device=device), ordinary)[:, 0])
        near(steps.logits([id_] * 2), expected)
