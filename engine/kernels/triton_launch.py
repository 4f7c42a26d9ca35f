"""CUDA in Triton: launching a kernel that was launched with such arguments before, sooner than Triton does.

Triton looks at each argument anew at every launch, in Python: for a prompt of a few hundred tokens that takes longer
than what is computed.
"""

import functools
from typing import Any

import torch
from torch import Tensor

_MADE: dict[tuple[Any, ...], Any] = {}
"""What was compiled, by all that Triton compiles anew for."""


def launch(
    kernel: Any, grid: tuple[int, int, int], told: tuple[Any, ...], constants: dict[str, Any], **options: int
) -> None:
    """`kernel[grid](*told, **constants, **options)`; its constants stand last, in this order."""
    device, traits = _device(told), list[Any]()
    for value in told:
        if isinstance(value, Tensor):
            traits += (value.dtype, value.data_ptr() % 16 == 0)
        elif isinstance(value, int):
            traits += (value % 16 == 0, value == 1, value < 1 << 31)
    early = able(device)
    key = (id(kernel), device, *traits, *constants.values(), *options.values())
    made = _MADE.get(key)
    if made is None:
        # An interpreter makes nothing.
        _MADE[key] = kernel[grid](*told, **constants, EARLY=early, launch_pdl=early, **options)
    else:
        made[grid](*told, *constants.values(), early)


def _device(told: tuple[Any, ...]) -> torch.device:
    first = told[0]
    assert isinstance(first, Tensor), type(first)
    return first.device


@functools.cache
def able(device: torch.device) -> bool:
    """Whether a kernel can be launched there while the one before it still runs, whose end it then waits for
    (programmatic dependent launch)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
