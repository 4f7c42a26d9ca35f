"""Ctrl-C and SIGTERM: the first Ctrl-C asks the answer to stop and keeps it, the second leaves at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Terminated(BaseException):
    """SIGTERM came; unwinds like KeyboardInterrupt, so that files and the terminal are put right."""


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises Terminated in the main thread."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)


class Stopper:
    """While it is entered, the first Ctrl-C sets `stopped`; the second, or one before `armed`, raises."""

    def __init__(self) -> None:
        self.stopped = False
        self.armed = False
        """Set by the caller once there is a text to keep."""
        self._previous: Any = None
        self._entered = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._interrupt)
            self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._entered:
            signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.stopped or not self.armed:
            raise KeyboardInterrupt
        self.stopped = True
