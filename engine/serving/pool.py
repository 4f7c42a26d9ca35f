"""Sessions on one set of weights, each with a KV cache of its own, and the one thread in which all of them compute.

Whoever asks takes turns by the step, and replies that are drawn at the same time share their steps (`crowd`). Nobody
sees another's cache, but what prompts begin with alike is computed once.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

from engine.alike import common_prefix_length
from engine.errors import EngineError
from engine.serving.crowd import Crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from engine.session import Session

Result = TypeVar("Result")
IDLE = 3
"""Sessions kept with their caches while nobody uses them: a chat, a task and a stranger do not push each other out."""
REMEMBERED = 256
"""Scores kept: what labels' priors rest on is asked for by every command again."""
_DONE = object()


class Pool:
    """A model for several clients at once."""

    def __init__(self, open_session: Callable[[], Session]) -> None:
        """`open_session` is called in the computing thread."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._computing = self._thread.submit(threading.current_thread).result()
        self.base = self._thread.submit(open_session).result()
        """Answers what needs no cache; safe from any thread for counting."""
        self._limit = self.base.context
        self._idle: OrderedDict[int, tuple[str, Session]] = OrderedDict()
        """What each session's last prompt began with, the most recently used last."""
        self._lock = threading.Lock()
        self._closed = False
        self._crowd = Crowd(self._thread.submit, self.base.rows)
        self.scores = Remembered(REMEMBERED)

    def compute(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run it in the computing thread, after whoever came before; at once where that thread asks."""
        if threading.current_thread() is self._computing:
            return work(*arguments)
        try:
            return self._thread.submit(work, *arguments).result()
        except (CancelledError, RuntimeError) as error:
            if self._closed:
                raise EngineError("the server was stopped", hint="run the command again") from error
            raise

    def steps(self, generator: Generator[Result, Any, Any]) -> Generator[Result, None, None]:
        """A generator's items, each computed in the computing thread; it is closed there. Replies decode together.

        Asked for in that thread itself, by who answers a question in the middle of a step, they come alone: there is
        nobody else to wait for.
        """
        from engine.generation import Generation

        if threading.current_thread() is self._computing:
            with contextlib.closing(generator):
                yield from generator
            return
        if isinstance(generator, Generation):
            yield from cast("Generator[Result, None, None]", self._crowd.follow(generator, self.compute))
            return
        try:
            while (item := self.compute(next, generator, _DONE)) is not _DONE:
                yield item
        finally:
            self.compute(generator.close)

    def embed(self, texts: Sequence[str], gone: Callable[[], bool] = lambda: False) -> NDArray[float32]:
        """Vectors as `Session.embed` gives them, others served in between. EngineError if who asked is `gone`."""
        with contextlib.closing(self.steps(self.base.embedding(texts))) as steps:
            for vectors in steps:
                if vectors is not None:
                    return vectors
                if gone():
                    break
        raise EngineError("who asked has gone")

    @contextlib.contextmanager
    def session(self, begins: str, context: int | None) -> Iterator[Session]:
        """A session for one prompt that begins so: the idle one whose cache probably holds most of it."""
        session = self._take(begins)
        session.context = min(context or self._limit, self._limit)
        try:
            yield session
        finally:
            with self._lock:
                self._idle[id(session)] = (begins, session)
                while len(self._idle) > IDLE:
                    self._idle.popitem(last=False)

    def _take(self, begins: str) -> Session:
        with self._lock:
            shared = {key: common_prefix_length(begins, known) for key, (known, _) in self._idle.items()}
            best = max(reversed(shared), key=shared.__getitem__, default=0)
            if best and not shared[best]:
                best = next(iter(shared)) if len(shared) >= IDLE else 0
            if best:
                return self._idle.pop(best)[1]
        return self.compute(self.base.fork)

    def close(self) -> None:
        """Wait for the step that runs, and let go of the model."""
        self._closed = True
        self._crowd.close()
        self._thread.shutdown(cancel_futures=True)
        self._idle.clear()
        self.base.close()


class Remembered:
    """The last few results by what was asked, for work whose result depends on nothing else."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[bytes, list[Any]] = OrderedDict()
        """By the digest of what was asked, which may be as long as a client likes."""
        self._lock = threading.Lock()

    def through(self, key: str, work: Callable[[], Iterator[Any]]) -> Generator[Any, None, None]:
        """The items that are known for this key, else those of `work`, remembered once all have come."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            known = self._results.get(digest)
            if known is not None:
                self._results.move_to_end(digest)
        if known is not None:
            yield from known
            return
        items = []
        for item in work():
            items.append(item)
            yield item
        with self._lock:
            self._results[digest] = items
            while len(self._results) > self._most:
                self._results.popitem(last=False)
