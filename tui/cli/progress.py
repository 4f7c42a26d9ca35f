"""How far long work has come, on stderr: a bar on a terminal that is gone when done, else a line each ten seconds."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from tui.cli.console import Console, on_one_line
from tui.cli.widths import columns, cut

Item = TypeVar("Item")


def size(count: float) -> str:
    """Bytes for people: `491.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def clock(seconds: float) -> str:
    """A duration for people: `1:05`, `2:03:04`."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Progress:
    """Counts of one stretch of work. Use as a context manager; call `update` as often as you like."""

    def __init__(self, console: Console, label: str, *, in_bytes: bool = False) -> None:
        self._console = console
        self._label = label
        self._format = size if in_bytes else lambda count: f"{count:.0f}"
        self._started = self._shown = time.monotonic()
        self._first: float | None = None
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.clear()

    def update(self, done: float, total: float | None = None, label: str | None = None) -> None:
        """So much is done. A new label starts a new stretch with its own clock."""
        if self._console.quiet:
            return
        now = time.monotonic()
        if label is not None and label != self._label:
            self._label, self._first, self._started = label, None, now
        if self._first is None:
            self._first = done
        moving = self._console.stderr_is_terminal
        if now - self._shown < (0.1 if moving else 10):
            return
        self._shown = now
        text = f"{on_one_line(self._console.said(self._label))} {self._figures(done, total, now)}"
        if moving:
            self._draw(text, done / total if total else None)
        else:
            self._console.quote(text)

    def over(self, items: Sequence[Item]) -> Iterator[Item]:
        """The items, counted as they are taken."""
        for done, item in enumerate(items):
            self.update(done, len(items))
            yield item

    def _figures(self, done: float, total: float | None, now: float) -> str:
        elapsed = max(now - self._started, 1e-6)
        rate = (done - (self._first or 0)) / elapsed
        parts = [self._format(done) if not total else f"{self._format(done)}/{self._format(total)}"]
        chinese = self._console.language == "zh"
        if total:
            parts[0] += f"（{done / total:.0%}）" if chinese else f" ({done / total:.0%})"
        if rate > 0:
            said = self._console.said
            parts.append(f"{self._format(rate)}/s" if rate >= 1 else said(f"{1 / rate:.1f} s each"))
            if total and done < total:
                parts.append(said(f"{clock((total - done) / rate)} left"))
        return ("，" if chinese else ", ").join(parts)

    def _draw(self, text: str, share: float | None) -> None:
        width = shutil.get_terminal_size().columns
        room = min(30, width - columns(text) - 4)
        bar = ""
        if share is not None and room >= 8:
            filled = int(room * min(share, 1.0))
            bar = f" [{'#' * filled}{'.' * (room - filled)}]"
        self._drawn = True
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"\r{cut(text + bar, width - 1)}\x1b[K")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._drawn = False
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
