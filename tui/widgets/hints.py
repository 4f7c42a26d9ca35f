"""The keys that work here, made from the bindings of what has the focus; as many as fit on one line."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tui.keymap import shown
from tui.strings import Strings


class Hints(Static):
    """The line at the bottom."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="hints")
        self._strings = strings

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.call_after_refresh(self.draw))

    def on_resize(self) -> None:
        """More or fewer fit."""
        self.draw()

    def draw(self) -> None:
        """Keys of the focused widget first, then those of the screen and the app."""
        if not self.is_attached:  # a screen that has just closed
            return
        room = self.size.width - 2
        parts: list[Content] = []
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not (binding.show and binding.description and active.enabled) or binding.action in seen:
                continue
            seen.add(binding.action)
            part = Content.from_markup(
                "[b $accent]$key[/] $label", key=shown(binding.key), label=self._strings(binding.description)
            )
            if sum(other.cell_length + 2 for other in parts) + part.cell_length > room:
                break
            parts.append(part)
        self.update(Content("  ").join(parts), layout=False)
