"""A terminal for tests: a real process on a pseudo-terminal, and a screen that shows what a person would see there.

Only what full-screen programs send is understood: places, styles (left out), the alternate screen and private modes.
It answers that it draws each frame at once, so that what is seen between two frames can be judged.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pexpect
from cli_process import COMMAND, ROOT, environment
from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = {
    "enter": "\r", "escape": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D",
    "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR",
}  # fmt: skip
PATIENCE = 240.0
"""Seconds: only a broken program, or a very busy machine, needs them."""
_SEQUENCE = re.compile(
    r"\x1b\[(?P<csi>[0-9;:?<>=$]*)(?P<final>[@-~])|\x1b[\]P_^X].*?(?:\x07|\x1b\\)|\x1b[()#%].|\x1b[^\[\]P_^X()#%]",
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:?<>=$]*|[\]P_^X][^\x07]{0,4096}|[()#%])?$")


class Screen:
    """Cells, a cursor and the modes that are on."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.modes: set[int] = set()
        """Private modes that are on; 25, the cursor's, is counted while it is hidden."""
        self.keyboards = 0
        """Extended keyboard protocols on the stack."""
        self.frames: list[str] = []
        """What stood there at the end of each synchronized update."""
        self.written: list[set[int]] = []
        """By frame, the rows that were written to in it."""
        self.received = 0
        """Characters from the program."""
        self.outside = 0
        """Letters drawn outside of synchronized updates: what may be seen half done."""
        self.clears = 0
        self.answers: list[str] = []
        """What the terminal says back to the program."""
        self._rest = ""
        self._rows_now: set[int] = set()
        self._within = False
        self._clear()

    def resize(self, columns: int, rows: int) -> None:
        """Another size; what stands there is drawn again by the program."""
        self.columns, self.rows = columns, rows
        self._clear()

    def _clear(self) -> None:
        self._cells = [[" "] * self.columns for _ in range(self.rows)]
        self._x = self._y = 0

    @property
    def text(self) -> str:
        """The lines, without blanks at their ends."""
        return "\n".join("".join(row).rstrip() for row in self._cells)

    @property
    def restored(self) -> bool:
        """Whether the terminal is as a shell wants it."""
        return not self.modes - {7} and self.keyboards == 0

    def feed(self, data: str) -> None:
        """What the program has sent."""
        self.received += len(data)
        data, self._rest = self._rest + data, ""
        if found := _UNFINISHED.search(data):
            data, self._rest = data[: found.start()], data[found.start() :]
        at = 0
        for found in _SEQUENCE.finditer(data):
            self._write(data[at : found.start()])
            if found["final"]:
                self._control(found["csi"], found["final"])
            at = found.end()
        self._write(data[at:])

    def _write(self, text: str) -> None:
        for char in text:
            if char == "\r":
                self._x = 0
            elif char == "\n":
                self._y = min(self._y + 1, self.rows - 1)
            elif char == "\b":
                self._x = max(self._x - 1, 0)
            elif char >= " ":
                self._put(char)

    def _put(self, char: str) -> None:
        width = cell_len(char)
        if width == 0:
            return
        if self._x + width > self.columns:
            self._x, self._y = 0, min(self._y + 1, self.rows - 1)
        self._rows_now.add(self._y)
        self.outside += not self._within
        row = self._cells[self._y]
        row[self._x] = char
        if width == 2:
            row[self._x + 1] = ""
        self._x += width

    def _control(self, parameters: str, final: str) -> None:
        numbers = [int(part) for part in re.findall(r"\d+", parameters)]
        first = numbers[0] if numbers else 0
        if final in "Hf":
            self._y = min(max(first, 1), self.rows) - 1
            self._x = min(max(numbers[1] if len(numbers) > 1 else 1, 1), self.columns) - 1
        elif final in "ABCD":
            step = max(first, 1)
            self._y += {"A": -step, "B": step}.get(final, 0)
            self._x += {"C": step, "D": -step}.get(final, 0)
            self._y, self._x = min(max(self._y, 0), self.rows - 1), min(max(self._x, 0), self.columns - 1)
        elif final == "J":
            self.clears += first == 2
            for y in range(0 if first == 2 else self._y, self.rows):
                start = self._x if y == self._y and first != 2 else 0
                self._cells[y][start:] = [" "] * (self.columns - start)
        elif final == "K":
            self._cells[self._y][self._x :] = [" "] * (self.columns - self._x)
        elif parameters.startswith("?") and final in "hl":
            for number in numbers:
                self._mode(number, on=final == "h")
        elif parameters.startswith("?") and final == "p" and 2026 in numbers:
            self.answers.append("\x1b[?2026;2$y")
        elif final == "u" and parameters[:1] in {">", "<"}:
            self.keyboards = max(self.keyboards + (1 if parameters[0] == ">" else -1), 0)

    def _mode(self, number: int, *, on: bool) -> None:
        if number == 2026:
            self._within = on
            if not on:
                self.frames.append(self.text)
                self.written.append(self._rows_now)
                self._rows_now = set()
            return
        if number == 1049:
            self._clear()
        if on != (number == 25):  # a hidden cursor is what is out of the ordinary
            self.modes.add(number)
        else:
            self.modes.discard(number)


