"""How long a key press takes to the screen while an answer streams: the real program on a real pseudo-terminal.

A letter is typed every fifth of a second or so; the clock stops when the terminal is sent it. Unix only.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import select
import struct
import sys
import time

PROMPT = "Tell me a long story about a lighthouse keeper. Write at least two thousand words."
TARGET = 50.0
"""Milliseconds at the 99th percentile."""


class Terminal:
    """The program and its screen's bytes."""

    def __init__(self, command: list[str], columns: int, rows: int) -> None:
        import fcntl
        import termios

        pid, self.descriptor = pty.fork()
        if pid == 0:
            os.execvp(command[0], command)
        self.pid = pid
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What the screen is sent within so many seconds."""
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        try:
            return os.read(self.descriptor, 65536) if ready else b""
        except OSError:
            return b""

    def until(self, wanted: bytes, seconds: float) -> float:
        """Seconds until the screen is sent a text. Raises TimeoutError."""
        start, seen = time.perf_counter(), b""
        while (now := time.perf_counter() - start) < seconds:
            seen = (seen + self.read(seconds - now))[-20000:]
            if wanted in seen:
                return time.perf_counter() - start
        raise TimeoutError(f"{wanted!r} never came; the screen was last sent {seen[-400:]!r}")

    def drain(self, seconds: float) -> int:
        """Take what comes for a while; returns how many bytes."""
        end, count = time.perf_counter() + seconds, 0
        while (left := end - time.perf_counter()) > 0:
            count += len(self.read(left))
        return count


def measure(terminal: Terminal, presses: int) -> tuple[list[float], int]:
    """Milliseconds of each press, and the bytes that the answer brought between them."""
    chance = random.Random(1)
    lags, between = [], 0
    for number in range(presses):
        between += terminal.drain(chance.uniform(0.12, 0.25))
        letter = b"XQZJK"[number % 5 : number % 5 + 1]  # letters that an English story hardly has in capitals
        os.write(terminal.descriptor, letter)
        lags.append(terminal.until(letter, 5) * 1000)
    return lags, between


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--size", default="80x24", help="columns and rows")
    arguments = parser.parse_args()
    columns, rows = map(int, arguments.size.split("x"))
    os.environ |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": str(columns), "LINES": str(rows)}
    command = [sys.executable, "-m", "tui.cli.main", "chat", "--no-save", "--lang", "en", "--max-tokens", "4000"]
    terminal = Terminal(command, columns, rows)
    try:
        terminal.until(b" of ", 120)  # the context meter: the model is there
        terminal.drain(1)
        os.write(terminal.descriptor, PROMPT.encode())
        terminal.drain(1)
        os.write(terminal.descriptor, b"\r")
        terminal.until(b"tok/s", 60)
        lags, between = measure(terminal, arguments.presses)
        os.write(terminal.descriptor, b"\x1b")
    finally:
        os.write(terminal.descriptor, b"\x11")
        terminal.drain(2)
        os.close(terminal.descriptor)
    lags.sort()
    at = {share: lags[min(int(len(lags) * share), len(lags) - 1)] for share in (0.5, 0.9, 0.99)}
    print(f"{len(lags)} presses at {arguments.size} while an answer streamed ({between} bytes of it between them)")
    print(
        f"key to screen, ms: median {at[0.5]:.1f}, 90% {at[0.9]:.1f}, 99% {at[0.99]:.1f}, "
        f"most {lags[-1]:.1f} (target at 99%: {TARGET:.0f})"
    )


if __name__ == "__main__":
    main()
