"""Each filter against a slow obvious version of it, and draws against the odds that they should follow."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import SamplingConfig
from engine.errors import CheckpointError, UsageError
from engine.kernels import native
from engine.sampling import Sampler, keep_min_p, keep_top_k, keep_top_p, penalize

# Multiples of a quarter have many ties, and softmax of them is never near a border by rounding alone.
logits = st.lists(st.integers(-40, 40).map(lambda n: n / 4), min_size=1, max_size=40)


def softmax(values: list[float]) -> numpy.ndarray:
    e = numpy.exp(numpy.array(values, dtype=numpy.float64) - max(values))
    return e / e.sum()


def best_first(values: list[float]) -> list[int]:
    """Ids from the most probable on, the lowest id first among equals."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def kept(filtered: torch.Tensor, values: list[float]) -> set[int]:
    """Which ids are left; what is left must be unchanged."""
    left = {i for i, value in enumerate(filtered.tolist()) if value != -math.inf}
    assert all(filtered[i] == values[i] for i in left)
    return left


@pytest.mark.parametrize("filters", [{}, {"temperature": 1.0}, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}])
@pytest.mark.parametrize("wild", [[math.nan] * 9, [1.0, math.nan, 2.0]])
@pytest.mark.parametrize("compiled", [True, False])
def test_logits_that_are_no_numbers_are_those_of_a_damaged_model(
    filters: dict[str, Any], wild: list[float], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(native, "best", lambda logits: None)
    with pytest.raises(CheckpointError, match="not finite") as caught:
        Sampler(SamplingConfig(**filters))(torch.tensor(wild), [])
    assert caught.value.hint
    assert Sampler(SamplingConfig(**filters))._draw_from_few(torch.tensor(wild), []) is None


@given(values=logits, k=st.integers(1, 50))
def test_top_k_keeps_the_k_best(values: list[float], k: int) -> None:
    assert kept(keep_top_k(torch.tensor(values), k), values) == set(best_first(values)[:k])


def test_the_smallest_top_p_keeps_the_best() -> None:
    values = [float(-i) for i in range(1000)]
    for least in (5e-324, 1e-300, 1e-40):
        assert kept(keep_top_p(torch.tensor(values), least), values) == {0}


@pytest.mark.parametrize("penalty", [1e-3, 1e3])
@pytest.mark.parametrize("temperature", [0.0, 5e-324, 0.5, 1e300])
def test_what_the_strongest_penalty_leaves_can_be_drawn_from(penalty: float, temperature: float) -> None:
    sampler = Sampler(SamplingConfig(temperature=temperature, repetition_penalty=penalty, seed=1))
    values = torch.tensor([1e4, -1e4, 0.0, 5.0])
    assert all(sampler(values, present)[0] in range(4) for present in ([], [0], [0, 1], [0, 1, 2, 3]))


@given(values=logits, p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_with_that_probability(values: list[float], p: float) -> None:
    odds = softmax(values)
    wanted, total = set(), 0.0
    borders = []
    for i in best_first(values):
        if total >= p:
            break
        wanted.add(i)
        total += odds[i]
        borders.append(total)
    found = kept(keep_top_p(torch.tensor(values), p), values)
    if min(abs(border - p) for border in borders) > 1e-5:
        assert found == wanted
    assert abs(len(found) - len(wanted)) <= 1


@pytest.mark.parametrize("spread", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.999])
def test_top_p_of_a_large_vocabulary_is_that_of_the_sorted_one(spread: float, p: float) -> None:
    """However many of the best ones it looks at first, whole multiples of a half so that there are ties."""
    values = (torch.randn(20_000, generator=torch.Generator().manual_seed(3)) * spread * 2).round() / 2
    order = values.sort(descending=True, stable=True)
    probabilities = order.values.double().softmax(0)
    before = probabilities.cumsum(0) - probabilities
    wanted, found = set(order.indices[before < p].tolist()), kept(keep_top_p(values, p), values.tolist())
    slack = int(((before - p).abs() < 1e-5).sum())  # where float and double disagree about the border
    assert len(wanted ^ found) <= slack
    assert 1 <= len(found) < 20_000


@given(values=logits, p=st.floats(0.001, 1.0))
def test_min_p_keeps_what_is_not_too_much_worse_than_the_best(values: list[float], p: float) -> None:
    odds = softmax(values)
    found = kept(keep_min_p(torch.tensor(values), p), values)
    for i, probability in enumerate(odds):
        if abs(probability / odds.max() - p) > 1e-5:
            assert (i in found) == (probability >= p * odds.max())
    assert best_first(values)[0] in found


@given(values=logits, penalty=st.floats(0.5, 2.0), data=st.data())
def test_the_penalty_makes_what_was_said_less_likely(values: list[float], penalty: float, data: st.DataObject) -> None:
    present = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=10))
    expected = [
        (value / penalty if value > 0 else value * penalty) if i in present else value for i, value in enumerate(values)
    ]
    found = penalize(torch.tensor(values), present, penalty)
    numpy.testing.assert_allclose(found.numpy(), numpy.array(expected, dtype=numpy.float32), rtol=1e-6)


