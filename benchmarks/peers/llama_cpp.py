"""llama.cpp through llama-cpp-python. Arguments: GGUF file, threads, tokens of context (the deepest measure has)."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import ctypes  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.divergence import divergence  # noqa: E402
from engine.speed.memory import resident_mb, size_mb  # noqa: E402
from engine.speed.turns import DECODED, DEEPEST, SHORT, START, answer, ids_of  # noqa: E402


class Theirs:
    """Its context is allocated at once."""

    def __init__(self, path: str, threads: int, context: int = DEEPEST + 512) -> None:
        from llama_cpp import Llama

        self.path, self.threads = path, threads
        self.model = Llama(path, n_ctx=context, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
        self.held = -1
        """The depth that the cache was filled for."""

    def ids(self, count: int) -> list[int]:
        return ids_of(count, self.model.n_vocab())

    def logits(self) -> Any:
        import numpy

        return numpy.ctypeslib.as_array(self.model._ctx.get_logits(), shape=(self.model.n_vocab(),))

    def first(self, count: int) -> float:
        begun = time.perf_counter()
        self.model.reset()
        self.held = -1
        self.model.eval(self.ids(count))
        int(self.logits().argmax())
        return time.perf_counter() - begun

    def prefill(self, count: int) -> float:
        return count / self.first(count)

    def decode(self, depth: int) -> float:
        if self.held != depth:
            self.model.reset()
            self.model.eval(self.ids(depth + SHORT))
            self.held = depth
        self.model.n_tokens = depth + SHORT  # `eval` drops what the cache holds beyond it
        token = 100
        begun = time.perf_counter()
        for _ in range(DECODED):
            self.model.eval([token])
            token = int(self.logits().argmax())
        return DECODED / (time.perf_counter() - begun)

    def together(self, rows: int) -> float:
        """The binding's class knows one sequence: this is the library's own interface, as its server uses it."""
        import llama_cpp
        import numpy

        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_seq_max = rows * 256, 512, rows
        settings.n_threads = settings.n_threads_batch = self.threads
        context = llama_cpp.llama_init_from_model(self.model._model.model, settings)
        batch = llama_cpp.llama_batch_init(512, 0, 1)
        vocabulary = self.model.n_vocab()

        def run(tokens: list[list[int]], start: int) -> list[int]:
            """All rows' next tokens; the best one after each row's last."""
            at = 0
            for row, ids in enumerate(tokens):
                for offset, id_ in enumerate(ids):
                    batch.token[at], batch.pos[at] = id_, start + offset
                    batch.n_seq_id[at], batch.seq_id[at][0] = 1, row
                    batch.logits[at] = offset == len(ids) - 1
                    at += 1
            batch.n_tokens = at
            if llama_cpp.llama_decode(context, batch):
                raise RuntimeError("llama_decode failed")
            found, at = [], -1
            for ids in tokens:
                at += len(ids)
                pointer = llama_cpp.llama_get_logits_ith(context, at)
                row = numpy.ctypeslib.as_array(
                    ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), shape=(vocabulary,)
                )
                found.append(int(row.argmax()))
            return found

        try:
            last = run([self.ids(SHORT)] * rows, 0)
            last = run([[id_] for id_ in last], SHORT)
            steps = DECODED // 2
            begun = time.perf_counter()
            for step in range(steps):
                last = run([[id_] for id_ in last], SHORT + 1 + step)
            return rows * steps / (time.perf_counter() - begun)
        finally:
            llama_cpp.llama_batch_free(batch)
            llama_cpp.llama_free(context)

    def kl(self, path: str) -> float:
        import numpy

        known = numpy.load(path)
        self.model.reset()
        self.held = -1
        rows = []
        for id_ in known["ids"].tolist():
            self.model.eval([id_])
            rows.append(self.logits().copy())
        return divergence(known["logits"], numpy.stack(rows))

    def resident(self, _: Any) -> float:
        return resident_mb()

    def size(self, _: Any) -> float:
        return size_mb(Path(self.path))


if __name__ == "__main__":
    answer(lambda: Theirs(sys.argv[1], *(int(one) for one in sys.argv[2:] if one != START)), BEGUN)
