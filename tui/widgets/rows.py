"""The rows below a line that is typed into: the keys of the line move the mark among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

LISTED = 200
"""Rows drawn at most; typing brings others."""

Item = TypeVar("Item")


class Rows(OptionList):
    """What matches the line, one row each."""

    def __init__(self) -> None:
        super().__init__(compact=True, id="rows")

    def put(self, contents: Iterable[Content], mark: int | None) -> None:
        """These rows in place of those that stood here, one of them marked."""
        self.clear_options()
        self.add_options(map(Option, contents))
        self.highlighted = mark

    def move(self, step: int) -> None:
        """Mark another row."""
        if step > 0:
            self.action_cursor_down()
        else:
            self.action_cursor_up()

    def marked(self, items: Sequence[Item]) -> Item | None:
        """That of the items, one a row, whose row is marked."""
        at = self.highlighted
        return items[at] if at is not None and at < len(items) else None