class Terminal:
    """Someone at a terminal with a program in it: our command, or `code` that runs it."""

    def __init__(
        self, home: Path, *arguments: str, size: tuple[int, int] = (80, 24), code: str = "", **environ: str
    ) -> None:
        command = ["-c", code] if code else COMMAND[1:]
        variables = environment(home, {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | environ)
        self.screen = Screen(*size)
        self.program: Any = pexpect.spawn(
            sys.executable, [*command, *arguments], env=variables, cwd=str(ROOT), encoding="utf-8",
            dimensions=(size[1], size[0]), timeout=PATIENCE,
        )  # fmt: skip
        self._before = termios.tcgetattr(self.program.child_fd)[:4]

    def pump(self, seconds: float = 0.05) -> bool:
        """Take what the program sends; False once it has gone."""
        try:
            self.screen.feed(self.program.read_nonblocking(65536, seconds))
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            return False
        while self.screen.answers:
            self.program.send(self.screen.answers.pop(0))
        return True

    def sees(self, wanted: str | Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until a text stands on the screen, or something is so. Fails with the screen as it is."""
        end = time.monotonic() + seconds
        while not (wanted in self.screen.text if isinstance(wanted, str) else wanted()):
            alive = self.pump()
            if not alive or time.monotonic() > end:
                raise AssertionError(f"never came: {wanted!r}; alive: {alive}; the screen:\n{self.screen.text}")

    def sees_no(self, unwanted: str) -> None:
        """Wait until a text has gone."""
        self.sees(lambda: unwanted not in self.screen.text)

    def types(self, text: str) -> None:
        """Letters, as they are typed."""
        self.program.send(text)

    def press(self, *keys: str) -> None:
        """Keys by name, a letter as it is, `ctrl+x`; each after what came of the one before."""
        for key in keys:
            if key.startswith("ctrl+"):
                self.program.sendcontrol(key[-1])
            else:
                self.program.send(KEYS.get(key, key))
            for _ in range(6):  # Esc, then a letter, must not look like Alt and the letter
                self.pump()

    def paste(self, text: str) -> None:
        """A text as a terminal pastes it; what comes meanwhile is taken, or both sides would wait."""
        data = f"\x1b[200~{text}\x1b[201~".encode()
        while data:
            data = data[os.write(self.program.child_fd, data[:1024]) :]
            self.pump(0.001)

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the window."""
        self.screen.resize(columns, rows)
        self.program.setwinsize(rows, columns)

    def kill(self) -> None:
        """kill -9."""
        self.program.kill(signal.SIGKILL)
        self.program.close()

    def hang_up(self) -> int:
        """Close the window; returns the exit status of the program, which has no terminal any more."""
        self.program.ptyproc.fileobj.close()
        end = time.monotonic() + PATIENCE
        while self.program.isalive():
            assert time.monotonic() < end, "it goes on without a terminal"
            time.sleep(0.05)
        self.program.close()
        return int(self.program.exitstatus)

    def leaves(self) -> int:
        """Wait for its end; returns the exit status. Fails where the terminal was not put right."""
        while self.pump():
            pass
        after = termios.tcgetattr(self.program.child_fd)[:4]
        self.program.close()
        assert self.screen.restored, (self.screen.modes, self.screen.keyboards)
        assert after == self._before
        return int(self.program.exitstatus)
