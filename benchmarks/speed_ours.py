"""Our engine under measure. Arguments: model folder, threads. Reads a measure a line, answers with a number."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.memory import resident_mb
from benchmarks.turns import DECODED, answer, divergence, ids_of
from engine.threads import wait_politely


class Ours:
    def __init__(self, folder: Path, threads: int) -> None:
        import torch

        from engine import checkpoint
        from engine.kernels import cache_dtype, choose

        torch.set_num_threads(threads)
        self.device = torch.device("cpu")
        self.model = checkpoint.load(folder, choose(self.device), self.device)
        self.dtype = cache_dtype(self.device)
        self.caches: dict[int, tuple[Any, Any]] = {}

    def filled(self, count: int) -> tuple[Any, Any]:
        """A cache of so many tokens, and the logits after them."""
        from engine.generate import last_logits, prefill
        from engine.kv_cache import KVCache

        cache, hidden = KVCache(self.model.config, dtype=self.dtype), None
        for hidden in prefill(self.model, cache, ids_of(count)):  # noqa: B007
            pass
        assert hidden is not None
        return cache, last_logits(self.model, hidden)

    def prefill(self, count: int) -> float:
        begun = time.perf_counter()
        self.filled(count)
        return count / (time.perf_counter() - begun)

    def decode(self, depth: int) -> float:
        """Greedy, without drafts."""
        from engine.config import SamplingConfig
        from engine.generate import decode
        from engine.sampling import Sampler

        if depth not in self.caches:
            self.caches[depth] = self.filled(depth + 16)
        cache, logits = self.caches[depth]
        cache.truncate(depth + 16)
        stream = decode(self.model, cache, logits, Sampler(SamplingConfig()), frozenset())
        next(stream)
        begun = time.perf_counter()
        for _ in islice(stream, DECODED):
            pass
        return DECODED / (time.perf_counter() - begun)

    def together(self, rows: int) -> float:
        """Tokens a second of that many sequences, all of them."""
        from engine.batch import Row, Together
        from engine.config import SamplingConfig
        from engine.row_cache import RowCache
        from engine.sampling import Sampler

        batch = Together(self.model, RowCache(self.model.config, rows, dtype=self.dtype, device=self.device), rows)
        for number in range(rows):
            from engine.generate import prefill
            from engine.kv_cache import KVCache

            cache, hidden = KVCache(self.model.config, dtype=self.dtype), None
            for hidden in prefill(self.model, cache, ids_of(16 + number)):  # noqa: B007
                pass
            assert hidden is not None
            batch.join(Row(number, Sampler(SamplingConfig())), cache, hidden)
        batch.step()
        begun = time.perf_counter()
        for _ in range(DECODED // 2):
            batch.step()
        return rows * (DECODED // 2) / (time.perf_counter() - begun)

    def kl(self, path: str) -> float:
        import numpy
        import torch

        from engine.kv_cache import KVCache

        known = numpy.load(path)
        with torch.inference_mode():
            cache = KVCache(self.model.config, dtype=self.dtype)
            hidden = self.model(torch.from_numpy(known["ids"])[None], cache)
            return divergence(known["logits"], self.model.logits(hidden[0]).numpy())

    def resident(self, _: int) -> float:
        return resident_mb()


if __name__ == "__main__":
    wait_politely()
    answer(lambda: Ours(Path(sys.argv[1]), int(sys.argv[2])))
