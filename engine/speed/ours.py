"""Our engine under measure. As a program: `python -m engine.speed.ours FOLDER DEVICE THREADS [--start]`."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import sys  # noqa: E402
from contextlib import closing  # noqa: E402
from itertools import islice  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any, Self  # noqa: E402

from engine import texts  # noqa: E402
from engine.lean import import_torch  # noqa: E402
from engine.schema import Message  # noqa: E402
from engine.speed.turns import DECODED, SHORT, answer, ids_of  # noqa: E402
from engine.threads import wait_politely  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor, device

    from engine.kv_cache import KVCache
    from engine.model import Decoder

REPLY = 3 * DECODED
"""Tokens of a reply that drafts are tried on."""
READ = 1 << 29
"""Bytes that are read to measure the memory."""
COPY = "Repeat this text, word for word, and say nothing else:\n\n{text}"
TELL = "Tell me a story about a lighthouse keeper who finds a letter in a bottle."


class Ours:
    """A loaded model; of its vocabulary only replies to a text have need."""

    def __init__(self, folder: Path, model: Decoder, device: device, kernel: str) -> None:
        from engine.kernels import cache_dtype

        self.model, self.device, self.kernel = model, device, kernel
        self._folder, self._dtype = folder, cache_dtype(device)
        self._held: dict[int, tuple[KVCache, Tensor]] = {}
        """Depth -> a cache filled so far, and the logits after it."""

    @classmethod
    def open(cls, folder: Path, device: str = "auto", threads: int | None = None) -> Self:
        """Load a model folder as a session does. Raises as `Session.open`."""
        wait_politely()
        import_torch(lean=True)
        import torch

        from engine import checkpoint, kernels

        if threads is not None:
            torch.set_num_threads(threads)
        where = kernels.resolve_device(device)
        kernel = kernels.choose(where)
        return cls(folder, checkpoint.load(folder, kernel, where), where, kernel.name)

    def cache(self) -> KVCache:
        """An empty one, as a session has it."""
        from engine.kv_cache import KVCache

        return KVCache(self.model.config, dtype=self._dtype, device=self.device)

    def _filled(self, ids: list[int]) -> tuple[KVCache, Tensor]:
        """A cache of these tokens, and the logits after them."""
        from engine.generate import logits_after

        cache = self.cache()
        return cache, logits_after(self.model, cache, ids)

    def _ids(self, count: int) -> list[int]:
        return ids_of(count, self.model.config.vocab_size)

    def first(self, count: int) -> float:
        """Seconds from a prompt of so many tokens to the first token of the reply."""
        begun = time.perf_counter()
        _, logits = self._filled(self._ids(count))
        int(logits.argmax())
        return time.perf_counter() - begun

    def prefill(self, count: int) -> float:
        """Tokens a second of a prompt."""
        return count / self.first(count)

    def decode(self, depth: int) -> float:
        """Tokens a second after so many, greedy, without drafts."""
        depth += SHORT
        if depth not in self._held:
            self._held[depth] = self._filled(self._ids(depth))
        cache, logits = self._held[depth]
        if cache.truncate(depth) < depth:  # a sliding window has moved on
            cache, logits = self._held[depth] = self._filled(self._ids(depth))
        return self._decoded(cache, logits, DECODED, None)

    def _decoded(self, cache: KVCache, logits: Tensor, count: int, prompt: list[int] | None) -> float:
        """Tokens a second as a reply draws them; with drafts from a `prompt`, if there is one."""
        from engine.config import SamplingConfig
        from engine.generate import Drawing
        from engine.generation import decode_alone
        from engine.sampling import Sampler

        drawing = Drawing(self.model, cache, Sampler(SamplingConfig()), frozenset())
        with closing(decode_alone(drawing, logits, prompt)) as tokens:
            next(tokens)  # from the logits
            next(tokens)  # with the first step: where steps are captured, this is when
            begun = time.perf_counter()
            drawn = sum(1 for _ in islice(tokens, count))
            return drawn / (time.perf_counter() - begun)

    def weights(self, _: Any = None) -> float:
        """GB/s of the linear layers' weights, each read once a token."""
        from engine.linear import Int8Linear

        layers = [layer for layer in self.model.modules() if isinstance(layer, Int8Linear)]
        size = sum(layer.out_features * (layer.in_features + 4) for layer in layers)  # a byte each, a scale a row
        return self.decode(0) * size / 1e9

    def memory(self, _: Any = None) -> float:
        """GB/s at which many more numbers than any cache holds are read by all threads, at best."""
        import torch

        numbers = torch.ones(READ // 4096, 1024, device=self.device)
        vector = torch.ones(1024, device=self.device)
        seconds = []
        for _try in range(6):
            begun = time.perf_counter()
            float(torch.mv(numbers, vector)[0])  # which waits for a device
            seconds.append(time.perf_counter() - begun)
        return numbers.numel() * 4 / min(seconds) / 1e9

    def together(self, rows: int) -> float:
        """Tokens a second of so many sequences, all of them counted."""
        from engine.batch import Row, Together
        from engine.config import SamplingConfig
        from engine.row_cache import RowCache
        from engine.sampling import Sampler

        config = self.model.config
        batch = Together(self.model, RowCache(config, rows, dtype=self._dtype, device=self.device), rows)
        for number in range(rows):
            batch.join(Row(number, Sampler(SamplingConfig())), *self._filled(self._ids(SHORT + number)))
        batch.step()
        begun = time.perf_counter()
        for _ in range(DECODED // 2):
            batch.step()
        return rows * (DECODED // 2) / (time.perf_counter() - begun)

    def copying(self, drafts: int) -> float:
        """Tokens a second of a reply that repeats its prompt; `drafts`: 0 or 1."""
        paragraph = texts.read("evaluation", "en").split("\n\n")[1]
        return self._replied(COPY.format(text=paragraph), drafts)

    def telling(self, drafts: int) -> float:
        """Tokens a second of a reply that repeats nothing."""
        return self._replied(TELL, drafts)

    def _replied(self, text: str, drafts: int) -> float:
        from engine.chat_format import ChatFormat
        from engine.tokenizer import Tokenizer

        chat = ChatFormat.load(self._folder, Tokenizer.load(self._folder))
        prompt = chat.encode([Message("user", text)])
        cache, logits = self._filled(prompt)
        return self._decoded(cache, logits, REPLY, prompt if drafts else None)

    def resident(self, _: Any = None) -> float:
        """MB now in use."""
        from engine.speed.memory import resident_mb

        return resident_mb()

    def size(self, _: Any = None) -> float:
        """MB on disk."""
        from engine.speed.memory import size_mb

        return size_mb(self._folder)


if __name__ == "__main__":
    wait_politely()
    import_torch(lean=True)  # counted as an import, not as loading

    answer(lambda: Ours.open(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) or None), BEGUN)
