"""transformers on PyTorch. Arguments: GGUF file or model folder, threads, and float32, bfloat16 or int8.

int8 is PyTorch's own dynamic quantization: weights by row, activations by tensor.
"""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import sys  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.divergence import divergence  # noqa: E402
from engine.speed.memory import resident_mb, size_mb  # noqa: E402
from engine.speed.turns import DECODED, SHORT, answer, ids_of  # noqa: E402


class Theirs:
    """A causal language model as transformers loads it."""

    def __init__(self, path: Path, threads: int, kind: str) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        warnings.simplefilter("ignore")
        torch.set_num_threads(threads)
        dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
        where = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
        self.path, self.held = path, dict[int, Any]()
        self.model = transformers.AutoModelForCausalLM.from_pretrained(where[0], **where[1], dtype=dtype).eval()
        if kind == "int8":
            from torch.ao.quantization import quantize_dynamic

            self.model = quantize_dynamic(self.model, {torch.nn.Linear}, dtype=torch.qint8)

    def run(self, ids: list[list[int]], cache: Any = None, keep: int = 1) -> tuple[Any, Any]:
        """Logits (B, keep, V) and the cache."""
        import torch

        with torch.inference_mode():
            out = self.model(torch.tensor(ids), past_key_values=cache, use_cache=True, logits_to_keep=keep)
        return out.logits, out.past_key_values

    def ids(self, count: int) -> list[int]:
        return ids_of(count, self.model.config.vocab_size)

    def first(self, count: int) -> float:
        begun = time.perf_counter()
        logits, _ = self.run([self.ids(count)])
        int(logits[0, -1].argmax())
        return time.perf_counter() - begun

    def prefill(self, count: int) -> float:
        return count / self.first(count)

    def decode(self, depth: int) -> float:
        depth += SHORT
        if depth not in self.held:
            self.held = {depth: self.run([self.ids(depth)])[1]}
        cache = self.held[depth]
        if more := cache.get_seq_length() - depth:
            cache.crop(-more)
        return self.decoded(cache, [100])

    def decoded(self, cache: Any, last: list[int]) -> float:
        begun = time.perf_counter()
        for _ in range(DECODED):
            logits, cache = self.run([[id_] for id_ in last], cache)
            last = logits[:, -1].argmax(-1).tolist()
        return len(last) * DECODED / (time.perf_counter() - begun)

    def together(self, rows: int) -> float:
        return self.decoded(self.run([self.ids(SHORT)] * rows)[1], [100] * rows)

    def kl(self, path: str) -> float:
        import numpy

        known = numpy.load(path)
        logits, _ = self.run([known["ids"].tolist()], keep=0)
        return divergence(known["logits"], logits[0].float().numpy())

    def resident(self, _: Any) -> float:
        return resident_mb()

    def size(self, _: Any) -> float:
        return size_mb(self.path)


if __name__ == "__main__":
    import torch  # noqa: F401  (counted as an import, not as loading)

    answer(lambda: Theirs(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]), BEGUN)
