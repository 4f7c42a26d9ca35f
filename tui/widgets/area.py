"""A text to change, whose control characters do not steer the terminal."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import TextArea

from tui.widgets.text import in_place


class Area(TextArea):
    """Textual's draws them as they are, but for those that Rich leaves out: the cursor stood beside its place."""

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn."""
        return Text(in_place(self.document.get_line(line_index)), end="", no_wrap=True)
