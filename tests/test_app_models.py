"""Bringing, watching, stopping, using and removing models in the app: a hub on the loopback, real conversion."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import toy_checkpoints
from app_pilot import Hold, ask, make_app, running, say, screen_text, wait_until
from hub_server import HubServer

from engine import catalog
from engine.catalog import CatalogEntry, Licence
from engine.session import Session
from tui.app import LlmApp
from tui.cli.installed import open_library
from tui.paths import places
from tui.screens.models import ModelsScreen
from tui.screens.welcome import WelcomeScreen
from tui.settings import Settings
from tui.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = "hf:acme/small"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A chat model as somebody publishes it."""
    folder = toy_checkpoints.write_chat_model(tmp_path_factory.mktemp("published") / "small")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that has the model, and a catalog whose default it is."""
    from huggingface_hub import close_session

    entry = CatalogEntry(
        name="small", repo="acme/small", size=sum(map(len, published.values())), en="A small one.", zh="小模型。",
        licence=Licence("Apache-2.0", "Apache License 2.0", "https://example.org/licence"), default=True,
    )  # fmt: skip
    others = [other for other in catalog.CATALOG if not other.default]
    with HubServer() as server:
        server.repos["acme/small"] = published
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(catalog, "CATALOG", (entry, *others))
        yield server
        close_session()


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_first_start_offers_the_default_and_chats_once_it_is_here(
    hub: HubServer, tmp_path: Path, size: tuple[int, int]
) -> None:
    app = make_app(tmp_path)
    async with running(app, size, loaded=False) as pilot:
        await wait_until(pilot, lambda: isinstance(app.screen, WelcomeScreen), "the welcome")
        await wait_until(pilot, lambda: "Pull it" in screen_text(app), "the offer")
        shown = screen_text(app)
        for said in ("small", "A small one.", "to download", "Apache License 2.0", "Later"):
            assert said in shown, said
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.models.name == "small", "the model")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        await ask(pilot, "Hello?")
        assert app.chat.talk.tip.text
    assert (tmp_path / "models" / "small" / "manifest.json").exists()


async def test_a_pull_is_stopped_and_goes_on_where_it_was(hub: HubServer, tmp_path: Path) -> None:
    hub.block_delay = 0.01
    app = make_app(tmp_path)
    async with running(app, loaded=False) as pilot:
        await wait_until(pilot, lambda: isinstance(app.screen, WelcomeScreen), "the welcome")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "downloading" in screen_text(app), "the progress")
        await wait_until(pilot, lambda: app.models.pulling[0].done > 1_000_000, "a part")
        assert "%" in screen_text(app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Pull again" in screen_text(app), "the stop")
        assert app.library.names() == []
        received = list(tmp_path.rglob("*.partial"))
        assert received
        hub.block_delay = 0.0
        button = app.screen.query_one("#pull-it")
        await wait_until(pilot, lambda: not button.has_class("-active"), "the button's rest")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.models.name == "small", "the model")
    assert any(range_ for _, range_, _ in hub.requests)  # it asked for the rest alone


async def test_a_pull_that_fails_says_why_and_what_to_do(hub: HubServer, tmp_path: Path) -> None:
    hub.status["api"] = 404
    app = make_app(tmp_path)
    async with running(app, loaded=False) as pilot:
        await wait_until(pilot, lambda: isinstance(app.screen, WelcomeScreen), "the welcome")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Pull again" in screen_text(app), "the failure")
        await wait_until(pilot, lambda: "could not be fetched" in screen_text(app), "its reason")
        assert "→" in screen_text(app)
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        assert "no model" in screen_text(app)


async def test_the_manager_pulls_beside_the_chat_uses_and_removes(hub: HubServer, tmp_path: Path) -> None:
    hub.block_delay = 0.02
    home = tmp_path / "home"
    folder = toy_checkpoints.write_chat_model(tmp_path / "first", seed=3)
    app = make_app(home)
    app.library.import_path(folder, "first")
    async with running(app, (100, 30)) as pilot:
        await pilot.press("f3")
        await wait_until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the models")
        manager = app.screen
        assert isinstance(manager, ModelsScreen)
        await wait_until(pilot, lambda: len(manager.shown) == len(catalog.CATALOG) + 1, "the rows")
        assert "in use" in manager.shown[0].note
        assert "to pull" in manager.shown[1].note
        assert "Apache-2.0" in manager.shown[1].note
        await pilot.press(*"small", "enter")
        await wait_until(pilot, lambda: app.screen is not manager, "the question")
        assert "Apache License 2.0" in screen_text(app)
        await pilot.press("y")
        await wait_until(pilot, lambda: app.models.pulling, "the pull")
        await wait_until(pilot, lambda: "%" in screen_text(app), "its progress")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        assert "↓ small" in screen_text(app)
        hub.block_delay = 0.0
        await ask(pilot, "Meanwhile?")
        await wait_until(pilot, lambda: "small" in app.library.names(), "the model")
        await wait_until(pilot, lambda: not app.models.pulling, "the end")
        assert app.models.name == "first"
        await pilot.press("f3", *"small", "enter")
        await wait_until(pilot, lambda: app.models.name == "small", "the change")
        await pilot.press("f3", *"first")
        await wait_until(pilot, lambda: [row.label for row in app.screen.shown] == ["first"], "the row")  # type: ignore[attr-defined]
        await pilot.press("ctrl+d", "y")
        await wait_until(pilot, lambda: app.library.names() == ["small"], "the removal")
        app.screen.query_one("#filter").value = "small"  # type: ignore[attr-defined]
        await pilot.press("ctrl+d", "n")
        assert app.library.names() == ["small"]
        await pilot.press("ctrl+d", "y")
        await wait_until(pilot, lambda: app.library.names() == [], "the last one's removal")
        assert app.models.name == ""
        await wait_until(pilot, lambda: app.runner.session is None, "the weights' end")


async def test_what_the_hub_has_besides_is_pulled_by_its_name(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["other/one"] = hub.repos["acme/small"]
    app = make_app(tmp_path)
    async with running(app, (100, 30), loaded=False) as pilot:
        await wait_until(pilot, lambda: isinstance(app.screen, WelcomeScreen), "the welcome")
        await pilot.press("right", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the models")
        app.screen.query_one("#filter").value = "hf:other/one"  # type: ignore[attr-defined]
        await wait_until(pilot, lambda: [row.label for row in app.screen.shown] == ["hf:other/one"], "the row")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_until(pilot, lambda: not isinstance(app.screen, ModelsScreen), "the question")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.models.name == "one", "the model")


async def test_an_open_session_answers_in_place_of_a_model_of_this_machine(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    where = places({"LOCAL_LLM_HOME": str(tmp_path)})
    settings = Settings.load(where.config_file, environ={}, folder=tmp_path).with_flags({"max_tokens": 4})
    app = LlmApp(settings, where, open_library(where), Strings("en"), remote=session)
    async with running(app) as pilot:  # no model is installed, and none is offered
        assert app.screen is app.chat
        await ask(pilot, "Hello?")
        assert app.chat.talk.tip.output_tokens == 4
        assert app.models.count("some words") > 0


async def test_a_server_may_call_its_model_anything(tiny_model_home: Path, tmp_path: Path) -> None:
    session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    session.name = "odd[/][b]\x1b[31m模型"
    where = places({"LOCAL_LLM_HOME": str(tmp_path)})
    settings = Settings.load(where.config_file, environ={}, folder=tmp_path).with_flags({"max_tokens": 4})
    app = LlmApp(settings, where, open_library(where), Strings("en"), remote=session)
    async with running(app, (120, 40)) as pilot:
        await pilot.press("f2")
        await wait_until(pilot, lambda: screen_text(app).count("odd[/][b]�[31m模型") == 4, "the name, four times")
        await ask(pilot, "Hello?")
        await wait_until(pilot, lambda: screen_text(app).count("odd[/][b]�[31m模型") == 4, "the name at the answer")
        assert "\x1b" not in screen_text(app)


async def test_the_manager_by_mouse_alone(hub: HubServer, tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with running(app, (100, 30), loaded=False) as pilot:
        await wait_until(pilot, lambda: isinstance(app.screen, WelcomeScreen), "the welcome")
        await wait_until(pilot, lambda: "Other models" in screen_text(app), "the buttons")
        await pilot.click("#other")
        await wait_until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the models")
        manager = app.screen
        await wait_until(pilot, lambda: "small" in screen_text(app), "the rows")
        await pilot.click("#rows", offset=(3, 0))
        await wait_until(pilot, lambda: app.screen is not manager, "the question")
        await wait_until(pilot, lambda: "Not now" in screen_text(app), "its buttons")
        await pilot.click("#yes")
        await wait_until(pilot, lambda: app.models.name == "small", "the model")


async def test_where_an_imported_model_came_from_is_said_in_chinese(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, "zh")
    async with running(app) as pilot:
        await pilot.press("f3")
        await wait_until(pilot, lambda: "导入自" in screen_text(app), "where it came from")
        assert "imported from" not in screen_text(app)


@pytest.fixture
def two_models(tiny_model_home: Path, tmp_path: Path) -> Path:
    for name in ("tiny-one", "tiny-two"):
        shutil.copytree(tiny_model_home / "models" / "tiny", tmp_path / "models" / name)
    return tmp_path


async def test_a_setting_that_is_changed_while_a_model_comes_brings_no_other(two_models: Path) -> None:
    app = make_app(two_models)
    async with running(app) as pilot:
        hold = Hold(app)
        await say(pilot, "/model tiny-two")
        await say(pilot, "/set threads 2")
        await wait_until(pilot, lambda: app.settings["threads"] == 2, "the setting")
        hold.stopped.set()
        await wait_until(pilot, lambda: not app.runner.waiting(), "all that was asked for")
        await wait_until(pilot, lambda: app.models.name == "tiny-two", "the model")


async def test_a_model_that_is_not_there_is_not_taken_and_one_of_several_is_told(two_models: Path) -> None:
    app = make_app(two_models)
    async with running(app) as pilot:
        await say(pilot, "/set model nonsense")
        await say(pilot, "/model tiny")
        await wait_until(pilot, lambda: len(app._notifications) == 2, "both errors")
        first, second = [note.message for note in app._notifications]
        assert "no model 'nonsense' on this machine" in first
        assert "'tiny' could be any of tiny-one, tiny-two" in second
