"""A terminal that is made tiny and large again, whatever is open: one drags a pane's border through every size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app_pilot import ask, at_once, make_app, running, wait_until

from tui.keeper import Keeper
from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path

SIZES = ((20, 5), (9, 4), (8, 4), (7, 3), (6, 2), (4, 2), (2, 1), (1, 1), (40, 10), (80, 24))
OPEN = {
    "chat": [], "help": ["f1"], "models": ["f3"], "history": ["ctrl+r"], "palette": ["ctrl+p"],
    "files": ["@"], "text": ["escape", "e"], "doubts": ["escape", "w"], "words": ["/"],
    "question": ["ctrl+r", "ctrl+d"], "line": ["ctrl+r", "ctrl+e"], "themes": ["ctrl+p", *"theme", "enter"],
    "lengths": [*"/summarize", "enter"], "panel": ["f2"],
}  # fmt: skip


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
                await pilot.pause()
                at_once(app, *OPEN[what])
                await wait_until(pilot, lambda: not app._waiting, f"the keys of {what}")
                await pilot.pause(0.1)
                if what == "lengths":  # once the file is there
                    await pilot.press("enter")
                    await pilot.pause(0.1)
                assert (app.screen is app.chat) == (what in {"chat", "words", "panel"}), what
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    await pilot.pause(0.05)
                while app.screen is not app.chat:
                    await pilot.press("escape")
                app.chat.prompt.text = ""
            app.chat.prompt.write("")
            await ask(pilot, "还在吗？")