@given(values=logits)
def test_greedy_takes_the_best_and_the_lowest_id_among_equals(values: list[float]) -> None:
    drawn, logprob = Sampler(SamplingConfig())(torch.tensor(values), [])
    assert drawn == best_first(values)[0]
    assert logprob == pytest.approx(math.log(softmax(values)[drawn]), abs=1e-5)


@given(values=logits, temperature=st.sampled_from([1e-300, 1e-40, 1e-6]))
def test_a_temperature_near_zero_draws_among_the_best(values: list[float], temperature: float) -> None:
    drawn, _ = Sampler(SamplingConfig(temperature=temperature, seed=1))(torch.tensor(values), [])
    assert values[drawn] == max(values)


def frequencies(config: SamplingConfig, values: list[float], draws: int) -> numpy.ndarray:
    sampler = Sampler(config)
    counts = numpy.zeros(len(values))
    for _ in range(draws):
        counts[sampler(torch.tensor(values), [])[0]] += 1
    return counts / draws


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_draws_follow_the_model_s_odds(temperature: float) -> None:
    """Within 4.5 standard deviations for each of 8 ids: a right sampler fails for one seed of about 20,000."""
    values, draws = [2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -3.0], 8_000
    odds = softmax([value / temperature for value in values])
    found = frequencies(SamplingConfig(temperature=temperature, seed=11), values, draws)
    assert (abs(found - odds) <= 4.5 * numpy.sqrt(odds * (1 - odds) / draws)).all()


def test_filters_cut_odds_in_the_order_of_the_settings() -> None:
    """Top-k first, then the smallest set of what is left, then min-p; the rest shares all probability."""
    values, draws = [2.0, 1.8, 1.5, 1.0, 0.9, -4.0], 6_000
    config = SamplingConfig(temperature=1.0, top_k=5, top_p=0.9, min_p=0.4, seed=5)
    odds = softmax(values[:5])
    nucleus = [i for i in range(5) if odds[:i].sum() < 0.9]
    left = [i for i in nucleus if odds[i] >= 0.4 * odds[0]]
    assert 1 < len(left) < len(nucleus)
    expected = numpy.zeros(6)
    expected[left] = odds[left] / odds[left].sum()
    found = frequencies(config, values, draws)
    assert (found[expected == 0] == 0).all()
    assert (abs(found - expected) <= 4.5 * numpy.sqrt(expected * (1 - expected) / draws) + 1e-12).all()


@settings(max_examples=30)
@given(seed=st.integers(0, 2**63 - 1))
def test_the_same_seed_draws_the_same(seed: int) -> None:
    config = SamplingConfig(temperature=1.5, seed=seed)
    values = torch.randn(200, generator=torch.Generator().manual_seed(1))
    first, second = Sampler(config), Sampler(config)
    assert [first(values, []) for _ in range(8)] == [second(values, []) for _ in range(8)]


def test_without_a_seed_draws_differ() -> None:
    values, config = torch.zeros(1_000), SamplingConfig(temperature=1.0)
    first, second = Sampler(config), Sampler(config)
    assert [first(values, [])[0] for _ in range(10)] != [second(values, [])[0] for _ in range(10)]


def test_the_log_probability_is_the_model_s_own_whatever_is_filtered() -> None:
    values = [1.0, 0.0, 3.0]
    config = SamplingConfig(temperature=0.3, top_k=1, repetition_penalty=1.5, seed=0)
    drawn, logprob = Sampler(config)(torch.tensor(values), [2])
    assert (drawn, logprob) == (2, pytest.approx(math.log(softmax(values)[2]), abs=1e-5))


@given(
    values=st.lists(st.integers(-40, 40).map(float), min_size=2, max_size=40), least=st.integers(0, 6), data=st.data()
)
def test_what_ends_a_reply_is_not_drawn_too_early(values: list[float], least: int, data: st.DataObject) -> None:
    stop = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1, max_size=len(values) - 1))
    sampler = Sampler(SamplingConfig(min_tokens=least), stop_ids=stop)
    for said in range(8):
        drawn, logprob = sampler(torch.tensor(values), [0] * said)
        allowed = [i for i in best_first(values) if said >= least or i not in stop]
        assert drawn == allowed[0]
        assert logprob == pytest.approx(math.log(softmax(values)[drawn]), abs=1e-5)


