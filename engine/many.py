"""Many conversations of one caller: replies that decode in step, and labels scored side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.batch import Row, score_packed, shared_prefix
from engine.errors import EngineError, InputTooLong, OutputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from engine.batch import Together
    from engine.generate import Token
    from engine.generation import Generation
    from engine.held import Held
    from engine.model import Decoder
    from engine.schema import Chunk


def stream_together(
    rows: Together, generations: Iterator[Generation | InputTooLong]
) -> Generator[tuple[int, Chunk | InputTooLong | OutputError], None, None]:
    """Chunks with the index of their generation, which is taken from `generations` when a row is free.

    The generations share one cache, in which each prompt is read; one that does not fit gives an error instead, and one
    that can't follow its grammar an error as its end.
    """
    waiting = enumerate(generations)
    running: dict[int, Generation] = {}
    more = True
    while more or rows.rows:
        drawn: list[tuple[Row, Token | EngineError]] = []
        while more and not rows.full:
            index, generation = next(waiting, (-1, None))
            if generation is None:
                more = False
            elif isinstance(generation, InputTooLong):
                yield index, generation
            else:
                while generation.reading:
                    yield index, generation.read()
                running[index] = generation
                row = Row(index, generation.sample, generation.ids)
                drawn.append((row, _joined(rows, row, generation)))
        if rows.rows and not drawn:
            drawn = rows.step()
        for row, token in drawn:
            if isinstance(token, EngineError) and not isinstance(token, OutputError):
                raise token
            event = token if isinstance(token, OutputError) else running[row.index].take(token)
            if isinstance(event, OutputError) or event.finish_reason:
                rows.leave(row)
                running.pop(row.index).close()
            yield row.index, event


def _joined(rows: Together, row: Row, generation: Generation) -> Token | OutputError:
    """The first token of a row that joins, or why none could be drawn."""
    try:
        return rows.join(row, generation.held.cache, generation.logits)
    except OutputError as error:
        return error


def score_together(
    model: Decoder, held: Held, prompts: Sequence[list[int]], continuations: Sequence[Sequence[int]], context: int
) -> Generator[list[list[float]] | InputTooLong, None, None]:
    """For each prompt, in order, the log-probability of each id of each continuation; several prompts in one pass.

    What they begin with is computed once, and again only where another prompt was read into the cache in between. A
    prompt that does not fit gives an error. Closing stops between passes.
    """
    room = context - max((len(ids) for ids in continuations), default=0)
    fitting = [prompt for prompt in prompts if len(prompt) <= room]
    if not fitting:
        yield from (too_long(len(prompt), context) for prompt in prompts)
        return
    prefix = shared_prefix(fitting)
    rows, turn = score_packed(model, held.cache, prefix, fitting, continuations), -1
    try:
        for prompt in prompts:
            if held.turn != turn:
                held.keep([*prefix, -1])
                turn = held.turn
                held.ids = prefix  # holds whenever we are stopped: what the cache has is the beginning of it
            yield next(rows) if len(prompt) <= room else too_long(len(prompt), context)
    finally:
        rows.close()
        if held.turn == turn:
            held.ids = prefix[: held.cache.truncate(len(prefix))]


def too_long(tokens: int, context: int) -> InputTooLong:
    """What a text that leaves no room is refused with."""
    return InputTooLong(f"the text needs {tokens} tokens, the context is {context}")
