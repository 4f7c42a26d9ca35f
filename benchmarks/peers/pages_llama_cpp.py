"""Writes so many tokens after each of many prompts with llama.cpp, greedily.

What a prompt shares with the one before stays in its KV cache, as a careful user of the binding would have it.
Arguments: GGUF file, threads, a JSON file {"prompts": [...], "tokens": [...]}. Prints a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    import numpy
    from llama_cpp import Llama

    asked = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    threads = int(sys.argv[2])
    model = Llama(sys.argv[1], n_ctx=8192, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
    before: list[int] = []
    model.eval(model.tokenize(b"warm", add_bos=False))
    started = time.perf_counter()
    for prompt, tokens in zip(asked["prompts"], asked["tokens"], strict=True):
        ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
        shared = 0
        while shared < min(len(before), len(ids) - 1) and before[shared] == ids[shared]:
            shared += 1
        model.n_tokens = shared  # `eval` drops what the cache holds beyond it
        new = ids[shared:]
        for _ in range(tokens):
            model.eval(new)
            logits = numpy.ctypeslib.as_array(model._ctx.get_logits(), shape=(model.n_vocab(),))
            new = [int(logits.argmax())]
        before = ids
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
