"""A file to attach: found by a part of its path; the marked one's tokens are counted before it is taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from textual import on, work
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.worker import get_current_worker

from engine.errors import EngineError
from tui.finding import files_below
from tui.screens.choosing import Choice, ChoosingScreen
from tui.strings import Strings
from tui.widgets.rows import LISTED
from tui.widgets.text import visible


class FilesScreen(ChoosingScreen):
    """Returns a path relative to the working folder or as it was typed, or None."""

    def __init__(self, folder: Path, count: Callable[[str], int], strings: Strings, begun: str = "") -> None:
        """`count`: of the tokens of a file, by its path."""
        super().__init__(strings("title.files"), [], strings, begun)
        self._folder, self._count = folder, count

    def on_mount(self) -> None:
        """The files come as they are found."""
        self._search()

    @work(thread=True, exclusive=True, group="files")
    def _search(self) -> None:
        found, search = [], get_current_worker()
        for path, size in files_below(self._folder):
            if search.is_cancelled:
                return
            found.append(Choice(path, path, _size(size)))
        self.app.call_from_thread(self._found, found)

    def _found(self, choices: list[Choice]) -> None:
        if self._open:
            self.set_choices(choices)

    @property
    def _open(self) -> bool:
        """Whether what a thread found still has a list to go to: its rows go before its threads hear of it."""
        return self in self.app.screen_stack

    def fill(self, wanted: str) -> None:
        """What matches below the folder, or what a path that leads elsewhere begins."""
        if wanted.startswith(("/", "~", "..")):
            self._filled = wanted
            self.list_rows(_begun_by(self._folder, wanted))
        else:
            super().fill(wanted)

    @on(OptionList.OptionHighlighted)
    def _marked(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self.shown) and (path := self.shown[event.option_index].value):
            self._measure(path)

    @work(thread=True, exclusive=True, group="count")
    def _measure(self, path: str) -> None:
        try:
            count = self._count(str(self._folder / path))
            text = f"{path}: {self._strings('files.tokens', count=count)}"
        except EngineError as error:
            text = self._strings.error(error.message)
        self.app.call_from_thread(self._say, text)

    def _say(self, text: str) -> None:
        if self._open:
            self.query_one(".dialog-title", Label).update(Content(visible(text)))


def _begun_by(folder: Path, wanted: str) -> list[Choice]:
    """As a shell completes a path: files, and folders, which can't be taken but show the way."""
    inside, name = os.path.split(os.path.expanduser(wanted))
    found = []
    try:
        with os.scandir(folder / inside) as entries:
            fitting = [one for one in entries if one.name.startswith(name) and (name or one.name[0] != ".")]
        for entry in sorted(fitting, key=lambda one: one.name)[:LISTED]:
            path = os.path.join(inside, entry.name)
            if entry.is_dir():
                found.append(Choice("", f"{path}/"))
            elif entry.is_file():  # no pipe, and no link that leads nowhere
                found.append(Choice(path, path, _size(entry.stat().st_size)))
    except (OSError, ValueError):  # no such folder, or a name that can be none
        return []
    return found


def _size(size: int) -> str:
    return f"{size} B" if size < 1000 else f"{size / 1000:.0f} kB"
