"""One run of our engine: prints a line of JSON. Arguments: model folder, threads."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.memory import resident_mb
from engine.threads import wait_politely

PREFILLS, DEPTHS, DECODED = (128, 512, 2048), (0, 1024), 48


def main() -> None:
    wait_politely()
    import torch

    from engine import checkpoint
    from engine.generate import last_logits, prefill
    from engine.kernels import cache_dtype, choose
    from engine.kv_cache import KVCache
    from engine.model import Decoder

    torch.set_num_threads(int(sys.argv[2]))
    device = torch.device("cpu")
    started = time.perf_counter()
    model = checkpoint.load(Path(sys.argv[1]), choose(device), device)
    figures = {"load_seconds": time.perf_counter() - started}
    ids = [(7919 * i) % 50_000 + 100 for i in range(max(PREFILLS) + max(DEPTHS))]

    def filled(count: int) -> tuple[KVCache, torch.Tensor, float]:
        cache = KVCache(model.config, dtype=cache_dtype(device))
        begun = time.perf_counter()
        hidden = torch.empty(0)
        for hidden in prefill(model, cache, ids[:count]):  # noqa: B007
            pass
        logits = last_logits(model, hidden)
        return cache, logits, time.perf_counter() - begun

    filled(64)  # the first products choose their kernels
    for count in PREFILLS:
        figures[f"prefill_{count}"] = count / filled(count)[2]
    for depth in DEPTHS:
        cache, logits, _ = filled(depth + 16)
        figures[f"decode_{depth}"] = decode_rate(model, cache, logits)
    assert isinstance(model, Decoder)
    print(json.dumps(figures | {"resident_mb": resident_mb()}))


def decode_rate(model: object, cache: object, logits: object) -> float:
    """Greedy tokens a second."""
    from itertools import islice

    from engine.config import SamplingConfig
    from engine.generate import decode
    from engine.sampling import Sampler

    stream = decode(model, cache, logits, Sampler(SamplingConfig()), frozenset())  # type: ignore[arg-type]
    next(stream)
    begun = time.perf_counter()
    for _ in islice(stream, DECODED):
        pass
    return DECODED / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
