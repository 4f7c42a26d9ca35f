"""The keys that work here, made from the bindings of what has the focus; as many as fit on one line."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tui.keymap import ACTIONS, shown
from tui.strings import Strings

LAST = ("help", "command_palette")
"""Always shown: they lead to every other."""


_ORDER = {name: at for at, name in enumerate(ACTIONS)}
_LEAST = ("take", "open")


def _place(action: str | None) -> int:
    return len(_ORDER) if action is None or action in _LEAST else _ORDER[action]


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
        """Keys of the focused widget first, then those of the screen and the app; the ways to all others at the end."""
        if not self.is_attached:  # a screen that has just closed
            return
        parts: dict[str, Content] = {}
        active_ones = list(self.screen.active_bindings.values())
        if self.screen.is_modal:  # its own keys in the table's order; Enter, which goes without saying, last
            active_ones.sort(key=lambda active: _place(active.binding.id))
        for active in active_ones:
            binding = active.binding
            if not (binding.show and binding.description and active.enabled) or binding.action in parts:
                continue
            parts[binding.action] = Content.from_markup(
                "[b $accent]$key[/] $label", key=shown(binding.key), label=self._strings(binding.description)
            )
        last = [parts.pop(action) for action in LAST if action in parts]
        room = self.size.width - 2 - sum(part.cell_length + 2 for part in last)
        fitting: list[Content] = []
        for part in parts.values():
            if sum(other.cell_length + 2 for other in fitting) + part.cell_length > room:
                break
            fitting.append(part)
        self.update(Content("  ").join([*fitting, *last]), layout=False)
