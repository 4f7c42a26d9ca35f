"""The decoder in Triton kernels against its twin in `engine.model`, over products of the same digits.

On a CUDA device where there is one; else in Triton's interpreter, which runs the same kernels on the CPU, slowly.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import TYPE_CHECKING

import pytest
import torch
from toy_decoders import CONFIGS, DecoderSource, decoder, some_ids

from engine import checkpoint, kv_cache, row_cache
from engine.batch import score_packed
from engine.config import LINEAR_KINDS, QuantizationConfig
from engine.convert.quantize import quantize
from engine.embedding import embed
from engine.fixed_step import FixedSteps
from engine.fused_cuda import CudaDecoder
from engine.kernels.cuda import CudaKernel
from engine.kernels.reference import ReferenceKernel
from engine.kernels.triton_kernel import TritonKernel, has_triton
from engine.kv_cache import KVCache
from engine.linear import quantize_rows
from engine.row_cache import RowCache

if TYPE_CHECKING:
    from engine.model import Decoder

ON_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_CUDA else "cpu")
if has_triton() and not ON_CUDA:
    os.environ["TRITON_INTERPRET"] = "1"  # read where the kernels are imported


def trouble() -> str:
    """Why neither a device nor the interpreter runs a kernel here."""
    if not has_triton():
        return "Triton is not installed"
    if ON_CUDA:
        return TritonKernel().unavailable(DEVICE)
    try:
        with warnings.catch_warnings(action="ignore"):
            TritonKernel().pack(*quantize_rows(torch.ones(2, 4)), 1)(torch.ones(1, 4))
    except Exception as error:  # noqa: BLE001 (its interpreter knows no newer NumPy than itself)
        return f"Triton's interpreter fails here: {error}"
    return ""


TROUBLE = trouble()
pytestmark = [
    pytest.mark.skipif(bool(TROUBLE), reason=TROUBLE),
    pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning"),  # of the interpreter
    pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning"),  # 1 / (1 + inf) is right
]

CASES = {
    "plain": (1, 16),
    "biased": (2, 16),
    "windowed": (2, 32),
}


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest) -> tuple[CudaDecoder, Decoder]:
    """The kernels, and the twin."""
    digits, dim = CASES[request.param]
    config = dataclasses.replace(CONFIGS[request.param], head_dim=dim)
    recipe = QuantizationConfig(activation_digits=dict.fromkeys(LINEAR_KINDS, digits))
    tensors, _ = quantize(DecoderSource(decoder(config)), ReferenceKernel(), [], {}, recipe)
    model, twin = (
        checkpoint.build(config, recipe, tensors, kernel, DEVICE) for kernel in (TritonKernel(), CudaKernel())
    )
    assert isinstance(model, CudaDecoder)
    assert model._blocks is not None
    return model, twin


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that grow and windows that move within these short texts."""
    monkeypatch.setattr(kv_cache, "STEP", 8)
    monkeypatch.setattr(row_cache, "STEP", 8)


@torch.inference_mode()
def run(model: Decoder, ids: list[int], sizes: list[int]) -> torch.Tensor:
    """(T, V) of tokens fed in pieces of these sizes."""
    cache, at, rows = KVCache(model.config, device=DEVICE), 0, []
    for size in sizes:
        rows.append(model.logits(model(torch.tensor([ids[at : at + size]], device=DEVICE), cache))[0])
        at += size
    return torch.cat(rows)


def same(ours: torch.Tensor, twin: torch.Tensor) -> None:
    """Up to the order of sums, but where such a difference moves an activation to the next digit: a step in 127."""
    off = (ours - twin).abs()
    assert float(off.median()) < 1e-3
    assert float(off.max()) < 0.05 * float(twin.std())


@pytest.mark.parametrize("sizes", [[20], [9, 1, 2, 6]])
def test_passes_give_what_the_twin_gives(pair: tuple[Decoder, Decoder], sizes: list[int]) -> None:
    model, twin = pair
    ids = some_ids(sum(sizes))
    expected = run(twin, ids, sizes)
    assert expected.std() > 0.3
    same(run(model, ids, sizes), expected)


