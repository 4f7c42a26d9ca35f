"""The files that go with the next question, one line above the prompt; a click on one takes it away."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from tui.widgets.text import one_line


class Attachments(Static):
    """Nothing is shown while there are none."""

    def __init__(self) -> None:
        super().__init__(id="attachments")
        self.display = False

    def show(self, names: Sequence[str]) -> None:
        """The names, each with a cross to take it away."""
        self.display = bool(names)
        chips = [
            Content.from_markup(
                f"[$accent]▤[/] $name [@click=screen.detach({number})][$error]×[/][/]", name=one_line(name, 40)
            )
            for number, name in enumerate(names)
        ]
        self.update(Content("   ").join(chips))
