"""CTranslate2. Arguments: the converted model's folder (`benchmarks.peers.ctranslate_model`), threads.

Its interface takes whole prompts and keeps no cache between calls: decoding is timed as what more tokens add.
"""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.divergence import divergence  # noqa: E402
from engine.speed.memory import resident_mb, size_mb  # noqa: E402
from engine.speed.turns import DECODED, SHORT, answer, ids_of  # noqa: E402


class Theirs:
    """A generator of int8 weights."""

    def __init__(self, folder: Path, threads: int) -> None:
        import ctranslate2

        self.folder = folder
        self.model = ctranslate2.Generator(str(folder), device="cpu", compute_type="int8", intra_threads=threads)
        self.pieces: list[str] = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))

    def generated(self, count: int, more: int, rows: int = 1) -> float:
        """Seconds from so many tokens of a prompt to so many of the reply."""
        prompt = [self.pieces[id_] for id_ in ids_of(count, len(self.pieces))]
        begun = time.perf_counter()
        self.model.generate_batch(
            [prompt] * rows, max_length=more, min_length=more, include_prompt_in_result=False, max_batch_size=rows
        )
        return time.perf_counter() - begun

    def first(self, count: int) -> float:
        return self.generated(count, 1)

    def prefill(self, count: int) -> float:
        return count / self.first(count)

    def decode(self, depth: int) -> float:
        return self.together(1, depth)

    def together(self, rows: int, depth: int = 0) -> float:
        one = self.generated(depth + SHORT, 1, rows)
        return rows * DECODED / (self.generated(depth + SHORT, 1 + DECODED, rows) - one)

    def kl(self, path: str) -> float:
        import numpy

        known = numpy.load(path)
        logits = self.model.forward_batch([[self.pieces[id_] for id_ in known["ids"].tolist()]])
        return divergence(known["logits"], numpy.array(logits)[0])

    def resident(self, _: Any) -> float:
        return resident_mb()

    def size(self, _: Any) -> float:
        return size_mb(self.folder)


if __name__ == "__main__":
    answer(lambda: Theirs(Path(sys.argv[1]), int(sys.argv[2])), BEGUN)
