"""Scores prompts one by one with llama.cpp: the first token of each label after each prompt.

What a prompt shares with the one before stays in its KV cache, as a careful user of the binding would have it.
Arguments: GGUF file, threads, a JSON file {"prompts": [...], "replies": [...]}. Prints a line of JSON.
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
    model = Llama(sys.argv[1], n_ctx=4096, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
    labels = [model.tokenize(reply.encode(), add_bos=False)[0] for reply in asked["replies"]]
    before: list[int] = []
    chosen: list[int] = []
    model.eval(model.tokenize(asked["prompts"][0].encode(), add_bos=False, special=True))  # warm
    started = time.perf_counter()
    for prompt in asked["prompts"]:
        ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
        shared = 0
        while shared < min(len(before), len(ids) - 1) and before[shared] == ids[shared]:
            shared += 1
        model.n_tokens = shared  # `eval` drops what the cache holds beyond it
        model.eval(ids[shared:])
        logits = numpy.ctypeslib.as_array(model._ctx.get_logits(), shape=(model.n_vocab(),))
        chosen.append(int(numpy.argmax([logits[label] for label in labels])))
        before = ids
    print(json.dumps({"seconds": time.perf_counter() - started, "chosen": chosen}))


if __name__ == "__main__":
    main()
