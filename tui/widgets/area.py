"""A text to change, whose control characters do not steer the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import TextArea

from tui.widgets.text import in_place

if TYPE_CHECKING:
    from rich.text import Text


class Area(TextArea):
    """Textual's draws them as they are."""

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn."""
        line = super().get_line(line_index)
        line.plain = in_place(line.plain)
        return line
