"""Every kernel against the plain float product, within bounds that follow from how it rounds.

One int8 digit is off by at most half a step, a step being the row's largest number / 127; a second digit divides that
by 254, in the native kernel by 256. bfloat16 keeps 8 bits, float16 keeps 11. What is off in an activation is weighed by
the weights it meets.
"""

from __future__ import annotations

import ctypes
import platform
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.kernels import all_kernels, cache_dtype, choose, native_build, resolve_device
from engine.kernels.activations import SECOND_DIGIT, from_digits, to_digits
from engine.kernels.cuda import CudaKernel
from engine.kernels.mps import MpsKernel
from engine.kernels.native import GROUP, NativeKernel, NativeProduct
from engine.kernels.reference import ReferenceKernel
from engine.kernels.x86 import X86Kernel
from engine.linear import Int8Embedding, Int8Linear, quantize_rows

if TYPE_CHECKING:
    from pathlib import Path

    from engine.kernels import Kernel

CPU = torch.device("cpu")
# The operators that the GPU kernels use exist on the CPU as well.
KERNELS = [k for k in all_kernels() if not k.unavailable(CPU) or isinstance(k, CudaKernel | MpsKernel)]
ROUNDING = {"cpu-generic": 2.0**-8, "mps-int8": 2.0**-10, "reference": 0.0}
"""Of activations and results together, relative; the other kernels round to digits."""
FLOAT = 1e-5
"""What sums in float32 may differ by, relative to the sum of absolute products."""


@pytest.mark.skipif(bool(X86Kernel().unavailable(CPU)), reason="a processor without VNNI")
@pytest.mark.parametrize("digits", [1, 2])
def test_signed_and_unsigned_activations_give_the_same_products(digits: int) -> None:
    x = torch.randn(5, 96) * torch.tensor([[1.0], [1e-3], [1e3], [0.0], [1.0]])
    values, scales = quantize_rows(torch.randn(31, 96))
    found = [X86Kernel(signed=signed).pack(values, scales, digits)(x) for signed in (True, False)]
    assert torch.allclose(*found, rtol=1e-6, atol=0)
    assert torch.equal(found[0][3], torch.zeros(31))


def tolerance(kernel: Kernel, x: torch.Tensor, weight: torch.Tensor, digits: int) -> torch.Tensor:
    """(M, N): the largest difference from the exact product that rounding allows."""
    products = x.abs() @ weight.abs().t()
    if kernel.name in ROUNDING:
        return products * (ROUNDING[kernel.name] + FLOAT)
    step = x.abs().amax(1, keepdim=True) / 127
    off = step / 2 if digits == 1 else step / 2 / SECOND_DIGIT
    return off * 1.02 * weight.abs().sum(1) + products * FLOAT


def compare(kernel: Kernel, x: torch.Tensor, weight: torch.Tensor, digits: int) -> None:
    values, scales = quantize_rows(weight)
    dequantized = (values.double() * scales.double()[:, None]).float()
    found = kernel.pack(values, scales, digits)(x)
    expected = (x.double() @ dequantized.double().t()).float()
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    excess = (found - expected).abs() - tolerance(kernel, x, dequantized, digits)
    assert float(excess.max()) <= 0, (found - expected).abs().max()


@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 33, 57), (17, 96, 31), (16, 1, 8), (3, 8, 1), (300, 129, 200)])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_a_kernel_is_the_float_product_within_its_rounding(
    kernel: Kernel, shape: tuple[int, int, int], digits: int
) -> None:
    rows, outputs, inputs = shape
    draw = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, inputs, generator=draw) * torch.logspace(-2, 2, rows)[:, None]
    compare(kernel, x, torch.randn(outputs, inputs, generator=draw), digits)


@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize("size", [1e-20, 1e-6, 1e6, 1e20])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_huge_and_tiny_activations_and_weights_keep_their_relative_precision(
    kernel: Kernel, size: float, digits: int
) -> None:
    draw = torch.Generator().manual_seed(3)
    for rows in (1, 20):
        x = torch.randn(rows, 80, generator=draw)
        compare(kernel, x * size, torch.randn(24, 80, generator=draw) / 100, digits)
        compare(kernel, x, torch.randn(24, 80, generator=draw) * size**0.25, digits)


@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_zeros_give_zeros(kernel: Kernel, digits: int) -> None:
    weight = torch.randn(16, 32)
    weight[3] = 0
    x = torch.randn(5, 32)
    x[2] = 0
    values, scales = quantize_rows(weight)
    y = kernel.pack(values, scales, digits)(x)
    assert y.isfinite().all()
    assert not y[2].any()
    assert not y[:, 3].any()


def test_the_native_kernel_has_a_scale_for_each_group_of_inputs() -> None:
    kernel = NativeKernel()
    if not kernel.unavailable(CPU):
        x, weight = torch.randn(3, 3 * GROUP), torch.randn(8, 3 * GROUP)
        x[:, 0] = 1_000  # drowns its own group alone, which meets no weights here
        weight[:, :GROUP] = 0
        compare(kernel, x, weight, 1)
        values, scales = quantize_rows(weight)
        expected = x[:, GROUP:] @ (values * scales[:, None])[:, GROUP:].t()
        assert float((kernel.pack(values, scales, 1)(x) - expected).abs().max()) < 0.5


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_one_large_channel_does_not_drown_the_others_with_two_digits(kernel: Kernel) -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(4))
    x[:, 5] = 200
    compare(kernel, x, torch.randn(32, 64), 2)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_a_row_gives_the_same_alone_and_among_others(kernel: Kernel) -> None:
    """Reuse of a KV cache, batches and chunks all rest on this; few rows and many may take different ways."""
    x, weight = torch.randn(24, 64), torch.randn(48, 64)
    product = kernel.pack(*quantize_rows(weight), 2)
    together, few = product(x), product(x[:3])
    alone = torch.cat([product(row[None]) for row in x])
    torch.testing.assert_close(few, alone[:3], rtol=1e-5, atol=1e-4)
    rounding = ROUNDING.get(kernel.name, 0) * float((x.abs() @ weight.abs().t()).max())
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4 + rounding)


