"""Every key and every word with a slash, made from the bindings and the table, so that none can be missing or wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from tui import commands
from tui.strings import Strings
from tui.widgets.hints import Hints, key_name
from tui.widgets.prompt import Prompt
from tui.widgets.turn_view import TurnView

_WIDTH = 26


class HelpScreen(ModalScreen[None]):
    """Keys by where they work, then the words."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "app.pop_screen", "key.close", id="close")]

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
        keymap = self.app._keymap  # what the config's [keys] says stands above the bindings
        keys: dict[str, list[str]] = {}
        for bindings in maps:
            for key, binding in bindings:
                if binding.description.startswith("key."):
                    mapped = keymap.get(binding.id or "", "")
                    names = keys.setdefault(binding.description, [])
                    names += [k for k in (mapped.split(",") if mapped else [key]) if k not in names]
        rows = [Content.from_markup("[b $primary]$title[/]", title=self._strings(title))]
        for label, names in keys.items():
            shown = " ".join(key_name(name) for name in names)
            rows.append(_row(shown, self._strings(label)))
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
