"""The line at the top: the conversation's title at the left, the model at the right."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tui.strings import Strings
from tui.widgets.text import one_line


class TitleBar(Static):
    """Title and model."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="title")
        self._strings = strings
        self._title = self._model = ""

    def show(self, title: str, model: str) -> None:
        """What stands there."""
        self._title, self._model = title, model
        self._draw()

    def on_resize(self) -> None:
        """The gap follows the width."""
        self._draw()

    def _draw(self) -> None:
        width = self.size.width - 2
        right = Content.styled(one_line(self._model, 40), "$foreground 60%") if self._model else Content("")
        room = max(width - right.cell_length - 1, 8)
        title = Content.from_markup("[b]$title[/]", title=one_line(self._title, 200) or self._strings("title.new"))
        left = Content.assemble(("◆ ", "$primary"), title).truncate(room, ellipsis=True)
        self.update(
            Content.assemble(left, " " * max(width - left.cell_length - right.cell_length, 1), right), layout=False
        )
