"""Markdown that grows: finished blocks settle into the scrollback, only the last one is repainted, at about 10 Hz.

Nothing here knows of models; text comes in by `write`, ANSI goes out by the `emit` function.
"""

from __future__ import annotations

import io
import re
import shutil
import time
from collections.abc import Callable

from tui import line_breaks
from tui.cli.console import visible

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_INTERVAL = 0.1


def settled_length(text: str) -> int:
    """How many characters at the start of a growing text are blocks that nothing can change any more."""
    fence = ""
    offset = cut = 0
    after_blank = False
    for line in io.StringIO(text):  # a line feed alone ends a line, whatever else Unicode would break at
        if not line.endswith("\n"):
            # An unfinished line can still end the block before it, once its first character is known.
            if after_blank and not fence and line[:1].strip() and not _may_be_item(line):
                cut = offset
            break
        body = line.rstrip("\n")
        mark = _FENCE.match(body)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
                cut = offset + len(line)
        elif not body.strip():
            after_blank = True
            offset += len(line)
            continue
        else:
            if after_blank and not body.startswith((" ", "\t")):
                cut = offset
            if mark and not (mark[1][0] == "`" and "`" in mark[2]):
                fence = mark[1]
        after_blank = False
        offset += len(line)
    return cut


def _may_be_item(line: str) -> bool:
    return bool(re.match(r"^([-*+]?|\d{1,9}[.)]?)$", line.strip()))


def render(text: str, width: int, *, color: bool) -> str:
    """Markdown as ANSI lines of at most `width` cells. Raw HTML is text."""
    from markdown_it import MarkdownIt
    from rich.console import Console
    from rich.markdown import Markdown

    line_breaks.install()

    markdown = Markdown("", code_theme="ansi_dark", hyperlinks=False)
    markdown.markup = text
    markdown.parsed = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).parse(text)
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=True,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
    )
    console.print(markdown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


class LiveMarkdown:
    """Paints a growing Markdown text on a terminal, never more than the screen at a time."""

    def __init__(self, emit: Callable[[str], object], *, color: bool, live: bool = True) -> None:
        self._emit = emit
        self._color = color
        self._live = live
        self._pending = ""
        self._rows: list[int] = []  # cells of each painted row of the last block
        self._painted = 0.0
        self._started = False

    def write(self, text: str) -> None:
        """More of the text."""
        self._pending += visible(text)
        cut = settled_length(self._pending)
        if cut:
            self._settle(self._pending[:cut])
            self._pending = self._pending[cut:]
        if self._live and self._pending.strip() and (cut or time.monotonic() - self._painted >= _INTERVAL):
            self._paint(self._pending)

    def close(self) -> None:
        """The text is complete: settle what is left."""
        if self._pending.strip():
            self._settle(self._pending)
        elif self._rows:
            self._emit(self._erase())
        self._pending = ""

    def _size(self) -> tuple[int, int]:
        columns, lines = shutil.get_terminal_size()
        return max(columns - 1, 10), max(lines - 1, 2)  # the last cell of a row makes some terminals wrap

    def _lines(self, block: str) -> list[str]:
        lines = render(block, self._size()[0], color=self._color).split("\n")
        while lines and not lines[0].strip():
            lines.pop(0)
        while lines and not lines[-1].strip():
            lines.pop()
        return ["", *lines] if self._started else lines

    def _erase(self) -> str:
        width = self._size()[0] + 1
        rows = sum(max(1, -(-cells // width)) for cells in self._rows)
        self._rows = []
        return f"\x1b[{rows}A\r\x1b[J" if rows else ""

    def _settle(self, block: str) -> None:
        lines = self._lines(block)
        if not any(line.strip() for line in lines):
            return
        self._emit(self._erase() + "".join(f"{line}\n" for line in lines))
        self._started = True

    def _paint(self, block: str) -> None:
        from rich.cells import cell_len
        from rich.text import Text

        lines = self._lines(block)[-self._size()[1] :]
        erase = self._erase()
        # One write, as one update where the terminal knows how: no flicker.
        self._emit("\x1b[?2026h" + erase + "".join(f"{line}\n" for line in lines) + "\x1b[?2026l")
        self._rows = [cell_len(Text.from_ansi(line).plain) for line in lines]
        self._painted = time.monotonic()
