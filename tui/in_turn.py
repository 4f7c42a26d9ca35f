"""Keys one after the other: the next is looked at once all that came of the one before is done.

Textual hands a key to what has the focus and looks at the next at once. Who types fast, or over a slow line, would
meet the focus, the message or the dialog of before: what was meant for a list would be sent to the model.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

PATIENCE = 1.0
"""Seconds that a key waits for the one before at most: what takes longer must not hold the keyboard."""


class InTurn(App[int]):
    """Letters that are written into a text keep their order by themselves, and wait for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[events.Key | events.Paste] = deque()
        """The first is being looked at."""

    async def on_event(self, event: events.Event) -> None:
        """A key or a paste in its turn; all else as usual."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        self._waiting.append(event)
        if len(self._waiting) == 1:
            await self._look()

    async def _look(self) -> None:
        """Go on with those that wait, up to one that may lead elsewhere."""
        while self._waiting:
            event, at = self._waiting[0], self.focused
            if isinstance(at, Input | TextArea) and (isinstance(event, events.Paste) or event.is_printable):
                await super().on_event(event)
                self._waiting.popleft()
                continue
            await _done(at)  # letters that wait for their line
            await super().on_event(event)
            await _done(at)
            self.call_later(self._looked, at)  # behind the key, which comes here where nobody has taken it
            return

    async def _looked(self, at: Widget | None) -> None:
        await _done(at)
        await _done(self.screen)  # another one, perhaps, which is only just opening
        self.call_later(self._go_on)  # behind what they asked for

    async def _go_on(self) -> None:
        self._waiting.popleft()  # not before: a key that came since would be looked at, and then once more
        await self._look()


async def _done(node: DOMNode | None) -> None:
    """Wait until a widget has taken up all that was handed to it, and those above it what it made of that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            for pump in _upward(node):
                passed = asyncio.Event()
                if pump.call_later(passed.set):
                    await passed.wait()


def _upward(node: DOMNode | None) -> Iterator[DOMNode]:
    """A widget, twice, as it may have told itself something, and what lies above it up to its screen."""
    if node is not None:
        yield node
        for above in node.ancestors_with_self:
            yield above
            if isinstance(above, Screen):
                return
