"""Every key and every word with a slash, made from the bindings and the table, so that none can be missing or wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingsMap, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Label, Static

from tui import commands
from tui.keymap import shown
from tui.screens.dialog import Dialog
from tui.screens.doubts import DoubtsScreen
from tui.screens.history_list import HistoryList
from tui.screens.models import ModelsScreen
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.hints import Hints
from tui.widgets.panel import Panel
from tui.widgets.prompt import Prompt
from tui.widgets.turn_view import TurnView

_WIDTH = 26


class HelpScreen(Dialog[None]):
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
                yield self._section("help.history", BindingsMap(HistoryList.BINDINGS))
                yield self._section("help.panel", BindingsMap(Panel.BINDINGS))
                yield self._section("help.models", BindingsMap(ModelsScreen.BINDINGS))
                yield self._section("help.doubts", BindingsMap(DoubtsScreen.BINDINGS))
                yield Static(self._words())
                yield Static(self._shell())
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
            said = self._strings.get(f"long.{label.removeprefix('key.')}", self._strings(label))
            rows.append(_row(_fitting([shown(name) for name in names]), said))
        return Static(Content("\n").join(rows))

    def _words(self) -> Content:
        rows = [Content.from_markup("[b $primary]$title[/]", title=self._strings("help.words"))]
        for command in commands.COMMANDS:
            names = " ".join(f"/{word}" for word in (command.name, *command.aliases))
            usage = f"{names} {command.usage}".strip()
            rows.append(_row(usage, self._strings.get(f"word.{command.name}", command.help)))
        rows.append(Content(self._strings("help.more")))
        return Content("\n").join(rows)

    def _shell(self) -> Content:
        """What is asked for outside of the app."""
        rows = [Content.from_markup("[b $primary]$title[/]", title=self._strings("help.shell"))]
        for line in self._strings("help.shell.lines").splitlines():
            command, _, said = line.partition("  ")
            rows.append(_row(command, said.strip()))
        return Content("\n").join(rows)


def _fitting(names: list[str]) -> str:
    """As many keys of one action as leave its text where the others stand."""
    while len(names) > 1 and Content(" ".join(names)).cell_length > _WIDTH - 2:
        names.pop()
    return " ".join(names)


def _row(left: str, right: str) -> Content:
    gap = " " * max(_WIDTH - Content(left).cell_length, 2)
    return Content.assemble("  ", (left, "bold $accent"), gap, right)
