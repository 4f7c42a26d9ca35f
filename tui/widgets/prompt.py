"""Where a person writes: Enter sends, Shift+Enter or Ctrl+J breaks the line, arrows recall what was sent before."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

_OWN = {
    "enter": "send", "ctrl+j": "newline", "shift+enter": "newline", "alt+enter": "newline", "tab": "complete",
}  # fmt: skip


class Prompt(TextArea):
    """A text area that grows with its text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "key.send", id="send"),
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "key.newline", id="newline"),
        Binding("tab", "complete", "key.complete", id="complete", show=False),
        Binding("up", "earlier", "key.recall", id="recall", show=False),
        Binding("down", "later", "key.recall_later", id="recall_later", show=False),
        Binding("ctrl+g", "editor", "key.editor", id="editor"),
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

    class EditorAsked(Message):
        """The text shall be written in $EDITOR."""

    def __init__(self, placeholder: str) -> None:
        super().__init__(
            soft_wrap=True, show_line_numbers=False, compact=True, placeholder=placeholder, id="prompt",
            highlight_cursor_line=False,
        )  # fmt: skip
        self.sent_before: list[str] = []
        self._recalled: int | None = None
        self._draft = ""

    def action_send(self) -> None:
        """Hand the text over; the area is emptied by whoever takes it."""
        if self.text.strip():
            self._recalled = None
            self.post_message(self.Sent(self.text))

    def action_newline(self) -> None:
        """A line end in the text."""
        self.insert("\n")

    def action_complete(self) -> None:
        """Tab completes a word with a slash; elsewhere it leaves the area."""
        if self.text.startswith("/"):
            self.post_message(self.CompletionAsked())
        else:
            self.screen.focus_next()

    def action_editor(self) -> None:
        """Write in $EDITOR."""
        self.post_message(self.EditorAsked())

    def action_earlier(self) -> None:
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

    def action_later(self) -> None:
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
        """Put a text in place of what is there, the cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def on_key(self, event: events.Key) -> None:
        """Keys that a text area would take itself; and an @ at a word's start offers files.

        As priority bindings they would be done at once, while what was typed just before still waits in this widget's
        queue: an Enter right after a word would find no word.
        """
        bound = _OWN.get(event.key)
        if bound:
            event.prevent_default()
            event.stop()
            getattr(self, f"action_{bound}")()
            return
        if event.character == "@":
            row, column = self.cursor_location
            before = self.document.get_line(row)[:column]
            if not before or before[-1].isspace():
                self.post_message(self.AttachmentAsked())
