"""What is written in the prompt and thrown away, replaced or undone, and the keys that do something else elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app_pilot import ask, make_app, running, screen_text, wait_until

from tui.keeper import Keeper
from tui.store import Store
from tui.talk import Talk
from tui.widgets.attachments import Attachments

if TYPE_CHECKING:
    from pathlib import Path

    from tui.app import LlmApp


def told(app: LlmApp) -> str:
    return "\n".join(note.message for note in app._notifications)


async def test_a_draft_that_ctrl_c_threw_away_comes_back_by_undo(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await pilot.press(*"one", "ctrl+j", *"two", "ctrl+c")
        await wait_until(pilot, lambda: not app.chat.prompt.text, "an empty prompt")
        await pilot.press("ctrl+z")
        await wait_until(pilot, lambda: app.chat.prompt.text == "one\ntwo", "the draft")


async def test_what_was_changed_in_a_recalled_text_comes_back_by_undo(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await ask(pilot, "Two")
        await pilot.press("up", "!", "up")
        await wait_until(pilot, lambda: app.chat.prompt.text == "One", "the text before")
        await pilot.press("ctrl+z")
        await wait_until(pilot, lambda: app.chat.prompt.text == "Two!", "the changed one")


async def test_what_was_asked_in_a_conversation_that_is_gone_on_with_is_recalled(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    talk = Talk()
    talk.begin_answer(talk.ask("One"), "First").finish = "stop"
    talk.begin_answer(talk.ask("/Two"), "Second").finish = "stop"
    with Store(tmp_path / "app.db") as store:
        other = store.create("Other")
        store.add(other, None, "user", "Three")
        app = make_app(tiny_model_home, keeper=Keeper(store), talk=talk)
        async with running(app) as pilot:
            await pilot.press("up")
            assert app.chat.prompt.text == "//Two"  # what would send the same again
            await pilot.press("up", "down", "down")
            assert app.chat.prompt.text == ""
            await app.memory.open(other)
            for text in ("Three", "//Two", "One"):
                await pilot.press("up")
                assert app.chat.prompt.text == text


async def test_each_control_character_keeps_its_place(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        app.chat.prompt.insert("a\x07b\x08c\x1bd\x00e")
        await wait_until(pilot, lambda: "a�b�c�d�e" in screen_text(app), "the text")


async def test_what_was_sent_does_not_come_back_by_undo(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await pilot.press("a", "ctrl+z", "ctrl+z")
        await wait_until(pilot, lambda: "no shell" in told(app), "what the key does where nothing is to be undone")
        assert not app.chat.prompt.text


async def test_the_key_that_copies_the_last_answer_works_in_the_prompt(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await pilot.press("a", "ctrl+z", "ctrl+y")
        assert app.chat.prompt.text == "a"
        await pilot.press("ctrl+y")
        await wait_until(pilot, lambda: "copied" in told(app), "the copy")
        assert app.chat.prompt.text == "a"


@pytest.mark.parametrize(
    ("keys", "stay"),
    [(["backspace"] * 3, ["one.txt"]), (["ctrl+c"], []), (["backspace"] * 2 + ["ctrl+c"], [])],
    ids=["the last", "with the draft", "without a draft"],
)
async def test_files_are_taken_away_by_key(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str], stay: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        for name in ("one.txt", "two.txt"):
            (tmp_path / name).write_text("Some words.")
            app.chat.attach(name)
        await pilot.press("h", "i")
        await pilot.press(*keys)
        await wait_until(pilot, lambda: [one.name for one in app.chat.pending] == stay, "the files that stay")
        assert not app.chat.prompt.text
        assert app.chat.query_one(Attachments).display == bool(stay)