def test_an_end_that_the_model_has_no_logit_for_needs_not_be_kept_back() -> None:
    """A control token may lie beyond the embedding."""
    sampler = Sampler(SamplingConfig(min_tokens=2), stop_ids=(1, 4))
    assert sampler(torch.tensor([0.0, 3.0, 2.0, 1.0]), [])[0] == 2


def test_a_least_length_is_told_only_where_there_is_one() -> None:
    """Histories and servers of earlier versions refuse keys that they do not know."""
    assert "min_tokens" not in SamplingConfig().to_json()
    for config in (SamplingConfig(seed=3), SamplingConfig(min_tokens=5)):
        assert SamplingConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf}, {"top_k": -1}, {"top_p": 0.0},
        {"top_p": 1.1}, {"top_p": math.nan}, {"min_p": -0.1}, {"min_p": 1.1}, {"repetition_penalty": 0.0009},
        {"repetition_penalty": math.nan}, {"repetition_penalty": 1001}, {"max_tokens": 0}, {"min_tokens": -1},
        {"stop": ("",)}, {"seed": -1}, {"seed": 2**63},
    ],
)  # fmt: skip
def test_nonsense_is_refused_at_birth(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SamplingConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("spread", [0.5, 3.0])
@pytest.mark.parametrize("size", [100, 5000])
@pytest.mark.parametrize(
    "told",
    [
        {"temperature": 0.0},
        {"temperature": 0.7, "top_k": 40},
        {"temperature": 0.7, "top_p": 0.9},
        {"temperature": 1.3, "min_p": 0.05},
        {"temperature": 0.9, "top_k": 64, "top_p": 0.95, "min_p": 0.01},
        {"temperature": 0.8, "top_k": 300},
        {"temperature": 0.8, "top_k": 300, "top_p": 0.02},
        {"temperature": 0.8, "top_k": 256, "top_p": 0.3},
        {"temperature": 1.0},
    ],
)
def test_what_the_largest_logits_tell_is_what_all_of_them_would(
    told: dict[str, float], size: int, spread: float
) -> None:
    config = SamplingConfig(**told, seed=5)  # type: ignore[arg-type]
    few, whole = Sampler(config), Sampler(config)
    draw = torch.Generator().manual_seed(size)
    answered = 0
    for _ in range(20):
        values = spread * torch.randn(size, generator=draw)
        found = few._draw_from_few(values, [])
        expected = whole(values, [])
        if found is None:
            few = Sampler(config)
            few._generator.set_state(whole._generator.get_state())
            continue
        answered += 1
        assert found[0] == expected[0]
        assert found[1] == pytest.approx(expected[1], abs=1e-4)
    unfiltered = told["temperature"] > 0 and len(told) == 1
    flat = size > 300 and (unfiltered or told.get("top_k") == 300 or (spread < 1 and "top_k" not in told))
    assert answered == (0 if flat and told["temperature"] else 20)


def test_equals_are_left_to_who_sees_all_logits() -> None:
    values = torch.zeros(400)
    assert Sampler(SamplingConfig())._draw_from_few(values, []) is None
    assert Sampler(SamplingConfig(temperature=1, top_k=5))._draw_from_few(values, []) is None
    values[[7, 300]] = 9
    assert Sampler(SamplingConfig(min_tokens=2), stop_ids=[7])._draw_from_few(values, [1]) is None
    assert Sampler(SamplingConfig(repetition_penalty=1.2))._draw_from_few(values, [7]) is None


@pytest.mark.parametrize("count", [1, 16, 61, 4096, 4099, 50_000])
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_the_native_look_at_logits_finds_what_numpy_finds(count: int, spread: float) -> None:
    """On any number of threads the same bits; of equals the lowest; ids that are ruled out do not count."""
    values = torch.randn(count, generator=torch.Generator().manual_seed(count)) * spread
    values[count // 2 :: 7] = values.max()
    values[1::3] = -math.inf
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(native.best(values))
    torch.set_num_threads(before)
    if found[0] is None:
        pytest.skip("no native library")
    assert found[0] == found[1] == found[2]
    id_, total = found[0]
    assert id_ == int(values.numpy().argmax())
    assert total == pytest.approx(float(values.double().logsumexp(0)), abs=2e-6, rel=2e-6)
