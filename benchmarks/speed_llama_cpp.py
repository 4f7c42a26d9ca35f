"""llama.cpp under measure, as `speed_ours`: a plain script that runs in the peer's environment.

Arguments: GGUF file, threads. Its context holds the deepest measure; nothing is measured that the binding does slowly.
"""

from __future__ import annotations

import sys
import time

from memory import resident_mb
from turns import DECODED, DEEPEST, answer, divergence, ids_of


class Theirs:
    def __init__(self, path: str, threads: int) -> None:
        from llama_cpp import Llama

        self.model = Llama(
            path, n_ctx=DEEPEST + 512, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
        )
        self.held = -1
        """The depth that the cache was filled for."""

    def prefill(self, count: int) -> float:
        self.model.reset()
        self.held = -1
        begun = time.perf_counter()
        self.model.eval(ids_of(count))
        return count / (time.perf_counter() - begun)

    def decode(self, depth: int) -> float:
        import numpy

        if self.held != depth:
            self.model.reset()
            self.model.eval(ids_of(depth + 16))
            self.held = depth
        self.model.n_tokens = depth + 16  # `eval` drops what the cache holds beyond it
        token = 100
        begun = time.perf_counter()
        for _ in range(DECODED):
            self.model.eval([token])
            logits = numpy.ctypeslib.as_array(self.model._ctx.get_logits(), shape=(self.model.n_vocab(),))
            token = int(logits.argmax())
        return DECODED / (time.perf_counter() - begun)

    def kl(self, path: str) -> float:
        import numpy

        known = numpy.load(path)
        self.model.reset()
        self.held = -1
        rows = []
        for id_ in known["ids"].tolist():
            self.model.eval([id_])
            rows.append(numpy.ctypeslib.as_array(self.model._ctx.get_logits(), shape=(self.model.n_vocab(),)).copy())
        return divergence(known["logits"], numpy.stack(rows))

    def resident(self, _: int) -> float:
        return resident_mb()


if __name__ == "__main__":
    answer(lambda: Theirs(sys.argv[1], int(sys.argv[2])))
