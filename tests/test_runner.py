"""The model's thread beside the one that draws: it gives way, and the collector leaves alone what was loaded."""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from tui.jobs import let_go
from tui.runner import Runner, settle_memory

if TYPE_CHECKING:
    from engine.session import Session


class Niceness:
    """A job that looks at its own thread, and at one that it starts."""

    def __init__(self) -> None:
        self.key = Runner.new_key()
        self.stopped = threading.Event()
        self.seen: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(self, room: Runner) -> None:
        self._look()
        started = threading.Thread(target=self._look)
        started.start()
        started.join()

    def _look(self) -> None:
        self.seen.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is the whole process's")
def test_the_models_threads_give_way_to_the_one_that_draws() -> None:
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    runner = Runner(lambda message: None)
    job = Niceness()
    runner.submit(job)
    assert [job.seen.get(timeout=10) for _ in range(2)] == [max(ours, 5)] * 2
    runner.close()
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == ours


def test_what_was_loaded_is_not_looked_through_again_and_what_was_let_go_of_is(tiny_session: Session) -> None:
    class Loaded:
        pass

    runner = Runner(lambda message: None)
    runner.session = tiny_session
    first, second = Loaded(), Loaded()
    first.other, second.other = second, first  # type: ignore[attr-defined]
    alive = {id(first), id(second)}
    there = weakref.ref(first)
    try:
        settle_memory()
        assert gc.get_freeze_count() > 0
        assert not alive & {id(found) for found in gc.get_objects()}
        del first, second
        settle_memory()
        assert there() is not None
        let_go(runner)
        settle_memory()
        gc.unfreeze()
        assert not any(type(found).__name__ == "Loaded" for found in gc.get_objects())
    finally:
        gc.unfreeze()
        runner.close()
