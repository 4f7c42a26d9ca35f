"""Whatever a person types, pastes or calls a file, and whatever happens to the history meanwhile: the app goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app_pilot import ask, make_app, running, say, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest
    from textual.pilot import Pilot

    from tui.app import LlmApp


def told(app: LlmApp) -> str:
    """Everything that the app has said so far."""
    return "\n".join(note.message for note in app._notifications)


async def test_a_path_that_can_be_none_is_told(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        ("/file ~nobody.of.that.name/x", "no such file: ~nobody"),
        ("/system @~nobody.of.that.name/x", "no such file: ~nobody"),
        ("/summarize @~nobody.of.that.name/x.txt", "no such file: ~nobody"),
        ("/export ~nobody.of.that.name/x.md", "can't write ~nobody"),
        (f"/export {'a' * 300}.md", "File name too long"),
        ("/export a\0b.md", "null byte"),
    ]
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await each_is_told(app, pilot, lines)


async def each_is_told(app: LlmApp, pilot: Pilot[Any], lines: Iterable[tuple[str, str]]) -> None:
    """Send lines, and see what is said of each."""
    for line, expected in lines:
        app.clear_notifications()
        app.chat.prompt.write("")
        await say(pilot, line)
        await wait_until(pilot, lambda expected=expected: expected in told(app), line[:60])


async def test_a_number_or_a_value_beyond_all_measure_is_told(tiny_model_home: Path) -> None:
    lines = [
        ("/copy " + "9" * 5000, "/copy takes a number from 1"),
        ("/copy 0", "/copy takes a number from 1"),
        ("/set keep_alive " + "9" * 5000, "expected a time"),
        ("/set endpoint http://[x", "expected a URL"),
        ("/set endpoint http://x:99999999", "expected a URL"),
        ("/set stop " + "[" * 5000, "stop"),
        ("/set keys " + "[" * 5000, "keys expects a table"),
        ("/set temperature " + "9" * 400, "temperature"),
    ]
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await each_is_told(app, pilot, lines)
