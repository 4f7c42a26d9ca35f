"""Draws the pictures of this folder: the app as it is, the default model's answers as they come.

`python docs/pictures/draw.py` needs the default model installed; what it keeps goes into a folder that is removed.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui.app import LlmApp
from tui.cli.installed import open_library
from tui.keeper import Keeper
from tui.keymap import Keys
from tui.paths import places
from tui.settings import Settings
from tui.store import Store
from tui.strings import Strings
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from engine.schema import Language

HERE = Path(__file__).parent
SIZE = (112, 32)
FILES: dict[Language, str] = {"en": "minutes.txt", "zh": "纪要.txt"}
EARLIER: dict[Language, tuple[str, ...]] = {
    "en": ("/translate The library opens at nine.", "Write a short poem about the sea."),
    "zh": ("/translate 图书馆九点开门。", "写一首关于大海的短诗。"),
}
"""What the conversations in the sidebar began with."""
ASKED: dict[Language, tuple[str, ...]] = {
    "en": (
        "/summarize @minutes.txt",
        "How much may the repair cost? @minutes.txt",
        "/sentiment I wanted to like it, but the second half lost me.",
    ),
    "zh": (
        "/summarize @纪要.txt",
        "修理费用最多多少？ @纪要.txt",
        "/sentiment 本来很期待，可是后半段实在看不下去。",
    ),
}


async def draw(language: Language, folder: Path) -> None:
    """`chat.svg`, or `chat.zh.svg`; in English `doubts.svg` too."""
    (folder / FILES[language]).write_bytes((HERE / FILES[language]).read_bytes())
    os.chdir(folder)
    where = places()
    settings = Settings.load(where.config_file, environ={}, folder=folder)
    strings = Strings(language, Keys(settings["keys"]))
    with Store(folder / f"{language}.db") as store:
        app = LlmApp(settings, replace(where, state=folder), open_library(where), strings, keeper=Keeper(store))
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: app.models.name)
            for text in EARLIER[language]:
                await say(app, pilot, text)
                await pilot.press("ctrl+n")
                await until(pilot, lambda: not app.chat.talk.path)
            for text in ASKED[language]:
                await say(app, pilot, text)
            await picture(app, pilot, "chat.svg" if language == "en" else f"chat.{language}.svg")
            if language == "en":
                await pilot.press("ctrl+n")
                await until(pilot, lambda: not app.chat.talk.path)
                await say(app, pilot, EARLIER["en"][1])
                await pilot.pause(2.0)  # an Esc right after an answer's end was meant to stop it, and does nothing
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.chat.focused, TurnView))
                await pilot.press("w")
                await picture(app, pilot, "doubts.svg")


async def until(pilot: Pilot[int], true: Callable[[], object]) -> None:
    """Let the app work until something is so."""
    while not true():
        await pilot.pause(0.05)


async def say(app: LlmApp, pilot: Pilot[int], text: str) -> None:
    """Type a text, send it, and wait for the answer's end."""
    before = len(app.chat.talk.path)
    app.chat.prompt.focus()
    app.chat.prompt.insert(text)
    await pilot.pause(0.5)
    await pilot.press("enter")
    await until(pilot, lambda: len(app.chat.talk.path) > before and not app.chat.writings)
    await pilot.pause(0.5)


async def picture(app: LlmApp, pilot: Pilot[int], name: str) -> None:
    """Write what the app shows once notifications are gone; nothing in it is fetched from elsewhere."""
    app.clear_notifications()
    await pilot.pause(1.0)
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", app.export_screenshot(title="llm chat"), flags=re.DOTALL)
    (HERE / name).write_text(re.sub(r"[ \t]+\n", "\n", drawn).strip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    for language in ("en", "zh"):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(draw(language, Path(folder)))
