"""What `--schema` costs, without weights: the grammar's start, and a token's mask, on the vocabulary of a model.

`python -m benchmarks.schema_cost [MODEL_FOLDER]`; medians of five rounds. The process uses one thread.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = "name, age int 0..150, mood in happy|sad, tags[], born date?, 姓名, score number"
VALUE = (
    '{"name": "Anna \\"K\\" Karenina 王小明", "age": 37, "mood": "happy", "tags": ["red thing", "绿色"], '
    '"born": "2001-02-03", "姓名": "李四", "score": 1.25}'
)
ROUNDS = 5


def main() -> None:
    import torch

    from benchmarks.installed import default_model
    from engine.config import SamplingConfig
    from engine.sampling import Sampler, keep_allowed
    from engine.shape import parse
    from engine.structure import Vocabulary, compile_schema
    from engine.tokenizer import Tokenizer

    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default_model()
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        seconds.setdefault(name, []).append(time.perf_counter() - started)
        return result

    for _ in range(ROUNDS):
        tokenizer = Tokenizer.load(folder)
        grammar = timed("schema to grammar", lambda: compile_schema(parse(SHAPE)))
        vocabulary = timed("vocabulary, once a session", lambda t=tokenizer: Vocabulary(t, t.eos_ids))
        constraint = timed("constraint, once a reply", lambda v=vocabulary, g=grammar: v.constraint(g))
        logits = torch.randn(tokenizer.vocab_size)
        greedy = Sampler(SamplingConfig())
        for token in tokenizer.encode_parts(["", VALUE]):
            timed("a token: its mask, computed and applied", lambda c=constraint, x=logits: keep_allowed(x, c))
            timed("a token: drawn greedily, for comparison", lambda d=greedy, x=logits: d(x, []))
            constraint.take(token)
        assert constraint.finished
    print(f"{folder.name}, {tokenizer.vocab_size} tokens\n\n| | median | largest |\n|---|--:|--:|")
    for name, found in seconds.items():
        print(f"| {name} | {told(statistics.median(found))} | {told(max(found))} |")


def told(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


if __name__ == "__main__":
    main()
