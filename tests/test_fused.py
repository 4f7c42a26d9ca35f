"""The decoder in native code against its twin in `engine.model`, over the same int8 weights, in every shape."""

from __future__ import annotations

import copy
import ctypes
import platform
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import toy_families
from toy_decoders import CONFIGS, DecoderSource, decoder, some_ids
from toy_families import FAMILIES

from engine import checkpoint, fused, kv_cache, row_cache
from engine.batch import score_packed
from engine.config import LINEAR_KINDS, QuantizationConfig
from engine.convert.float_model import float_decoder
from engine.convert.hugging_face import HuggingFaceSource
from engine.convert.quantize import quantize
from engine.embedding import embed
from engine.fused import FEW, FusedDecoder
from engine.kernels import native, native_build
from engine.kernels.native import NativeKernel
from engine.kernels.reference import ReferenceKernel
from engine.kv_cache import KVCache
from engine.linear import quantize_rows
from engine.row_cache import RowCache

if TYPE_CHECKING:
    from engine.convert.source import Source
    from engine.model import Decoder

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(bool(NativeKernel().unavailable(CPU)), reason="the native library is not here")

TWO_DIGITS = QuantizationConfig(activation_digits=dict.fromkeys(LINEAR_KINDS, 2))
MIXED = QuantizationConfig(activation_digits={"qkv": 2, "out": 2, "down": 2, "head": 2})


def int8(source: Source, recipe: QuantizationConfig) -> tuple[FusedDecoder, FusedDecoder]:
    """Native code, and the twin over the same products."""
    tensors, _ = quantize(source, ReferenceKernel(), [], {}, recipe)
    model = checkpoint.build(source.config, recipe, tensors, NativeKernel(), CPU)
    assert isinstance(model, FusedDecoder)
    assert model._native is not None
    twin = copy.copy(model)
    twin._native = None
    return model, twin


PAIRS = [(name, QuantizationConfig()) for name in (*CONFIGS, *FAMILIES)]
PAIRS += [("biased", TWO_DIGITS), ("windowed", MIXED), ("gemma3", TWO_DIGITS)]


@pytest.fixture(scope="module", params=PAIRS, ids=[f"{name} {recipe.digits('out')}" for name, recipe in PAIRS])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[FusedDecoder, FusedDecoder]:
    name, recipe = request.param
    if name in CONFIGS:
        return int8(DecoderSource(decoder(CONFIGS[name])), recipe)
    folder = tmp_path_factory.mktemp(name)
    toy_families.write(name, folder)
    return int8(HuggingFaceSource(folder), recipe)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that grow and windows that move within these short texts."""
    monkeypatch.setattr(kv_cache, "STEP", 8)
    monkeypatch.setattr(row_cache, "STEP", 8)


@torch.inference_mode()
def run(model: Decoder, ids: list[int], sizes: list[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(T, V) of tokens fed in pieces of these sizes."""
    cache, at, rows = KVCache(model.config, dtype=dtype), 0, []
    for size in sizes:
        rows.append(model.logits(model(torch.tensor([ids[at : at + size]]), cache))[0])
        at += size
    return torch.cat(rows)


def same(ours: torch.Tensor, twin: torch.Tensor) -> None:
    """Up to the order of sums, but where such a difference moves an activation to the next digit: a step in 127."""
    off = (ours - twin).abs()
    assert float(off.median()) < 1e-4
    assert float(off.max()) < 0.05 * float(twin.std())


