"""The words that a beginning slash may become, above the prompt; Tab takes the first."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui import commands
from tui.strings import Strings

_WIDTH = 30


class Suggestions(OptionList, can_focus=False):
    """Hidden unless the prompt holds the beginning of a word."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="suggestions", compact=True)
        self._strings = strings
        self.display = False

    def offer(self, text: str) -> None:
        """Show the words that begin so."""
        found = []
        if text.startswith("/") and not text.startswith("//") and " " not in text and "\n" not in text:
            typed = text[1:].lower()
            found = [
                command
                for command in commands.COMMANDS
                if any(word.startswith(typed) for word in (command.name, *command.aliases))
            ]
        self.display = bool(found)
        self.clear_options()
        self.add_options([Option(self._row(command), id=command.name) for command in found])
        self.highlighted = 0 if found else None

    def best(self) -> str | None:
        """The word that Tab takes."""
        return self.get_option_at_index(0).id if self.option_count else None

    def _row(self, command: commands.Command) -> Content:
        left = f"/{command.name} {command.usage}".strip()
        gap = " " * max(_WIDTH - len(left), 2)
        help_text = self._strings.get(f"word.{command.name}", command.help)
        return Content.assemble((left, "$accent"), gap, (help_text, "$foreground 70%"))