@torch.inference_mode()
def test_rows_that_decode_together_give_what_the_twin_gives(pair: tuple[Decoder, Decoder]) -> None:
    caches = [RowCache(model.config, 3, dtype=torch.float32, device=DEVICE) for model in pair]
    for length in (3, 10, 7):
        for model, cache in zip(pair, caches, strict=True):
            held = KVCache(model.config, device=DEVICE)
            model(torch.tensor([some_ids(length, seed=length)], device=DEVICE), held)
            cache.add(held)
    fixed = FixedSteps(pair[0], caches[0])
    for step in range(2):
        ids = some_ids(3, seed=50 + step)
        told = torch.tensor(ids, device=DEVICE)[:, None]
        same(fixed.logits(ids), pair[1].logits(pair[1](told, caches[1])[:, 0]))
        ids = some_ids(3, seed=60 + step)
        told = torch.tensor(ids, device=DEVICE)[:, None]
        same(*(model.logits(model(told, cache)[:, 0]) for model, cache in zip(pair, caches, strict=True)))


def test_what_is_packed_is_scored_as_the_twin_does(pair: tuple[Decoder, Decoder]) -> None:
    prefix = some_ids(7)
    prompts = [[*prefix, *some_ids(length, seed=length)] for length in (3, 5)]
    continuations = [[1], [2, 3], [4, 5, 6]]
    scored = []
    for model in pair:
        cache = KVCache(model.config, device=DEVICE)
        scored.append([list(rows) for rows in score_packed(model, cache, prefix, prompts, continuations)])
    for ours, twins in zip(*scored, strict=True):
        for row, expected in zip(ours, twins, strict=True):
            assert row == pytest.approx(expected, abs=0.05)


def test_texts_have_the_vectors_that_the_twin_gives(pair: tuple[Decoder, Decoder]) -> None:
    ours, twin = (embed(model, [some_ids(9), some_ids(4, seed=2)], [0]) for model in pair)
    assert float((ours * twin).sum(1).min()) > 0.999


@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 300, 640), (17, 96, 31), (70, 40, 200), (300, 129, 160)])
@torch.inference_mode()
def test_a_product_is_that_of_the_twin_however_it_is_cut(shape: tuple[int, int, int], digits: int) -> None:
    from engine.kernels.triton_products import Int8Rows, multiply, to_digits

    rows, outputs, inputs = shape
    draw = torch.Generator().manual_seed(rows)
    x = (torch.randn(rows, inputs, generator=draw) * torch.logspace(-2, 2, rows)[:, None]).to(DEVICE)
    values, scales = (tensor.to(DEVICE) for tensor in quantize_rows(torch.randn(outputs, inputs, generator=draw)))
    bias = torch.randn(outputs, generator=draw).to(DEVICE)
    expected = CudaKernel().pack(values, scales, digits)(x) + bias
    weight = Int8Rows(values, scales, bias, digits)
    for whole in (True, False):
        found = multiply(to_digits(x, digits), weight, whole=whole)
        assert torch.allclose(found.sum(0), expected, rtol=1e-5, atol=1e-4 * float(expected.abs().max()))
    gate, up = expected[:, : outputs // 2 * 2].chunk(2, 1)
    half = Int8Rows(values[: outputs // 2 * 2], scales, bias, digits)
    for name, gated in (
        ("silu", torch.nn.functional.silu(gate)),
        ("gelu", torch.nn.functional.gelu(gate, approximate="tanh")),
    ):
        found = multiply(to_digits(x, digits), half, gated=name)[0]
        assert torch.allclose(found, gated * up, rtol=1e-4, atol=1e-4 * float((gated * up).abs().max()))


@torch.inference_mode()
def test_the_best_of_many_logits_is_the_first_of_the_largest(pair: tuple[Decoder, Decoder]) -> None:
    logits = 3 * torch.randn(3, 9001, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    logits[1, [8999, 5000]] = 20
    logits[2, 4000:] = -torch.inf
    found, expected = (model.best(logits) for model in pair)
    assert torch.equal(found[:, :2], expected[:, :2])
    assert torch.allclose(found, expected, rtol=1e-5)
    assert int(found[1, 0]) == 5000
