"""One run of llama.cpp on a GGUF file: prints a line of JSON. Runs in the peer's environment, as a plain script."""

from __future__ import annotations

import json
import sys
import time

from memory import resident_mb

PREFILLS, DEPTHS, DECODED = (128, 512, 2048), (0, 1024), 48


def main() -> None:
    import numpy
    from llama_cpp import Llama

    threads = int(sys.argv[2])
    started = time.perf_counter()
    model = Llama(sys.argv[1], n_ctx=4096, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
    figures = {"load_seconds": time.perf_counter() - started}
    ids = [(7919 * i) % 50_000 + 100 for i in range(max(PREFILLS) + max(DEPTHS))]

    def filled(count: int) -> float:
        model.reset()
        begun = time.perf_counter()
        model.eval(ids[:count])
        return time.perf_counter() - begun

    filled(64)
    for count in PREFILLS:
        figures[f"prefill_{count}"] = count / filled(count)
    for depth in DEPTHS:
        filled(depth + 16)
        token = 100
        begun = time.perf_counter()
        for _ in range(DECODED):
            model.eval([token])
            logits = numpy.ctypeslib.as_array(model._ctx.get_logits(), shape=(model.n_vocab(),))
            token = int(logits.argmax())
        figures[f"decode_{depth}"] = DECODED / (time.perf_counter() - begun)
    print(json.dumps(figures | {"resident_mb": resident_mb()}))


if __name__ == "__main__":
    main()
