"""Whatever a person types, pastes or calls a file, and whatever happens to the history meanwhile: the app goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_pilot import make_app, running, say, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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
        for line, expected in lines:
            app.clear_notifications()
            app.chat.prompt.write("")
            await say(pilot, line)
            await wait_until(pilot, lambda expected=expected: expected in told(app), line)
