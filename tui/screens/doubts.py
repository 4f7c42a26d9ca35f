"""An answer word by word: the less likely, the more shaded; what could stand at a word, and a fork from there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.widgets import Label, OptionList, Static
from textual.widgets.option_list import Option

from tui.screens.dialog import Dialog
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.text import one_line, visible

if TYPE_CHECKING:
    from tui.talk import Piece

WEAK = 0.4
"""Words below this probability are stops for the key that goes from doubt to doubt."""
_SHADES = ((0.1, "on $error 60%"), (0.25, "on $warning 50%"), (WEAK, "on $warning 25%"))
_PAUSE = 0.12
"""Seconds that the cursor must rest before the model is asked."""


class DoubtsScreen(Dialog[str | None]):
    """Returns how another answer shall begin, or None. `ask` is told the text before a word."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("words_left", "word(-1)", show=False, priority=True),
        bound("words_right", "word(1)", priority=True),
        bound("words_weak", "weak(1)", priority=True),
        bound("words_weak_back", "weak(-1)", show=False, priority=True),
        bound("branch", "fork", priority=True),
        bound("close_doubts", "close", "key.close", priority=True),
    ]

    def __init__(self, pieces: list[Piece], start: str, ask: Callable[[str], object], strings: Strings) -> None:
        """`start`: what the answer says before the first piece."""
        super().__init__()
        self.pieces, self._start, self._ask, self._strings = pieces, start, ask, strings
        self.at = 0
        self._found: list[tuple[str, float]] = []
        self._asked_at = -1

    def compose(self) -> ComposeResult:
        """The answer, what could stand at the marked word, the keys."""
        with Vertical(classes="dialog wide"):
            yield Label(self._strings("title.words"), classes="dialog-title")
            with VerticalScroll(id="words", can_focus=False):
                yield Static(self._strings("words.weighing"))
            yield Label(id="before")
            yield OptionList(compact=True, id="alternatives")
            yield Hints(self._strings)

    def on_mount(self) -> None:
        """The first doubt is marked."""
        self.query_one(OptionList).focus()
        self._timer = self.set_timer(_PAUSE, self._ask_now, pause=True)
        if self.pieces:
            self.take(self.pieces)

    def take(self, pieces: list[Piece]) -> None:
        """The words, once they are weighed."""
        self.pieces = pieces
        self.at = next((at for at, piece in enumerate(pieces) if _weak(piece)), 0)
        self._moved()

    def offer(self, found: list[tuple[str, float]]) -> None:
        """What could stand at the marked word."""
        if self._asked_at != self.at:
            return
        self._found = found
        rows = self.query_one(OptionList)
        rows.clear_options()
        rows.add_options([Option(self._row(text, probability)) for text, probability in found])
        rows.highlighted = 0 if found else None

    def _row(self, text: str, probability: float) -> Content:
        shown = visible(text).replace("\n", "⏎").replace(" ", "·") if text else self._strings("words.end")
        bar = "━" * max(round(probability * 20), 1)
        return Content.assemble(f"{probability:6.1%}  ", (f"{bar:<20}", "$accent"), "  ", shown)

    def _moved(self) -> None:
        self.query_one("#words Static", Static).update(self._shaded())
        self.query_one(OptionList).clear_options()
        self._found, self._asked_at = [], -1
        before = self._start + "".join(piece.text for piece in self.pieces[: self.at])
        said = one_line(before[-40:], 40)
        label = self._strings("words.alternatives", before=said) if said else self._strings("words.first")
        self.query_one("#before", Label).update(Content(label))
        self._timer.stop()
        self._timer = self.set_timer(_PAUSE, self._ask_now)
        self.call_after_refresh(self._scroll_to_marked)  # once the words have a place

    def _scroll_to_marked(self) -> None:
        if not self.is_attached:  # it has just closed
            return
        before = visible(self._start + "".join(piece.text for piece in self.pieces[: self.at + 1]))
        width = self.query_one("#words Static").size.width
        line = len(Content(before).wrap(max(width, 1))) - 1
        self.query_one("#words").scroll_to_region(Region(0, line - 1, 1, 3), animate=False)

    def _ask_now(self) -> None:
        if self.pieces and self._asked_at != self.at:
            self._asked_at = self.at
            self._ask(self._start + "".join(piece.text for piece in self.pieces[: self.at]))

    def _shaded(self) -> Content:
        parts: list[tuple[str, str]] = []
        for at, piece in enumerate(self.pieces):
            probability = math.exp(min(piece.logprob, 0.0))
            style = next((style for limit, style in _SHADES if probability < limit), "")
            parts.append((visible(piece.text) or "", "reverse bold" if at == self.at else style))
        return Content.assemble((visible(self._start), "$foreground 50%"), *parts)

    def action_word(self, step: int) -> None:
        """The next or the previous word."""
        if self.pieces:
            self.at = min(max(self.at + step, 0), len(self.pieces) - 1)
            self._moved()

    def action_weak(self, step: int) -> None:
        """The next or the previous doubt."""
        where = range(self.at + 1, len(self.pieces)) if step > 0 else range(self.at - 1, -1, -1)
        for at in where:
            if _weak(self.pieces[at]):
                self.at = at
                self._moved()
                return

    def action_fork(self) -> None:
        """Return the answer's beginning up to the marked word, with the marked alternative in its place."""
        marked = self.query_one(OptionList).highlighted
        if marked is not None and marked < len(self._found):
            before = self._start + "".join(piece.text for piece in self.pieces[: self.at])
            self.dismiss(before + self._found[marked][0])

    def action_close(self) -> None:
        """Return nothing."""
        self.dismiss(None)


def _weak(piece: Piece) -> bool:
    return math.exp(min(piece.logprob, 0.0)) < WEAK and bool(piece.text.strip())
