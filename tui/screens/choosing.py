"""A list to choose from by typing a part of it; serves files, models, themes and lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import Matcher
from textual.widgets import Input, Label

from tui.screens.dialog import Dialog
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.rows import LISTED, Rows
from tui.widgets.text import visible
from tui.widgets.typed import after_typing

SHORT = 12
"""Rows up to which a list that does not grow takes no more room than it needs."""
ALIGNED = 32
"""Cells of a label up to which the notes stand below each other."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A row: what is returned, what is shown and searched, and what stands dim beside it."""

    value: str
    label: str
    note: str = ""


class ChoosingScreen(Dialog[str | None]):
    """Returns the chosen value, or None."""

    WIDE = False
    """Whether as much of the terminal as there is may be used."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("take", "take", priority=True),
        bound("choose_down", "move(1)", "key.down", show=False, priority=True),
        bound("choose_up", "move(-1)", "key.up", show=False, priority=True),
        bound("close", "close", priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], strings: Strings, begun: str = "") -> None:
        """`begun`: words to look for that are there from the start."""
        super().__init__()
        self._title, self._strings, self._begun = title, strings, begun
        self.choices = list(choices)
        self.shown: list[Choice] = []
        self._filled = ""
        """The words that the rows are of."""

    def compose(self) -> ComposeResult:
        """A title, the words to look for, the rows, the keys."""
        size = "wide" if self.WIDE else "short" if 0 < len(self.choices) <= SHORT else ""
        with Vertical(classes=f"dialog {size}"):
            yield Label(self._title, classes="dialog-title")
            yield Input(
                self._begun,
                placeholder=self._strings("choose.filter"),
                compact=True,
                id="filter",
                select_on_focus=False,
            )
            yield Rows()
            yield Label(self._strings("choose.nothing"), id="nothing")
            yield from self.below_rows()
            yield Hints(self._strings)

    def below_rows(self) -> ComposeResult:
        """More, below the rows; for lists of a kind."""
        yield from ()

    def on_mount(self) -> None:
        """All rows, the first one marked."""
        self.query_one(Input).focus()
        self.fill(self._begun)

    def on_key(self, event: events.Key) -> None:
        """A letter that comes before the line has the focus is not lost."""
        line = self.query_one(Input)
        if event.is_printable and event.character and not line.has_focus:
            event.stop()
            line.focus()
            line.insert_text_at_cursor(event.character)

    def set_choices(self, choices: Sequence[Choice]) -> None:
        """Other rows, as they become known; the mark stays where it was."""
        before = self.marked()
        self.choices = list(choices)
        self.fill(self.query_one(Input).value)
        places = [at for at, choice in enumerate(self.shown) if before and choice.value == before.value]
        if places:
            self.query_one(Rows).highlighted = places[0]

    def fill(self, wanted: str) -> None:
        """The rows that match, the best first."""
        self._filled = wanted
        found = self.choices
        if wanted.strip():
            matcher = Matcher(wanted.strip())
            scored = [(self.score(matcher, choice), choice) for choice in self.choices]
            scored = [pair for pair in scored if pair[0] > 0]
            found = [choice for _, choice in sorted(scored, key=lambda pair: -pair[0])]
        self.list_rows(found)

    def score(self, matcher: Matcher, choice: Choice) -> float:
        """How well a row matches; 0: not at all."""
        return matcher.match(choice.label)

    def list_rows(self, found: Sequence[Choice]) -> None:
        """These rows, the first one marked."""
        self.shown = list(found[:LISTED])
        width = max((Content(choice.label).cell_length for choice in self.shown if choice.note), default=0)
        contents = [_row(choice, width if width <= ALIGNED else 0) for choice in self.shown]
        self.query_one(Rows).put(contents, 0 if self.shown else None)
        self.query_one("#nothing").display = bool(self.choices) and not self.shown

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter narrows the rows."""
        self.fill(event.value)

    def on_option_list_option_selected(self) -> None:
        """A click takes the row that it hits."""
        self.take_marked()

    def action_take(self) -> None:
        """Take the marked row of those that match every letter typed so far."""
        after_typing(self.query_one(Input), self._take)

    def _take(self) -> None:
        if (wanted := self.query_one(Input).value) != self._filled:
            self.fill(wanted)
        self.take_marked()

    def take_marked(self) -> None:
        """Return the marked row."""
        marked = self.marked()
        if marked is not None and marked.value:
            self.dismiss(marked.value)

    def marked(self) -> Choice | None:
        """The marked row."""
        return self.query_one(Rows).marked(self.shown)

    def action_move(self, step: int) -> None:
        """Mark another row."""
        self.query_one(Rows).move(step)

    def action_close(self) -> None:
        """Return nothing."""
        self.dismiss(None)


def _row(choice: Choice, width: int) -> Content:
    """What is searched, and dim beside it the note; notes stand below each other where no label is long."""
    label = Content(visible(choice.label))
    if not choice.note:
        return label
    gap = " " * max(width - label.cell_length, 0)
    return Content.assemble(label, gap, "  ", (visible(choice.note), "$foreground 50%"))