@pytest.mark.parametrize("near", [0, 30, 1024])
@pytest.mark.parametrize("sizes", [[40], [20] + [1] * 20, [1] * 40, [3, 17, 5, 1, FEW - 2]])
def test_native_steps_and_passes_give_what_the_twin_gives(
    pair: tuple[Decoder, Decoder], sizes: list[int], near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "NEAR", near)
    model, twin = pair
    ids = some_ids(40)
    found, expected = run(model, ids, sizes), run(twin, ids, sizes)
    assert expected.std() > 0.3
    same(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_gives_bit_by_bit_the_same_alone_and_among_the_next(
    pair: tuple[Decoder, Decoder], dtype: torch.dtype
) -> None:
    """Checking drafted tokens at once must choose what drawing them one by one would."""
    model, _ = pair
    ids = some_ids(20 + FEW)
    one = run(model, ids, [20] + [1] * FEW, dtype)
    assert torch.equal(run(model, ids, [20, FEW], dtype), one)
    assert torch.equal(run(model, ids, [20, 3, FEW - 3], dtype), one)
    assert torch.equal(run(model, ids, [20 + FEW], dtype), one)
    assert not torch.equal(one[-1], one[-2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_where_a_prompt_is_cut_changes_nothing_before_the_border(
    pair: tuple[Decoder, Decoder], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor after it, if what comes after is cut alike: how much was cached, or read beside others, must not matter."""
    monkeypatch.setattr(fused, "NEAR", 40)
    model, _ = pair
    ids = some_ids(70)
    expected = run(model, ids, [40, 30], dtype)
    for first in (1, 17, 23, 39):
        assert torch.equal(run(model, ids, [first, 70 - first], dtype), expected)


def test_rows_that_decode_together_give_what_each_gives_alone(pair: tuple[Decoder, Decoder]) -> None:
    model, _ = pair
    prompts = [some_ids(length, seed=length) for length in (3, 18, 30, 1, 9)]
    rows = RowCache(model.config, 5, dtype=torch.float32, device=CPU)
    caches = [KVCache(model.config) for _ in prompts]
    with torch.inference_mode():
        for prompt, cache in zip(prompts, caches, strict=True):
            model(torch.tensor([prompt]), cache)
            rows.add(cache)
        for token in some_ids(12, seed=5):
            together = model(torch.tensor([[token]] * 5), rows)
            alone = torch.cat([model(torch.tensor([[token]]), cache) for cache in caches])
            torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
            assert torch.equal(model.logits(together[1]), model.logits(together)[1])


@torch.inference_mode()
def test_a_step_with_its_logits_gives_what_two_calls_give(pair: tuple[Decoder, Decoder]) -> None:
    model, _ = pair
    ids = torch.tensor([some_ids(12)])
    caches = [KVCache(model.config) for _ in range(2)]
    rows = [RowCache(model.config, 3, dtype=torch.float32, device=CPU) for _ in range(2)]
    for cache, row in zip(caches, rows, strict=True):
        model(ids[:, :7], cache)
        for _ in range(3):
            row.add(cache)
    next_ids = (ids[:, 7:8], ids[:, 8:])
    for some in next_ids:
        assert torch.equal(model.next_logits(some, caches[0]), model.logits(model(some, caches[1])))
    three = ids[0, 7:10, None]
    assert torch.equal(model.next_logits(three, rows[0]), model.logits(model(three, rows[1])))
    assert caches[0].length == caches[1].length == 12
    assert rows[0].lengths == rows[1].lengths == [8, 8, 8]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_nothing(pair: tuple[Decoder, Decoder], dtype: torch.dtype) -> None:
    model, _ = pair
    ids = some_ids(60)
    alone = run(model, ids, [30] + [1] * 14 + [16], dtype)
    torch.set_num_threads(3)
    for _ in range(5):
        assert torch.equal(run(model, ids, [30] + [1] * 14 + [16], dtype), alone)


@pytest.mark.parametrize("near", [0, 1024])
def test_packed_scores_and_vectors_are_the_twin_s(
    pair: tuple[Decoder, Decoder], near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "NEAR", near)
    model, twin = pair
    prefix = some_ids(6, seed=9)
    prompts = [prefix + some_ids(length, seed=length) for length in (3, 1, 11, 30)]
    labels = [[5], [7, 8], [5, 6, 7]]
    both = [list(score_packed(m, KVCache(m.config), prefix, prompts, labels)) for m in pair]
    for rows, expected in zip(*both, strict=True):
        for row, theirs in zip(rows, expected, strict=True):
            torch.testing.assert_close(torch.tensor(row), torch.tensor(theirs), atol=0.05, rtol=0.02)
    vectors, theirs = (embed(m, [some_ids(9), some_ids(30)], [1]) for m in (model, twin))
    assert float((vectors * theirs).sum(1).min()) > 0.9999


def test_what_fewer_blocks_make_is_what_the_twin_makes(pair: tuple[Decoder, Decoder]) -> None:
    """In a cache of as many, or more; and of several depths at once what each gives alone."""
    ids, config = torch.tensor([some_ids(40)]), pair[0].config
    for depth in range(1, config.num_layers + 1):
        for layers in {depth, config.num_layers}:
            kinds = config.layer_kinds[:layers]
            caches = [KVCache(replace(config, num_layers=layers, layer_kinds=kinds)) for _ in pair]
            depths = list(range(1, depth + 1))
            for part in (ids[:, :25], ids[:, 25:]):
                found = [model.states(part, cache, None, depths) for model, cache in zip(pair, caches, strict=True)]
                for ours, theirs in zip(*found, strict=True):
                    same(ours / theirs.std(), theirs / theirs.std())
            for cache in caches:
                held = [cache.held(layer) for layer in range(layers)]
                assert [first + keys.shape[2] for keys, _, first in held] == [40] * depth + [0] * (layers - depth)
            alone = pair[0].states(ids, KVCache(config), None, [depth])[0]
            assert torch.equal(alone, pair[0].states(ids, KVCache(config), None, depths)[-1])


@pytest.mark.parametrize("near", [0, 20, 1024])
@pytest.mark.parametrize("ends", [[3, 4, 30, 39], [39], []])
def test_the_last_block_is_run_for_the_ends_alone(
    pair: tuple[Decoder, Decoder], near: int, ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for is bit by bit what it would be among all."""
    monkeypatch.setattr(fused, "NEAR", near)
    ids, config = torch.tensor([some_ids(40)]), pair[0].config
    depths = list(range(1, config.num_layers + 1))
    for model in pair:
        for kept in (False, True):
            whole, some = (KVCache(config) if kept else None for _ in range(2))
            assert torch.equal(model(ids, some, ends=ends), model(ids, whole)[:, ends])
            states, few = (model.states(ids, KVCache(config) if kept else None, None, depths, e) for e in (None, ends))
            assert torch.equal(few[-1], states[-1][:, ends])
            assert all(torch.equal(one, other) for one, other in zip(few[:-1], states[:-1], strict=True))
            if whole is None or some is None:
                continue
            for layer in range(config.num_layers):
                assert all(torch.equal(a, b) for a, b in zip(whole.held(layer)[:2], some.held(layer)[:2], strict=True))
            assert torch.equal(model(ids[:, :3], some), model(ids[:, :3], whole))


def test_tiles_attend_to_a_half_precision_cache_as_the_twin_does(pair: tuple[Decoder, Decoder]) -> None:
    """Beyond a block of positions, in pieces; the twin's queries and sums are half precision as well, so it is farther
    from what float gives than the native code is."""
    model, twin = pair
    ids = some_ids(300)
    exact = run(model, ids, [300])
    ours, theirs = (run(m, ids, [290, 9, 1], torch.bfloat16) - exact for m in (model, twin))
    assert float(ours.abs().mean()) < 0.03 * float(exact.std())
    assert float(ours.abs().mean()) < 1.2 * float(theirs.abs().mean())


def test_a_half_precision_cache_is_close(pair: tuple[Decoder, Decoder]) -> None:
    model, _ = pair
    ids = some_ids(40)
    whole = run(model, ids, [20] + [1] * 20)
    off = run(model, ids, [20] + [1] * 20, torch.bfloat16) - whole
    assert float(off.abs().mean()) < 0.03 * float(whole.std())


def test_long_sequences_are_cut_in_blocks_and_joined() -> None:
    for name in ("plain", "windowed"):
        model, twin = int8(DecoderSource(decoder(CONFIGS[name])), QuantizationConfig())
        ids = some_ids(1_100)
        sizes = [1_030] + [1] * 54 + [16]
        same(run(model, ids, sizes)[1_030:], run(twin, ids, sizes)[1_030:])


def test_the_int8_decoder_is_near_the_float_one_and_two_digits_are_nearer(tmp_path: Path) -> None:
    toy_families.write("qwen2", tmp_path)
    source = HuggingFaceSource(tmp_path)
    one, two = (int8(source, recipe)[0] for recipe in (QuantizationConfig(), TWO_DIGITS))
    ids = some_ids(30)
    with torch.inference_mode():
        full = float_decoder(source)
        expected = full.logits(full(torch.tensor([ids])))[0]
    off, less = (float((run(m, ids, [20] + [1] * 10) - expected).abs().mean()) for m in (one, two))
    assert less < off < 0.05 * float(expected.std())


MACHINES = ["x86-64", "x86-64-v3", "alderlake"] if platform.machine() in {"x86_64", "AMD64"} else ["native"]


@pytest.fixture(scope="module", params=MACHINES)
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library as it is compiled where the processor can do less."""
    machine, compiler = request.param, native_build.find_compiler()
    if machine == "alderlake" and "avx_vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        machine = "x86-64-v3"  # what this processor has of it
    assert compiler is not None
    target = tmp_path_factory.mktemp(machine) / "other.so"
    assert native_build.compile_to(compiler, target, machine) == ""
    return ctypes.CDLL(str(target))


@pytest.mark.parametrize("name", ["biased", "windowed", "gemma3"])
def test_older_instructions_decode_as_the_twin_does(
    older: ctypes.CDLL, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "library", lambda: older)
    monkeypatch.setattr(native, "library", lambda: older)
    if name in CONFIGS:
        source: Source = DecoderSource(decoder(CONFIGS[name]))
    else:
        toy_families.write(name, tmp_path)
        source = HuggingFaceSource(tmp_path)
    for recipe in (QuantizationConfig(), TWO_DIGITS):
        model, twin = int8(source, recipe)
        ids = some_ids(20 + FEW)
        found = run(model, ids, [20] + [1] * FEW)
        same(found, run(twin, ids, [20] + [1] * FEW))
        assert torch.equal(run(model, ids, [20 + FEW]), found)


def test_older_instructions_give_the_same_products(older: ctypes.CDLL) -> None:
    draw = torch.Generator().manual_seed(0)
    for rows, outputs, inputs in ((1, 33, 57), (1, 40, 200), (5, 96, 200), (19, 31, 64), (40, 49, 700), (2, 1, 1)):
        x, weight = torch.randn(rows, inputs, generator=draw), torch.randn(outputs, inputs, generator=draw)
        values, scales = quantize_rows(weight)
        for digits in (1, 2):
            ours = NativeKernel().pack(values, scales, digits)(x)
            theirs = native.NativeProduct(older, values, scales, digits)(x)
            # A product and a sum that are one instruction on newer machines may move a second digit by a step.
            step = float(x.abs().max() * weight.abs().max()) / (127 * 256)
            torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5 if digits == 1 else step)


def test_an_id_that_is_none_is_refused(pair: tuple[Decoder, Decoder]) -> None:
    """What native code would read past its tables for."""
    model, _ = pair
    for id_ in (-1, model.config.vocab_size):
        with pytest.raises(IndexError, match=str(id_)), torch.inference_mode():
            model(torch.tensor([[id_]]), KVCache(model.config))
