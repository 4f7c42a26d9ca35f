"""Someone who may fall silent, listened to on a thread of its own: who waits is free to do something else, or to go."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SILENCE = 0.1
"""Seconds without a word after which one who waits is told so."""
Said = TypeVar("Said")


def listened(say: Callable[[], Generator[Said, None, None]]) -> Generator[Said | None, None, None]:
    """What is said, and None for each while without a word. The thread ends at the first word that nobody waits for."""
    said: queue.SimpleQueue[Said | _End] = queue.SimpleQueue()
    gone = threading.Event()

    def listen() -> None:
        try:
            with contextlib.closing(say()) as heard:
                for one in heard:
                    said.put(one)
                    if gone.is_set():
                        return
            said.put(_End())
        except BaseException as error:  # noqa: BLE001  (it is raised where it is waited for)
            said.put(_End(error))

    threading.Thread(target=listen, name="server", daemon=True).start()
    try:
        while True:
            try:
                one = said.get(timeout=SILENCE)
            except queue.Empty:
                yield None
                continue
            if not isinstance(one, _End):
                yield one
            elif one.error is None:
                return
            else:
                raise one.error
    finally:
        gone.set()


class _End:
    """Nothing more is said."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
