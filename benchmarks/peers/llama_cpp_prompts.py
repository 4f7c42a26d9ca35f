"""Reads prompts one by one with llama.cpp: writes greedily after each, or scores the first tokens of some replies.

What a prompt shares with the one before stays in its KV cache, as a careful user of the binding would have it.
Arguments: GGUF file, threads, a JSON file {"prompts": […]} with either "tokens" (how many to write after each) or
"replies" (the texts to choose from). Prints a line of JSON: seconds, loading not counted, and which reply was chosen.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

CONTEXT = 8192


class Reader:
    """The model, and the prompt that its cache holds."""

    def __init__(self, path: str, threads: int) -> None:
        from llama_cpp import Llama

        self._model = Llama(path, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
        self._model.eval(self.ids("warm"))
        self._held: list[int] = []

    def ids(self, text: str) -> list[int]:
        return self._model.tokenize(text.encode(), add_bos=False, special=True)  # type: ignore[no-any-return]

    def read(self, prompt: str) -> Any:
        """The logits after a prompt."""
        ids, shared = self.ids(prompt), 0
        while shared < min(len(self._held), len(ids) - 1) and self._held[shared] == ids[shared]:
            shared += 1
        self._model.n_tokens = shared  # `eval` drops what the cache holds beyond it
        self._held = ids
        return self.go_on(ids[shared:])

    def go_on(self, ids: list[int]) -> Any:
        """The logits after more tokens."""
        import numpy

        self._model.eval(ids)
        return numpy.ctypeslib.as_array(self._model._ctx.get_logits(), shape=(self._model.n_vocab(),))


def main() -> None:
    import numpy

    asked = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    reader = Reader(sys.argv[1], int(sys.argv[2]))
    labels = [reader.ids(reply)[0] for reply in asked.get("replies", [])]
    chosen: list[int] = []
    started = time.perf_counter()
    for at, prompt in enumerate(asked["prompts"]):
        logits = reader.read(prompt)
        if labels:
            chosen.append(int(numpy.argmax([logits[label] for label in labels])))
            continue
        for _ in range(asked["tokens"][at] - 1):
            logits = reader.go_on([int(logits.argmax())])
    print(json.dumps({"seconds": time.perf_counter() - started, "chosen": chosen}))


if __name__ == "__main__":
    main()
