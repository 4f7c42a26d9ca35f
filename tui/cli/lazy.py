"""A group whose commands are imported when they are run: the help and every command start without all the others."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer

from tui.cli.help import HelpfulGroup, make_app


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command or a group of commands is, and what the help says of it without importing it."""

    help: str
    """The first sentence of its own help, which a test compares."""
    module: str = ""
    """Its file in `tui.cli` if not of its name; it has a `register(app)`, or an `app` where it is a group."""
    hidden: bool = False


class _Loaded(MutableMapping[str, Any]):
    """Commands by name, each imported when it is first asked for."""

    def __init__(self, table: dict[str, Entry]) -> None:
        self._table = table
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _load(name, self._table[name].module or name)
        return self._known[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def _load(name: str, file: str) -> Any:
    module = importlib.import_module(f"tui.cli.{file}")
    if hasattr(module, "register"):
        app = make_app("", "", add_completion=False)
        module.register(app)
        return typer.main.get_group(app).commands[name]
    group = typer.main.get_group(module.app)
    group.name = name
    return group


class LazyGroup(HelpfulGroup):
    """The commands of `TABLE`, in its order."""

    TABLE: ClassVar[dict[str, Entry]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loaded(self.TABLE)
        self.summaries = {name: entry.help for name, entry in self.TABLE.items() if not entry.hidden}

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return list(self.TABLE)
