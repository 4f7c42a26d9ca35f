"""A reply as it grows: ids in, chunks of safe text out, with their figures and the reason why it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.schema import Chunk
from engine.stop_strings import StopStrings

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.generate import Token
    from engine.schema import FinishReason
    from engine.structure import Constraint
    from engine.tokenizer import StreamDecoder


class Reply:
    """Decodes ids, watches for stop ids, stop strings and the end of the room."""

    def __init__(
        self,
        decoder: StreamDecoder,
        *,
        stop_strings: tuple[str, ...],
        stop_ids: frozenset[int],
        room: int,
        strip: bool,
        prompt_tokens: int = 0,
        constraint: Constraint | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> None:
        """`room`: tokens at most. `strip`: drop white space before the first word.

        With a `constraint`, `stop` means that it is complete, and `length` that it is not. `enough` is asked after each
        piece of text whether the reply so far, as text, is all that is wanted: then it ends.
        """
        self._decoder, self._stop_ids, self._room, self._strip = decoder, stop_ids, room, strip
        self._stops = StopStrings(stop_strings)
        self.ids: list[int] = []
        """The reply's tokens, a stop id not counted."""
        self.finish_reason: FinishReason | None = None
        self.cached = 0
        """How many of the prompt's tokens were still in the KV cache."""
        self._prompt_tokens = prompt_tokens
        self.constraint, self.enough = constraint, enough
        self._said = ""
        self._started = self._prefilled = time.perf_counter()

    def waiting(self) -> Chunk:
        """An empty chunk between prefill steps: lets a caller stop, or show that something happens."""
        return Chunk("", prompt_tokens=self._prompt_tokens, cached_tokens=self.cached)

    def begin(self) -> None:
        """Prefill is done."""
        self._prefilled = time.perf_counter()

    def take(self, token: Token) -> Chunk:
        """The next token as a chunk."""
        text = self.push(token.id)
        return Chunk(
            text,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self.cached,
            prefill_seconds=self._prefilled - self._started,
            ids=(token.id,),
            logprobs=(token.logprob,),
            output_tokens=len(self.ids),
            decode_seconds=time.perf_counter() - self._prefilled,
            finish_reason=self.finish_reason,
        )

    def push(self, token: int) -> str:
        """Take the next id; returns the text that is now certain."""
        if token in self._stop_ids:
            self.finish_reason = "stop"
            return self._end()
        self.ids.append(token)
        text = self._stops.push(self._lead(self._decoder.push(token)))
        if self._stops.hit:
            self.finish_reason = "stop"
        elif self.constraint is not None and self.constraint.finished:
            self.finish_reason = "stop"
            text += self._end()
        elif len(self.ids) >= self._room:
            self.finish_reason = "stop" if self.constraint is not None and self.constraint.complete else "length"
            text += self._end()
        if self.enough is not None and text:
            self._said += text
            if self.finish_reason is None and self.enough(self._said):
                self.finish_reason = "stop"
                text += self._end()
        return text

    def _end(self) -> str:
        return self._stops.push(self._lead(self._decoder.flush())) + self._stops.flush()

    def _lead(self, text: str) -> str:
        if not self._strip:
            return text
        text = text.lstrip()
        self._strip = not text
        return text
