"""The app in a terminal that is only in memory, with the tiny model; and waiting for what is expected, not for time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual import events

from tui.app import LlmApp
from tui.cli.installed import open_library
from tui.keymap import Keys
from tui.paths import places
from tui.settings import Settings
from tui.strings import Strings
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from engine.schema import Language
    from tui.keeper import Keeper
    from tui.runner import Runner
    from tui.talk import Talk

PATIENCE = 60.0
"""Seconds: only a broken app needs them."""
KEPT = 32
"""Apps of before whose memory may stay: each settles what is there as if it were the only one."""
_begun = itertools.count(1)


async def wait_until(pilot: Pilot[Any], true: Callable[[], object], what: str = "") -> None:
    """Let the app work until something is so. Fails with what the app last said."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            said = [note.message for note in pilot.app._notifications]
            raise AssertionError(f"never came: {what or 'what the test waits for'}; said: {said}")
        await pilot.pause(0.02)


def make_app(
    home: Path,
    language: Language = "en",
    *,
    keeper: Keeper | None = None,
    talk: Talk | None = None,
    adapter: Path | None = None,
    **settings: Any,
) -> LlmApp:
    """The app as `llm chat` opens it on a home folder; short greedy answers unless told, and long ones may loop: what
    a model of random weights says ends nowhere."""
    where = replace(places({"LOCAL_LLM_HOME": str(home)}), state=places().state)  # what is remembered: each test's own
    given = {"max_tokens": 12, "temperature": 0.0, "device": "cpu", "threads": 1, "end_loops": False} | settings
    loaded = Settings.load(where.config_file, environ={}, folder=home).with_flags(given)
    strings = Strings(language, Keys(loaded["keys"]))
    return LlmApp(loaded, where, open_library(where), strings, talk, keeper=keeper, adapter=adapter)


@contextlib.asynccontextmanager
async def running(app: LlmApp, size: tuple[int, int] = (80, 24), *, loaded: bool = True) -> AsyncIterator[Pilot[Any]]:
    """The app at work, its model loaded. What it says stays, for whoever looks late."""
    notify = app.notify

    def stay(message: str, **how: Any) -> None:
        notify(message, **how | {"timeout": PATIENCE})

    app.notify = stay  # type: ignore[method-assign]
    if next(_begun) % KEPT == 0:
        gc.unfreeze()
    async with app.run_test(size=size) as pilot:
        if loaded:
            await wait_until(pilot, lambda: app.models.name, "the model")
        yield pilot


async def say(pilot: Pilot[Any], text: str) -> None:
    """Type a text and send it."""
    app = pilot.app
    assert isinstance(app, LlmApp)
    await wait_until(pilot, lambda: app.chat.is_mounted and app.chat.query("#prompt"), "the prompt")
    app.chat.prompt.focus()
    await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the focus")
    app.chat.prompt.insert(text)
    await pilot.press("enter")


async def ask(pilot: Pilot[Any], text: str) -> None:
    """Ask, and wait for the whole answer."""
    app = pilot.app
    assert isinstance(app, LlmApp)
    before = len(app.chat.talk.path)
    await say(pilot, text)
    await wait_until(pilot, lambda: len(app.chat.talk.path) > before, "the question")
    await settled(pilot)


async def leave_the_prompt(pilot: Pilot[Any]) -> None:
    """Give the focus to the newest message."""
    app = pilot.app
    assert isinstance(app, LlmApp)
    await pilot.press("escape")
    await wait_until(pilot, lambda: isinstance(app.chat.focused, TurnView), "the message")


def at_once(app: LlmApp, *keys: str) -> None:
    """Keys that all wait before the app looks at the first."""
    for key in keys:
        app.post_message(events.Key(key, "\r" if key == "enter" else key if len(key) == 1 else None))


@contextlib.asynccontextmanager
async def pauses() -> AsyncIterator[list[float]]:
    """Seconds for which nothing else was done, each time."""
    found = [0.0]

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            found.append(time.monotonic() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)  # it begins
    try:
        yield found
    finally:
        watching.cancel()


class Hold:
    """A job that keeps the model's thread until it is let go: what is asked meanwhile waits."""

    brief = False

    def __init__(self, at: LlmApp | Runner) -> None:
        runner = at.runner if isinstance(at, LlmApp) else at
        self.key = runner.new_key()
        self.stopped = threading.Event()
        runner.submit(self)

    def run(self, room: Runner) -> None:
        self.stopped.wait(PATIENCE)


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until no answer is being written."""
    app = pilot.app
    assert isinstance(app, LlmApp)
    await wait_until(pilot, lambda: not app.chat.writings, "the answer's end")
    app.chat.ended_at = -1e9  # whoever presses a key next has seen it
    await pilot.pause()


def screen_text(app: LlmApp) -> str:
    """What stands on the screen, line by line."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.crop(0, width).text.rstrip() for strip in strips[:height])
