"""Keys typed while an answer streams: kept for the next prompt as they are, not echoed into the answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tui.cli.console import is_terminal


@contextlib.contextmanager
def held_keys() -> Iterator[None]:
    """No echo and no line editing by the terminal meanwhile; Ctrl-C still interrupts. Without a terminal: nothing."""
    try:
        import termios
    except ImportError:  # Windows: its console does not echo keys that nobody reads
        yield
        return
    if not is_terminal(sys.stdin):
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    held = termios.tcgetattr(descriptor)
    held[0] &= ~termios.ICRNL  # a line editor takes the Enter key for a newline in the text once it is a \n
    held[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, held)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
