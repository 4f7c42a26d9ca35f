"""The shown path of the conversation, from top to bottom; it follows the answer's end until a person scrolls away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.strings import Strings
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from textual.content import Content

    from tui.talk import Turn

SHOWN = 40
"""Turns drawn at once: a long conversation opens at its end without waiting for its beginning."""


class Transcript(VerticalScroll, can_focus=False):
    """The turns, and a greeting where there are none."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="transcript")
        self._strings = strings
        self._left_out = 0
        self._drawing = asyncio.Lock()

    def view_of(self, turn: Turn) -> TurnView | None:
        """The widget of a turn, where it is on the screen."""
        return next((view for view in self.query(TurnView) if view.turn is turn), None)

    async def show(self, path: Sequence[Turn], greeting: Content) -> None:
        """Bring the screen to a path: turns that stay are not drawn again. Of two that ask at once one waits."""
        async with self._drawing:
            await self._draw(path, greeting)

    async def _draw(self, path: Sequence[Turn], greeting: Content) -> None:
        shown = list(path)[-SHOWN:]
        views = list(self.query(TurnView))
        same = 0
        while same < min(len(views), len(shown)) and views[same].turn is shown[same]:
            same += 1
        for other in self.query(".greeting, .older"):
            await other.remove()
        for view in views[same:]:
            await view.remove()
        if not shown:
            await self.mount(Static(greeting, classes="greeting"))
        if len(shown) < len(path):
            note = self._strings("transcript.older", count=len(path) - len(shown))
            await self.mount(Static(note, classes="older"), before=0)
        if shown[same:]:
            await self.mount_all([TurnView(turn, self._strings) for turn in shown[same:]])
        for view in self.query(TurnView):
            view.refresh_facts()
        self.mark_left_out(self._left_out, path)
        self.anchor()

    def mark_left_out(self, count: int, path: Sequence[Turn]) -> None:
        """Show which turns at the beginning the model is not given any more."""
        self._left_out = count
        gone = set(map(id, list(path)[:count]))
        for view in self.query(TurnView):
            view.set_class(id(view.turn) in gone, "left-out")