@pytest.mark.skipif(bool(NativeKernel().unavailable(torch.device("cpu"))), reason="no compiler")
@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize("rows", [2, 3, 7, 8, 16, 17, 45])
@pytest.mark.parametrize(("outputs", "inputs"), [(16, 64), (33, 57), (70, 400), (1, 900), (90, 1344)])
def test_native_rows_are_bit_by_bit_what_each_is_alone(rows: int, outputs: int, inputs: int, digits: int) -> None:
    """Dot products for one, tiles for more, where the processor has them: the same integers, added in one order."""
    x = torch.randn(rows, inputs)
    product = NativeKernel().pack(*quantize_rows(torch.randn(outputs, inputs)), digits)
    assert torch.equal(product(x), torch.cat([product(row[None]) for row in x]))


@pytest.mark.skipif(bool(NativeKernel().unavailable(CPU)), reason="no compiler")
@pytest.mark.parametrize("machine", ["native", "x86-64-v3"])
def test_a_compiler_s_choices_do_not_reach_the_digits(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a product and a sum are rounded as one is said in the sources: a compiler that optimizes little decides
    otherwise in loops for one row than in those for several, and drafts would change what is drawn."""
    if machine != "native" and platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("not this processor's")
    compiler = native_build.find_compiler()
    assert compiler is not None
    monkeypatch.setattr(native_build, "FLAGS", tuple("-O1" if f == "-O3" else f for f in native_build.FLAGS))
    assert native_build.compile_to(compiler, tmp_path / "other.so", machine) == ""
    other = ctypes.CDLL(str(tmp_path / "other.so"))
    draw = torch.Generator().manual_seed(0)
    for outputs, inputs in ((33, 57), (70, 400)):
        x = torch.randn(9, inputs, generator=draw)
        weight = quantize_rows(torch.randn(outputs, inputs, generator=draw))
        for digits in (1, 2):
            product = NativeProduct(other, *weight, digits)
            assert torch.equal(product(x), torch.cat([product(row[None]) for row in x]))
            if machine == "native":
                assert torch.equal(product(x), NativeKernel().pack(*weight, digits)(x))


finite = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(max_examples=200)
@given(rows=st.lists(st.lists(finite, min_size=6, max_size=6), min_size=1, max_size=4), digits=st.sampled_from([1, 2]))
def test_digits_round_trip_within_half_a_step_of_the_last_one(rows: list[list[float]], digits: int) -> None:
    x = torch.tensor(rows)
    d, scale = to_digits(x, digits)
    assert d.dtype == torch.int8
    assert d.shape == (digits * len(rows), 6)
    back = from_digits(d.float(), scale, digits)
    half = scale / 2 if digits == 1 else scale / 2 / SECOND_DIGIT
    assert ((back - x).abs() <= half * 1.02 + x.abs() * 1e-6 + 1e-30).all()


@settings(max_examples=100)
@given(rows=st.lists(st.lists(finite, min_size=5, max_size=5), min_size=1, max_size=6))
def test_quantized_rows_are_within_half_a_step_and_use_the_whole_range(rows: list[list[float]]) -> None:
    weight = torch.tensor(rows)
    values, scales = quantize_rows(weight)
    assert values.abs().max() <= 127
    assert ((values * scales[:, None] - weight).abs() <= scales[:, None] * 0.5001 + 1e-30).all()
    large = weight.abs().amax(1) > 1e-25
    assert (values.abs().amax(1)[large] == 127).all()


def test_the_int8_linear_layer_adds_its_bias_and_keeps_the_shape() -> None:
    weight, bias = torch.randn(12, 20), torch.randn(12)
    values, scales = quantize_rows(weight)
    layer = Int8Linear(values, scales, bias, ReferenceKernel(), 1)
    x = torch.randn(2, 3, 20)
    expected = torch.nn.functional.linear(x, values * scales[:, None], bias)
    torch.testing.assert_close(layer(x), expected)
    assert "20 -> 12" in repr(layer)


def test_the_int8_embedding_undoes_its_columns() -> None:
    table = torch.randn(30, 16) * torch.logspace(-3, 3, 16)
    columns = table.abs().amax(0)
    values, scales = quantize_rows(table / columns)
    rows = Int8Embedding(values, scales, columns)(torch.tensor([[3, 7]]))[0]
    assert ((rows - table[[3, 7]]).abs() <= scales[[3, 7], None] * columns * 0.501).all()


def test_the_cpu_gets_a_kernel_and_absent_devices_are_refused_plainly() -> None:
    assert choose(CPU).name in {"cpu-native", "x86-onednn", "cpu-generic"}
    assert cache_dtype(CPU) in {torch.float32, torch.bfloat16}
    assert resolve_device("cpu") == CPU
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        resolve_device("tpu")
    for name, here in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not here:
            with pytest.raises(UsageError, match=f"no {name} device"):
                resolve_device(name)
    assert all(k.unavailable(torch.device("meta")) for k in all_kernels() if k.name != "reference")
