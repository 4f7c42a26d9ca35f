"""The thread that owns the model: takes one job after another and posts what happens. It never touches a widget."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from engine.errors import EngineError
from tui.messages import JobBegan, JobFailed

if TYPE_CHECKING:
    from textual.message import Message

    from engine.session import Session

_SWITCH = 0.001
"""Seconds that a thread may hold the interpreter while another wants it: the default of 5 ms is felt when typing."""
_NICENESS = 5
_keys = itertools.count(1)


def _after_the_keys() -> None:
    """The calling thread, and those that it starts, give way to the one that draws: else a key waits for a step."""
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def settle_memory() -> None:
    """What has been loaded stays until it is let go of: the garbage collector need not look through it again and again,
    for a tenth of a second each time, in which no key is answered."""
    gc.collect()
    gc.freeze()


class Work(Protocol):
    """Something to do with the model."""

    key: int
    stopped: threading.Event

    @property
    def brief(self) -> bool:
        """Whether a long job lets it go first: it then runs amid that one, with the model that is loaded."""
        ...

    def run(self, room: Runner) -> None:
        """Do it, on the model's thread. Raises EngineError."""


class Runner:
    """One thread, one session, jobs in the order in which they were handed in."""

    def __init__(self, post: Callable[[Message], object], name: str = "model") -> None:
        self.post = post
        self.session: Session | None = None
        self.reopen: Callable[[int], None] | None = None
        """Takes the loaded model up again as it was, for the job of a key; None where it was not loaded here."""
        self._jobs: deque[Work] = deque()
        self._open: dict[int, Work] = {}
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._closed = threading.Event()
        sys.setswitchinterval(_SWITCH)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @staticmethod
    def new_key() -> int:
        """A number that no other job of this process has."""
        return next(_keys)

    def submit(self, job: Work) -> int:
        """Hand in a job; returns its key."""
        with self._news:
            self._open[job.key] = job
            self._jobs.append(job)
            self._news.notify()
        return job.key

    def stop(self, key: int) -> None:
        """End a job within a token, or at once where it has not begun; it still says how it ended."""
        with self._lock:
            if (job := self._open.get(key)) is None:
                return
            job.stopped.set()
            if waits := job in self._jobs:
                self._jobs.remove(job)
        if waits:
            self._do(job)

    def waiting(self) -> int:
        """Jobs that are not done."""
        with self._lock:
            return len(self._open)

    def close(self, patience: float = 10.0) -> None:
        """Stop everything and let go of the model; waits for the running job's next token."""
        with self._news:
            self._closed.set()
            for job in self._open.values():
                job.stopped.set()
            self._news.notify()
        self._thread.join(patience)

    def give_way(self) -> None:
        """Called by a long job between two steps, on the model's thread: the brief ones that wait come first.

        None overtakes a job that is not brief, such as another model.
        """
        while (job := self._brief()) is not None:
            self._do(job)

    def _brief(self) -> Work | None:
        with self._lock:
            return self._jobs.popleft() if self._jobs and self._jobs[0].brief else None

    def _next(self) -> Work | None:
        """The next job, when there is one; None once all is closed."""
        with self._news:
            self._news.wait_for(lambda: self._jobs or self._closed.is_set())
            return None if self._closed.is_set() else self._jobs.popleft()

    def _work(self) -> None:
        _after_the_keys()
        while (job := self._next()) is not None:
            self._do(job)
        if self.session is not None:
            self.session.close()
            self.session = None

    def _do(self, job: Work) -> None:
        self._tell(JobBegan(job.key))
        try:
            job.run(self)
        except EngineError as error:
            self._tell(JobFailed(job.key, error))
        except MemoryError:
            self._tell(JobFailed(job.key, EngineError("not enough memory", hint="a smaller model, or a smaller ctx")))
        except Exception as error:  # noqa: BLE001  (the thread must outlive one bad job, and the person must hear of it)
            self._tell(JobFailed(job.key, EngineError(f"unexpected {type(error).__name__}: {error}")))
        finally:
            with self._lock:
                self._open.pop(job.key, None)

    def _tell(self, message: Message) -> None:
        with contextlib.suppress(RuntimeError):  # the app is gone
            self.post(message)
