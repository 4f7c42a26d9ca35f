"""Keys typed behind one another, with no pause between: each finds what the one before led to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import ask, at_once, leave_the_prompt, make_app, running, settled, wait_until
from textual.widgets import Input, TextArea

from tui.keeper import Keeper
from tui.palette import PaletteScreen
from tui.screens.choosing import ChoosingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.editing import EditingScreen
from tui.screens.files import FilesScreen
from tui.screens.help import HelpScreen
from tui.screens.history import HistoryScreen
from tui.screens.models import ModelsScreen
from tui.store import Store
from tui.widgets.panel import Panel
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from tui.app import LlmApp
    from tui.screens.dialog import Dialog


async def looked_at(pilot: Pilot[Any], app: LlmApp) -> None:
    """Until no key waits, and no dialog is on its way."""
    await pilot.pause()
    await wait_until(pilot, lambda: not app._waiting, "the last key")
    await pilot.pause()


async def with_versions(pilot: Pilot[Any], app: LlmApp, count: int) -> None:
    """An answer in so many versions, the last one chosen."""
    await ask(pilot, "One")
    await leave_the_prompt(pilot)
    for number in range(2, count + 1):
        await pilot.press("r")
        await wait_until(pilot, lambda number=number: app.chat.talk.tip.place == (number, number), "another answer")
        await settled(pilot)
    await wait_until(pilot, lambda: isinstance(app.chat.focused, TurnView), "the message")


@pytest.mark.parametrize(
    ("keys", "place"), [(["left", "left"], 1), (["left", "left", "right"], 2), (["k", "j", "left"], 2)]
)
async def test_each_arrow_goes_one_version_on(tiny_model_home: Path, keys: list[str], place: int) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await with_versions(pilot, app, 3)
        at_once(app, *keys)
        await looked_at(pilot, app)
        assert app.chat.talk.tip.place == (place, 3)


async def test_what_is_done_behind_an_arrow_is_done_to_the_version_that_it_showed(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await with_versions(pilot, app, 2)
        at_once(app, "e", *"Other", "ctrl+s")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (3, 3), "the changed answer")
        assert app.chat.talk.tip.text.endswith("Other")
        await looked_at(pilot, app)
        at_once(app, "left", "right", "e")
        await wait_until(pilot, lambda: isinstance(app.screen, EditingScreen), "the text")
        assert app.screen.query_one(TextArea).text == app.chat.talk.tip.text


@pytest.mark.parametrize("leading", [["f"], ["escape"], ["ctrl+n"], ["f1", "q", "escape"], ["e", "escape", "escape"]])
async def test_a_text_behind_a_key_that_leads_to_the_prompt_is_written_there(
    tiny_model_home: Path, leading: list[str]
) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await with_versions(pilot, app, 2)
        at_once(app, *leading, *"retry")
        await looked_at(pilot, app)
        assert app.chat.prompt.text == "retry"
        assert not app.chat.writings


@pytest.mark.parametrize("key", ["escape", "tab"])
async def test_a_key_behind_one_that_leaves_the_prompt_is_meant_for_the_message(
    tiny_model_home: Path, key: str
) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        at_once(app, *"Two", key, "r")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (2, 2), "another answer")
        assert app.chat.prompt.text == "Two"


async def test_what_follows_a_word_that_tab_completes_stands_behind_it(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        at_once(app, *"/sy", "tab", *"Be brief", "enter")
        await looked_at(pilot, app)
        assert app.chat.talk.system == "Be brief"


@pytest.mark.parametrize(
    ("key", "screen"), [("ctrl+r", HistoryScreen), ("f3", ModelsScreen), ("ctrl+b", HistoryScreen)]
)
async def test_letters_behind_a_key_that_opens_a_list_are_looked_for_there(
    tiny_model_home: Path, tmp_path: Path, key: str, screen: type[Dialog[Any]]
) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            at_once(app, key, *"bees")
            await looked_at(pilot, app)
            assert isinstance(app.screen, screen)
            assert app.screen.query_one(Input).value == "bees"
            assert not app.chat.prompt.text


async def test_words_behind_the_key_for_old_conversations_are_not_sent_to_the_model(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        store.add(store.create("Bees", at=1000.0), None, "user", "How do bees fly?", at=1000.0)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            at_once(app, "ctrl+r", *"bees", "enter")
            await wait_until(pilot, lambda: app.chat.talk.path, "the conversation")
            assert app.chat.talk.title == "Bees"
            assert [turn.text for turn in app.chat.talk.path] == ["How do bees fly?"]


async def test_a_value_behind_the_key_for_the_panel_is_no_question(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        at_once(app, "f2", *"0.5", "down", "down", *"7", "enter", "escape", *"Hello")
        await looked_at(pilot, app)
        panel = app.chat.query_one(Panel)
        assert [panel.query_one(f"#field-{name}", Input).value for name in ("temperature", "top_k")] == ["0.5", "7"]
        assert app.chat.prompt.text == "Hello"
        assert not app.chat.talk.path


async def test_the_palette_and_the_list_that_it_leads_to_are_answered_in_one_go(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        at_once(app, "ctrl+p", *"theme", "enter", *"nord", "enter", *"Hello")
        await looked_at(pilot, app)
        assert app.theme == "nord"
        assert app.chat.prompt.text == "Hello"


@pytest.mark.parametrize(
    ("opening", "dialog", "twice"),
    [
        ("f3", ModelsScreen, "enter"),
        ("ctrl+r", HistoryScreen, "enter"),
        ("@", FilesScreen, "enter"),
        ("e", EditingScreen, "ctrl+s"),
        ("ctrl+p", PaletteScreen, "enter"),
        ("f1", HelpScreen, "q"),
    ],
)
async def test_a_key_that_comes_twice_answers_a_dialog_once(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: str, dialog: type, twice: str
) -> None:
    (tmp_path / "one.txt").write_text("One", "utf-8")
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path / "kept.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await ask(pilot, "One")
            await wait_until(pilot, lambda: not app.runner.waiting(), "its title")
            if opening == "e":
                await leave_the_prompt(pilot)
            await pilot.press(opening)
            await wait_until(pilot, lambda: isinstance(app.screen, dialog), "the dialog")
            await pilot.pause(0.3)
            at_once(app, twice, twice)
            await looked_at(pilot, app)
            assert app.chat in app.screen_stack
            while app.screen is not app.chat:
                await pilot.press("escape")
            await ask(pilot, "Still there?")


async def test_two_clicks_on_a_row_take_it_once(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await pilot.press("f3")
        await wait_until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the models")
        screen = app.screen
        assert isinstance(screen, ChoosingScreen)
        screen.take_marked()
        screen.take_marked()
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        await ask(pilot, "Still there?")


async def test_a_deletion_that_is_confirmed_in_one_go_is_done(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await ask(pilot, "One")
            await wait_until(pilot, lambda: not app.runner.waiting(), "its title")
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list")
            screen = app.screen
            assert isinstance(screen, HistoryScreen)
            await wait_until(pilot, lambda: screen.list.shown, "its row")
            at_once(app, "ctrl+d", "n", "ctrl+d", "enter", "ctrl+d")
            await wait_until(pilot, lambda: isinstance(app.screen, ConfirmingScreen), "the question, again")
            await looked_at(pilot, app)
            assert store.recent()
            at_once(app, "y", "escape", *"Two")
            await looked_at(pilot, app)
            assert not store.recent()
            assert app.chat.prompt.text == "Two"
