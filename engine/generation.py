"""One reply on its way: a prompt is read, then tokens are drawn, alone or in a batch, and from one to the other."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from engine.batch import decode_in_row
from engine.drafts import Drafts
from engine.errors import EngineError
from engine.generate import Drawing, Token, decode, last_logits
from engine.kernels import graph
from engine.schema import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from engine.batch import Row, Together
    from engine.generate import Sample
    from engine.held import Held
    from engine.model import Decoder
    from engine.reply import Reply


def decode_alone(
    drawing: Drawing,
    logits: Tensor | None,
    prompt: Sequence[int] | None = None,
    returns: Callable[[], bool] = lambda: True,
) -> Generator[Token, None, None]:
    """`engine.generate.decode` of one sequence, in the way that is fastest where it runs: what a reply does, and what
    `llm bench` therefore times.

    Where a device has graphs, in captured steps over a row of its own (`decode_in_row`); else with drafts taken from
    the `prompt`, if there is one and the model's steps are exact.
    """
    if graph.has_graphs(drawing.cache.device):
        return decode_in_row(drawing, logits, returns)
    drafts = Drafts([*prompt, *drawing.ids]) if prompt is not None and drawing.model.steps_are_exact else None
    return decode(drawing, logits, drafts)


class Generation(Generator[Chunk, None, None]):
    """Taken as a generator it runs alone, drafts included. Closing it stops within a token; what was drawn stays held.

    Who decodes many together calls `read` until the prompt is, takes the first chunk alone, then lets it `enter` and
    `leave` rows, whose tokens it is told with `take`.
    """

    def __init__(
        self,
        model: Decoder,
        held: Held,
        prompt: Sequence[int],
        reply: Reply,
        sample: Sample,
        stop_ids: frozenset[int],
    ) -> None:
        self.prompt, self.reply, self.held, self.sample = prompt, reply, held, sample
        self._model, self._drawing = model, Drawing(model, held.cache, sample, stop_ids)
        self.ids = self._drawing.ids
        """Drawn so far; the last of them is not in the cache."""
        self.finished = False
        self._begun, self._turn = False, 0
        self._read: Tensor | None = None
        self._alone: Generator[Token, None, None] | None = None

    @property
    def reading(self) -> bool:
        """Whether some of the prompt is still to run."""
        return self._read is None

    @property
    def logits(self) -> Tensor:
        """(V,) after the prompt, once it was read."""
        assert self._read is not None
        return self._read

    def likeliest(self, count: int) -> list[tuple[int, float]]:
        """The tokens that the reply most probably begins with, and their log-probabilities."""
        best = self.logits.float().log_softmax(-1).topk(count)
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def read(self, tokens: int | None = None) -> Chunk:
        """Run the next so many tokens of the prompt; returns an empty chunk."""
        self._begin()
        self._require_cache()
        hidden = self.held.read(self._model, self.prompt, tokens)
        if self.held.cache.length == len(self.prompt):
            self._read = last_logits(self._model, hidden)
            self.reply.begin()
        return self.reply.waiting()

    def _begin(self) -> None:
        if not self._begun:
            self.reply.cached = self.held.keep(self.prompt)
            self._begun, self._turn = True, self.held.turn

    def adopt(self, other: Generation) -> None:
        """Take over what another's cache holds more of this prompt, before it is read."""
        if self.reading:
            self._begin()
            self.reply.cached += self.held.adopt(other.held, self.prompt)

    def take(self, token: Token) -> Chunk:
        """A drawn token as a chunk."""
        chunk = self.reply.take(token)
        if chunk.finish_reason:
            self.close()
        return chunk

    def send(self, value: None = None) -> Chunk:
        """The next chunk, computed alone."""
        if self.finished:
            raise StopIteration
        try:
            return self.read() if self.reading else self.take(self._drawn())
        except BaseException:
            self.close()
            raise

    def _drawn(self) -> Token:
        self._require_cache()
        if self._alone is None:
            logits = None if self.ids else self.logits
            self._alone = decode_alone(self._drawing, logits, self.prompt, self._holds)
        token = next(self._alone)
        self._count()
        return token

    def _count(self) -> None:
        """Say what the cache holds. Drafted tokens may lie in it in place of the last one, which is not counted."""
        self.held.ids = [*self.prompt, *self.ids[:-1]][: self.held.cache.length]

    def _end_alone(self) -> None:
        if self._alone is not None:
            self._alone.close()
            self._alone = None
            if self._holds():
                self._count()

    def _holds(self) -> bool:
        """Whether the cache is still this reply's: one that was left open may be closed after the next has begun."""
        return self.held.turn == self._turn

    def _require_cache(self) -> None:
        """Raises EngineError where another prompt has been read into the cache: what came now would continue that."""
        if not self._holds():
            raise EngineError("the session has begun another reply since: this one can't go on", hint="ask again")

    def enter(self, rows: Together, row: Row) -> None:
        """Go on in a batch; at least one token was drawn."""
        self._end_alone()
        self.held.cache.truncate(len(self.prompt) + len(self.ids) - 1)  # without what was drafted
        rows.enter(row, self.held.cache)

    def leave(self, rows: Together, row: Row) -> None:
        """Leave the batch, with all that it computed; may go on alone."""
        rows.leave(row, self.held.cache)
        self.held.ids = [*self.prompt, *self.ids][: self.held.cache.length]

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Chunk:
        """End with an exception."""
        self.close()
        return super().throw(kind, value, traceback)

    def close(self) -> None:
        """Draw no more."""
        self.finished = True
        self._end_alone()
