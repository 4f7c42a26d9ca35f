"""Replies of several clients that decode together: they join between steps, read in turns, and leave when they end.

One object, one computing thread. A turn of its work is a slice of one prompt and a token of every reply; between turns
whatever else the thread was asked for has its go. A client that does not take its tokens is waited for: its reply
pauses, and the others go on. Continuous batching (Orca, OSDI 2022) with chunked prefill (arXiv 2308.16369).
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from engine.batch import Row, Together
    from engine.generation import Generation
    from engine.schema import Chunk

MOST = 16
"""Replies that a turn serves, those that came first; the others wait for a place."""
AHEAD = 8
"""Chunks that a reply runs ahead of its client: enough to stay in step with others while its client reads."""
SLICE = 64
"""Tokens of a prompt that are read between two steps of those who write: a few times as long as a step."""
LARGEST = 2**30
"""Bytes of all rows' keys and values. Who would need more decodes alone, in turns with the rows."""


class _Seat:
    """A reply and its client. What `items` receives ends with None."""

    def __init__(self, generation: Generation, lock: threading.Lock, number: int) -> None:
        self.generation, self.number = generation, number
        self.items: deque[Chunk | BaseException | None] = deque()
        self.news = threading.Condition(lock)
        self.hungry = self.ended = False
        """Whether its client waits for a chunk; whether nothing more will come."""
        self.row: Row | None = None
        """Where it decodes among others; None while it is on its own."""
        self.served = 0
        """The turn in which its prompt was last read: who has waited longest is next."""
        # Whether a reply is enough is asked of its client, who answers only while it waits for the next chunk.
        self.ahead = 0 if generation.reply.enough is not None else AHEAD

    @property
    def ready(self) -> bool:
        """Whether its client has room for more."""
        return not self.ended and (len(self.items) < self.ahead or (self.hungry and not self.items))

    @property
    def joins(self) -> bool:
        """Whether it can decode in a row: its prompt is read, and its first token drawn."""
        return bool(self.ahead and self.generation.ids)


class Crowd:
    """Who is there, and the rows in which they decode."""

    def __init__(self, submit: Callable[[Callable[[], None]], object], rows: Callable[[int], Together]) -> None:
        """`submit` queues work for the computing thread; `rows` makes room for so many replies."""
        self._submit, self._new_rows = submit, rows
        self._rows: Together | None = None
        self._seats: list[_Seat] = []
        """In the order in which they came."""
        self._numbers, self._turns = itertools.count(), itertools.count(1)
        self._lock = threading.Lock()
        self._running = self._closed = False
        """Whether a turn is queued or at work; whether none will ever be again."""

    def follow(self, generation: Generation, compute: Callable[..., object]) -> Generator[Chunk, None, None]:
        """A reply's chunks, computed among the others'. Closing it frees its place within a turn.

        `compute` runs work in the computing thread and waits for it.
        """
        seat = _Seat(generation, self._lock, next(self._numbers))
        with self._lock:
            self._seats.append(seat)
        try:
            while (item := self._next(seat)) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            compute(self._dismiss, seat)

    def close(self) -> None:
        """Nothing is computed any more: tell those who wait."""
        with self._lock:
            self._closed = True
            for seat in self._seats:
                seat.news.notify()

    def _next(self, seat: _Seat) -> Chunk | BaseException | None:
        with self._lock:
            seat.hungry = True
            self._wake()
            seat.news.wait_for(lambda: seat.items or self._closed)
            seat.hungry = False
            if not seat.items:
                raise EngineError("the server was stopped", hint="run the command again")
            item = seat.items.popleft()
            self._wake()
            return item

    def _wake(self) -> None:
        """Have a turn queued, if somebody is ready and none is; the lock is held."""
        if not self._running and not self._closed and any(seat.ready for seat in self._seats):
            self._running = True
            try:
                self._submit(self._turn)
            except RuntimeError:  # the thread has ended
                self._running, self._closed = False, True

    def _turn(self) -> None:
        """In the computing thread."""
        with self._lock:
            active = [seat for seat in self._seats if seat.ready][:MOST]
        try:
            self._work(active)
        except Exception as error:  # noqa: BLE001  (out of memory for a row, for one)
            for seat in active:
                self._end(seat, error)
        with self._lock:
            self._running = False
            self._wake()

    def _work(self, active: list[_Seat]) -> None:
        reading = [seat for seat in active if seat.generation.reading]
        writing = [seat for seat in active if not seat.generation.reading]
        self._gather([seat for seat in writing if seat.joins])
        if reading:
            self._read(min(reading, key=lambda seat: seat.served), beside=bool(writing))
        for seat in writing:
            if seat.row is None:
                self._give(seat, seat.generation.__next__)
        if self._rows is not None:
            self._step(self._rows)

    def _gather(self, wanted: list[_Seat]) -> None:
        """Rows for all that are wanted, if they are more than one: alone, a reply has its drafts."""
        wanted = wanted if len(wanted) > 1 else []
        for seat in self._seats:
            if seat.row is not None and seat not in wanted:
                self._part(seat)
        for seat in wanted:
            rows = self._rows or self._new_rows(MOST)
            if seat.row is None and rows.room_for(seat.generation.held.cache, LARGEST):
                from engine.batch import Row

                row = Row(seat.number, seat.generation.sample, seat.generation.ids)
                seat.generation.enter(rows, row)
                self._rows, seat.row = rows, row

    def _part(self, seat: _Seat) -> None:
        """Take a reply out of its row, with what the row holds."""
        assert self._rows is not None
        assert seat.row is not None
        try:
            seat.generation.leave(self._rows, seat.row)
        finally:
            seat.row = None
            if not self._rows.rows:
                self._rows = None  # its memory with it

    def _read(self, seat: _Seat, *, beside: bool) -> None:
        seat.served = next(self._turns)
        for other in self._seats:
            if other is not seat:
                seat.generation.adopt(other.generation)
        self._give(seat, lambda: seat.generation.read(SLICE if beside else None))

    def _step(self, rows: Together) -> None:
        seats = {seat.number: seat for seat in self._seats if seat.row is not None}
        try:
            drawn = rows.step()
        except Exception as error:  # noqa: BLE001  (each client is told)
            for seat in seats.values():
                self._part(seat)
                self._end(seat, error)
            return
        for row, token in drawn:
            seat = seats[row.index]
            if isinstance(token, EngineError):
                self._part(seat)
                self._end(seat, token)
                continue
            chunk = seat.generation.take(token)
            if chunk.finish_reason:
                self._part(seat)
            self._tell(seat, chunk)

    def _give(self, seat: _Seat, work: Callable[[], Chunk]) -> None:
        """The next chunk of a reply that is on its own."""
        try:
            chunk = work()
        except StopIteration:
            self._end(seat)
        except Exception as error:  # noqa: BLE001  (its client is told, and nobody else)
            self._end(seat, error)
        else:
            self._tell(seat, chunk)

    def _tell(self, seat: _Seat, chunk: Chunk) -> None:
        with self._lock:
            seat.items.append(chunk)
            seat.news.notify()
        if seat.generation.finished:
            self._end(seat)

    def _end(self, seat: _Seat, error: Exception | None = None) -> None:
        with self._lock:
            if seat.ended:
                return
            seat.ended = True
            seat.items += [None] if error is None else [error, None]
            seat.news.notify()

    def _dismiss(self, seat: _Seat) -> None:
        """In the computing thread: what was drawn stays in the session's cache, for the next prompt."""
        try:
            if seat.row is not None:
                self._part(seat)
            seat.generation.close()
        finally:
            with self._lock:
                self._seats.remove(seat)
