"""Where a person writes: Enter sends, Shift+Enter or Ctrl+J breaks the line, arrows recall what was sent before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.message import Message

from tui.keymap import ACTIONS, Keys
from tui.widgets.area import Area
from tui.widgets.bound import bound

_OWN = ("send", "newline", "complete", "recall", "recall_later")
"""Actions that come before what a text area would do with their keys."""
_AROUND = ("app", "chat")
"""Places whose keys work here too: those that a person gave them come before a text area's."""


class Prompt(Area):
    """A text area that grows with its text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("send", "send"),
        bound("newline", "newline"),
        bound("complete", "complete", show=False),
        bound("recall", "recall", show=False),
        bound("recall_later", "recall_later", show=False),
        bound("editor", "editor"),
    ]

    class Sent(Message):
        """Enter was pressed on a text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class CompletionAsked(Message):
        """Tab was pressed."""

    class AttachmentAsked(Message):
        """An @ was typed where a file may begin."""

    class DetachmentAsked(Message):
        """Backspace with nothing to delete."""

    class ShellAsked(Message):
        """Ctrl+Z with nothing to undo."""

    class EditorAsked(Message):
        """The text shall be written in $EDITOR."""

    def __init__(self, placeholder: str, keys: Keys) -> None:
        super().__init__(
            soft_wrap=True, show_line_numbers=False, compact=True, placeholder=placeholder, id="prompt",
            highlight_cursor_line=False,
        )  # fmt: skip
        self._own = {"up": "cursor_up", "down": "cursor_down"}  # where nothing is recalled by them
        self._own |= {key: action for action in _OWN for key in keys.of(action)}
        for key in [key for name in keys.changed if ACTIONS[name].where in _AROUND for key in keys.of(name)]:
            self._own.pop(key, None)
            self._bindings.key_to_bindings.pop(key, None)
        self.sent_before: list[str] = []
        self._recalled: int | None = None
        self._draft = ""

    def recall_from(self, texts: Sequence[str]) -> None:
        """What was sent in a conversation that is gone on with is recalled first, then what was sent elsewhere."""
        here = set(texts)
        self.sent_before = [*(text for text in self.sent_before if text not in here), *texts]
        self._recalled = None

    def action_send(self) -> None:
        """Hand the text over; what is typed from here on is the next one. Who refuses it gives it back."""
        if self.text.strip():
            self._recalled = None
            text = self.text
            self._begin_with("")
            self.post_message(self.Sent(text))

    def give_back(self, text: str) -> None:
        """A text that was not taken stands here again, before what was typed since."""
        since = self.text
        self._begin_with(f"{text}\n{since}" if since else text)

    def action_newline(self) -> None:
        """A line end in the text."""
        self.insert("\n")

    def action_complete(self) -> None:
        """Tab completes a word with a slash; elsewhere it leaves the area."""
        if self.text.startswith("/"):
            self.post_message(self.CompletionAsked())
        else:
            self.screen.focus_next()

    def action_delete_left(self) -> None:
        """Backspace deletes what was written, and then the files that go with it, the last one first."""
        if self.text:
            super().action_delete_left()
        else:
            self.post_message(self.DetachmentAsked())

    def action_undo(self) -> None:
        """Ctrl+Z takes back what was typed; where nothing is left of that, it stops the app, as everywhere else."""
        if self.text or self.history._undo_stack:
            super().action_undo()
        else:
            self.post_message(self.ShellAsked())

    def action_redo(self) -> None:
        """Ctrl+Y brings back what was undone; where nothing was, it does what it does elsewhere."""
        if not self.history._redo_stack:
            raise SkipAction
        super().action_redo()

    def action_editor(self) -> None:
        """Write in $EDITOR."""
        self.post_message(self.EditorAsked())

    def action_recall(self) -> None:
        """Up: the line above, and from the first one what was sent before."""
        if self.cursor_location[0] > 0 or not self.sent_before:
            self.action_cursor_up()
            return
        if self._recalled is None:
            if self.text:
                self.action_cursor_up()
                return
            self._draft, self._recalled = self.text, len(self.sent_before)
        self._recall(self._recalled - 1)

    def action_recall_later(self) -> None:
        """Down: the line below, and from the last one what was sent after."""
        if self._recalled is None or self.cursor_location[0] < self.document.line_count - 1:
            self.action_cursor_down()
            return
        self._recall(self._recalled + 1)

    def _recall(self, number: int) -> None:
        if number < 0:
            return
        if number >= len(self.sent_before):
            self.write(self._draft)
            self._recalled = None
            return
        self.write(self.sent_before[number])
        self._recalled = number

    def write(self, text: str) -> None:
        """Put a text in place of what is there, the cursor at its end; undo brings back what was there."""
        self.history.checkpoint()
        self.replace(text, self.document.start, self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()

    def _begin_with(self, text: str) -> None:
        """The same, with nothing before it that undo would bring back."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def on_key(self, event: events.Key) -> None:
        """Keys that a text area would take itself; and an @ at a word's start offers files.

        As priority bindings they would be done at once, while what was typed just before still waits in this widget's
        queue: an Enter right after a word would find no word.
        """
        action = self._own.get(event.key)
        if action:
            event.prevent_default()
            event.stop()
            getattr(self, f"action_{action}")()
            return
        if event.character == "@":
            row, column = self.cursor_location
            before = self.document.get_line(row)[:column]
            if not before or before[-1].isspace():
                self.call_later(self.post_message, self.AttachmentAsked())  # behind what is typed already
