"""One line about the model: what it does, how much of its context is used, how fast the last answer came."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from tui.strings import Strings
from tui.widgets.pull_line import PullState
from tui.widgets.text import count, visible

_CELLS = 10


class Status(Static):
    """State at the left, the context meter at the right."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="status")
        self._strings = strings
        self._state = Content("")
        self._used = self._draft = self._total = 0
        self._left_out = self._falling = 0
        self._pull = Content("")

    def say(self, state: str, *, kind: str = "") -> None:
        """What happens now; `kind` is a colour of the theme."""
        self._state = Content.styled(visible(state), f"${kind}" if kind else "")
        self._draw()

    def pull(self, states: Sequence[PullState]) -> None:
        """What is being pulled behind the chat."""
        self._pull = Content("")
        if states:
            share = f" {states[0].share:.0%}" if states[0].share is not None and states[0].stage != "wait" else ""
            more = f" +{len(states) - 1}" if len(states) > 1 else ""
            self._pull = Content.styled(f"↓ {states[0].name}{share}{more} · ", "$accent")
        self._draw()

    def meter(self, used: int, total: int, *, draft: int = 0, left_out: int = 0, falling: int = 0) -> None:
        """Tokens of the conversation, of the draft with its files, and of the whole context.

        `falling`: messages that the model will not be shown once the draft is sent; `left_out`: that it was not.
        """
        self._used, self._total, self._draft = used, total, draft
        self._left_out, self._falling = left_out, falling
        self._draw()

    def on_resize(self) -> None:
        """The gap in the middle follows the width."""
        self._draw()

    def _draw(self) -> None:
        right = self._right()
        width = self.size.width - 2
        left = self._pull + self._state
        gap = width - left.cell_length - right.cell_length
        if gap < 1:
            left = left.truncate(max(width - right.cell_length - 1, 0), ellipsis=True)
            gap = max(width - left.cell_length - right.cell_length, 1)
        self.update(Content.assemble(left, " " * gap, right), layout=False)

    def _right(self) -> Content:
        if not self._total:
            return Content("")
        share = min((self._used + self._draft) / self._total, 1.0)
        filled = round(share * _CELLS)
        colour = "$success" if share < 0.6 else "$warning" if share < 0.85 else "$error"
        used = count(self._used) + (f"+{count(self._draft)}" if self._draft else "")
        text = self._strings("status.meter", used=used, total=count(self._total))
        out = ""
        if self._falling > self._left_out:
            out = self._strings("status.falling", count=self._falling) + "  "
        elif self._left_out:
            out = self._strings("status.left_out", count=self._left_out) + "  "
        return Content.from_markup(
            f"[$warning]$out[/][{colour}]{'━' * filled}[/][$foreground 25%]{'━' * (_CELLS - filled)}[/] $text",
            out=out, text=text,
        )  # fmt: skip
