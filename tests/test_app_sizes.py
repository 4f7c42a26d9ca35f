"""A terminal that is made tiny and large again, whatever is open: one drags a pane's border through every size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import ask, at_once, make_app, running, screen_text, wait_until

from tui.keeper import Keeper
from tui.palette import PaletteScreen
from tui.screens.asking import AskingScreen
from tui.screens.chat import ChatScreen
from tui.screens.choosing import ChoosingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.doubts import DoubtsScreen
from tui.screens.editing import EditingScreen
from tui.screens.files import FilesScreen
from tui.screens.help import HelpScreen
from tui.screens.history import HistoryScreen
from tui.screens.models import ModelsScreen
from tui.store import Store
from tui.widgets.suggestions import Suggestions

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from tui.app import LlmApp

SIZES = ((20, 5), (9, 4), (8, 4), (7, 3), (6, 2), (4, 2), (2, 1), (1, 1), (40, 10), (80, 24))
ROWS = "rows"
"""In place of a key: once there are rows."""
OPEN: dict[str, tuple[Any, ...]] = {
    "chat": (ChatScreen,), "help": (HelpScreen, "f1"), "models": (ModelsScreen, "f3"),
    "history": (HistoryScreen, "ctrl+r"), "palette": (PaletteScreen, "ctrl+p"), "files": (FilesScreen, "@"),
    "text": (EditingScreen, "escape", "e"), "doubts": (DoubtsScreen, "escape", "w"), "words": (ChatScreen, "/"),
    "question": (ConfirmingScreen, "ctrl+r", "ctrl+d"), "line": (AskingScreen, "ctrl+r", "ctrl+e"),
    "themes": (ChoosingScreen, "ctrl+p", *"主题", "enter"), "document": (FilesScreen, *"/summarize", "enter"),
    "lengths": (ChoosingScreen, *"/summarize", "enter", ROWS, "enter"), "panel": (ChatScreen, "f2"),
}  # fmt: skip
"""The screen, and the keys that lead there."""


async def opened(pilot: Pilot[Any], app: LlmApp, what: str) -> None:
    """By its keys, one behind the other, but for files, which are looked for."""
    screen, *keys = OPEN[what]
    for key in keys:
        if key == ROWS:
            await wait_until(pilot, lambda: isinstance(app.screen, FilesScreen) and app.screen.shown, "the files")
        else:
            at_once(app, key)
    await wait_until(pilot, lambda: type(app.screen) is screen and not app._waiting, what)
    if what == "words":
        await wait_until(pilot, lambda: app.chat.query_one(Suggestions).display, what)
    if what == "panel":
        await wait_until(pilot, lambda: app.chat.focused in app.chat.query("Panel Input"), what)


@pytest.mark.parametrize("group", [list(OPEN)[:7], list(OPEN)[7:]], ids=lambda group: f"{group[0]} to {group[-1]}")
async def test_the_app_outlives_every_size(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    (tmp_path / "in" / "很长的文件名.txt").write_text("One", "utf-8")
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, "zh", keeper=Keeper(store))
        async with running(app) as pilot:
            await ask(pilot, "一个很长的问题" * 8)
            await wait_until(pilot, store.recent, "the conversation")
            for what in group:
                app.chat.prompt.focus()
                await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the prompt")
                await opened(pilot, app, what)
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    await pilot.pause(0.05)
                while app.screen is not app.chat:
                    before = app.screen
                    at_once(app, "escape")
                    await wait_until(pilot, lambda before=before: app.screen is not before, "the way back")
                app.chat.prompt.text = ""
            app.chat.prompt.write("")
            await ask(pilot, "还在吗？")


async def test_facts_that_do_not_fit_are_seen_to_be_cut(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (30, 20)) as pilot:
        await ask(pilot, "One")
        (line,) = [line for line in screen_text(app).splitlines() if "cut: Esc" in line]
        assert line.rstrip("▁▂▃▄▅▆▇█ ").endswith("…")
