"""The same operations over the same buffers, again and again.

On CUDA they are captured once as a graph and replayed with one launch, where launching a decode step's hundreds of
small kernels one by one takes longer than they run. Elsewhere they run as they are: the twin that tests compare with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UPS = 2
"""Runs before the capture: libraries choose their ways and take their memory."""


def has_graphs(device: torch.device) -> bool:
    """Whether a step of fixed shapes is worth its price there: it can be captured."""
    return device.type == "cuda"


def captured(run: Callable[[], None], device: torch.device, pool: Any = None) -> Callable[[], None]:
    """`run`, to be called as often as wanted. It may read and write nothing but buffers that stay where they are, must
    not wait for the device, and does the same again when run twice. `pool`: shared by graphs that run in turn."""
    if device.type != "cuda":
        return run
    aside: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        run()
    return graph.replay


def shared_pool(device: torch.device) -> Any:
    """Memory for several graphs of which one runs at a time; None where there are no graphs."""
    return torch.cuda.graph_pool_handle() if device.type == "cuda" else None
