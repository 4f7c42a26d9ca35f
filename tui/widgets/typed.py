"""Keys that act on what was typed: they wait behind letters that their line has not taken up yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.widget import Widget


def after_typing(line: Widget, deed: Callable[[], Any]) -> None:
    """Do something once a line has taken up every letter that was typed before this key.

    A key that comes before all others is done at once, while letters still wait in the queue of the line they go to:
    someone who types fast, or on a busy machine, would take the row that stood there before.
    """

    def do() -> None:
        deed()  # what it returns must not be waited for: a screen can't wait for its own end

    line.call_later(do)
