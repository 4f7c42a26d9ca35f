"""What training does between the products, beside what the model itself does there, gradients included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from engine import checkpoint
from engine.model import FeedForward, RMSNorm
from engine.training import elementwise
from engine.training.lora import TrainableKernel, dtype_of, loss_of, open_decoder
from engine.training.settings import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


def both_ways(x: Tensor, ways: tuple[Callable[[Tensor], Tensor], ...]) -> list[tuple[Tensor, Tensor]]:
    """What each way gives for x, and the gradient that comes back to x from one and the same gradient."""
    given = None
    found = []
    for way in ways:
        leaf = x.clone().requires_grad_()
        y = way(leaf)
        given = torch.randn_like(y) if given is None else given
        y.backward(given)  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        found.append((y.detach(), leaf.grad))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_swiglu_is_the_model_s_own_bit_by_bit(dtype: torch.dtype) -> None:
    own = FeedForward.__new__(FeedForward)
    torch.nn.Module.__init__(own)
    own.gelu = False
    x = torch.randn(3, 5, 24, dtype=dtype)
    (y, to_x), (ours, to_ours) = both_ways(x, (own.gated, elementwise.swiglu))
    assert ours.shape == (3, 5, 12)
    assert torch.equal(y, ours)
    assert torch.equal(to_x, to_ours)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_norm_is_the_model_s_own(size: float) -> None:
    own = RMSNorm(16, 1e-6)
    torch.nn.init.normal_(own.weight)
    frozen = elementwise.FrozenNorm(own.weight.detach(), own.eps)
    (y, to_x), (ours, to_ours) = both_ways(size * torch.randn(4, 7, 16), (own, frozen))
    torch.testing.assert_close(ours, y)
    torch.testing.assert_close(to_ours, to_x, rtol=1e-4, atol=1e-5 / size)


def test_a_model_in_training_has_them_and_loses_what_it_did_without(tiny_model_home: Path) -> None:
    folder, device = tiny_model_home / "models" / "tiny", torch.device("cpu")
    model, _ = open_decoder(folder, TrainingConfig(), device)
    assert not [one for one in model.modules() if isinstance(one, RMSNorm)]
    assert {block.attention.dtype for block in model.layers} == {dtype_of(device)}
    plain = checkpoint.load(folder, TrainableKernel(dtype_of(device)), device)
    ids = torch.randint(3, 90, (2, 12))
    places = torch.tensor([[0, 5], [1, 11]])
    with torch.no_grad():
        assert loss_of(model, ids, places).item() == pytest.approx(loss_of(plain, ids, places).item(), rel=2e-2)
