"""Every key and every word with a slash, made from the bindings and the table, so that none can be missing or wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingsMap, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from tui import commands
from tui.keymap import shown
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.prompt import Prompt
from tui.widgets.turn_view import TurnView

_WIDTH = 26


class HelpScreen(ModalScreen[None]):
    """Keys by where they work, then the words."""

    BINDINGS: ClassVar[list[BindingType]] = [bound("close_help", "app.pop_screen", "key.close")]

    def __init__(self, everywhere: Iterable[BindingsMap], strings: Strings) -> None:
        super().__init__()
        self._everywhere, self._strings = list(everywhere), strings

    def compose(self) -> ComposeResult:
        """Title, scrolling text, keys."""
        strings = self._strings
        with Vertical(classes="dialog wide"):
            yield Label(strings("title.help"), classes="dialog-title")
            with VerticalScroll(id="help"):
                yield self._section("help.prompt", BindingsMap(Prompt.BINDINGS))
                yield self._section("help.turn", BindingsMap(TurnView.BINDINGS))
                yield self._section("help.screen", *self._everywhere)
                yield Static(self._words())
            yield Hints(strings)

    def on_mount(self) -> None:
        """Arrows scroll."""
        self.query_one("#help").focus()

    def _section(self, title: str, *maps: BindingsMap) -> Static:
        keys: dict[str, list[str]] = {}
        for bindings in maps:
            for key, binding in bindings:
                if binding.description.startswith("key."):
                    mapped = self._strings.keys.changed.get(binding.id or "", "")
                    names = keys.setdefault(binding.description, [])
                    names += [k for k in (mapped.split(",") if mapped else [key]) if k not in names]
        rows = [Content.from_markup("[b $primary]$title[/]", title=self._strings(title))]
        for label, names in keys.items():
            rows.append(_row(" ".join(shown(name) for name in names), self._strings(label)))
        return Static(Content("\n").join(rows))

    def _words(self) -> Content:
        rows = [Content.from_markup("[b $primary]$title[/]", title=self._strings("help.words"))]
        for command in commands.COMMANDS:
            names = " ".join(f"/{word}" for word in (command.name, *command.aliases))
            usage = f"{names} {command.usage}".strip()
            rows.append(_row(usage, self._strings.get(f"word.{command.name}", command.help)))
        rows.append(Content(self._strings("help.more")))
        return Content("\n").join(rows)


def _row(left: str, right: str) -> Content:
    gap = " " * max(_WIDTH - Content(left).cell_length, 2)
    return Content.assemble("  ", (left, "bold $accent"), gap, right)
