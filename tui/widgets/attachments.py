"""The files that go with the next question, one line above the prompt; a click on one takes it away."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from tui.widgets.text import one_line

_BETWEEN = "   "
_AROUND = 4
"""Cells of a sign, a cross and what stands between them and a name."""


class Attachments(Static):
    """Nothing is shown while there are none."""

    def __init__(self) -> None:
        super().__init__(id="attachments")
        self.display = False
        self._names: Sequence[str] = ()

    def show(self, names: Sequence[str]) -> None:
        """The names, each with a cross to take it away."""
        self._names = names
        self.display = bool(names)
        self._draw()

    def on_resize(self) -> None:
        """More of the names may fit, or less."""
        self._draw()

    def _draw(self) -> None:
        """Each name as far as its share of the line goes: all crosses can be reached."""
        count = len(self._names)
        room = (self.content_size.width - len(_BETWEEN) * (count - 1)) // max(count, 1) - _AROUND
        chips = [
            Content.assemble(
                ("▤ ", "$accent"),
                Content(one_line(name, 40)).truncate(max(room, 1), ellipsis=True),
                Content.from_markup(f" [@click=screen.detach({number})][$error]×[/][/]"),
            )
            for number, name in enumerate(self._names)
        ]
        self.update(Content(_BETWEEN).join(chips), layout=False)
