"""A Ctrl-C at a line of our choice, so that tests can try every one of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def interrupted(file: str, stop: int, work: Callable[[], object]) -> bool:
    """Whether work came to so many lines of a file, where the KeyboardInterrupt was raised; else it was done."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith(file):
            return None
        if event == "line":
            lines += 1
            if lines == stop + 1:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
