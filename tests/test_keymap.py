"""The keys of the app: one table, bindings made from it, and what the settings may say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import make_app, running, screen_text, settled, wait_until
from cli_process import llm
from textual.binding import Binding

from engine.errors import UsageError
from tui.app import LlmApp
from tui.keymap import ACTIONS, TOGETHER, Keys, check, shown
from tui.screens.chat import ChatScreen
from tui.screens.choosing import ChoosingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.doubts import DoubtsScreen
from tui.screens.editing import EditingScreen
from tui.screens.help import HelpScreen
from tui.screens.history_list import HistoryList
from tui.screens.models import ModelsScreen
from tui.settings import read_file
from tui.strings import TABLES
from tui.widgets.panel import Panel
from tui.widgets.prompt import Prompt
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from pathlib import Path

OWNERS: list[Any] = [
    LlmApp, ChatScreen, Prompt, TurnView, ChoosingScreen, HistoryList, ModelsScreen, EditingScreen, DoubtsScreen,
    HelpScreen, ConfirmingScreen, Panel,
]  # fmt: skip


def test_every_action_of_the_table_is_bound_once_with_its_keys_and_explained() -> None:
    bound = [b for owner in OWNERS for b in vars(owner)["BINDINGS"] if isinstance(b, Binding) and b.id]
    assert {binding.id for binding in bound} == set(ACTIONS)
    for binding in bound:
        assert binding.key == ACTIONS[binding.id or ""].keys
        assert binding.description in TABLES["en"]


def test_no_two_actions_share_a_key_where_both_work() -> None:
    for places in TOGETHER:
        keys = [key for action in ACTIONS.values() if action.where in places for key in action.keys.split(",")]
        assert len(keys) == len(set(keys)), places
    assert {action.where for action in ACTIONS.values()} <= {place for places in TOGETHER for place in places}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nwe": "ctrl+t"}, "no action 'nwe'; did you mean new?"),
        ({"new": "n"}, "typed into the text"),
        ({"new": "shift+n"}, "typed into the text"),
        ({"new": "space"}, "typed into the text"),
        ({"new": "hyper+x"}, "no key 'hyper+x'"),
        ({"new": "ctrl+nn"}, "no key"),
        ({"new": ""}, "got none"),
        ({"new": []}, "got none"),
        ({"new": 3}, "a list of them, got 3"),
        ({"new": "ctrl+i"}, "can't tell ctrl+i from tab"),
        ({"new": "ctrl+r"}, "both"),
        ({"new": "f5", "history": "f5"}, "both"),
        ({"retry": "e"}, "both"),
        ({"send": "ctrl+q"}, "both"),
    ],
)
def test_nonsense_is_refused_with_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(changes)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"new": "ctrl+t"},
        {"new": ["f5", "ctrl+t"]},
        {"new": "ctrl+r", "history": "f4"},  # they change places
        {"retry": "x", "copy": "Y"},
        {"by_meaning": "alt+m", "words": "?"},
        {"keep": "ctrl+t"},  # where one edits, nobody pins
    ],
)
def test_sensible_keys_are_taken(changes: dict[str, Any]) -> None:
    check(changes)


def test_keys_are_named_for_people() -> None:
    named = [shown(key) for key in ("ctrl+n", "escape", "alt+left", "f1", "question_mark")]
    assert named == ["Ctrl+N", "Esc", "Alt+←", "F1", "?"]
    assert Keys({"new": "f5,ctrl+t"})["new"] == "F5"


def test_keys_are_set_one_by_one_and_what_stands_around_them_stays(tmp_path: Path) -> None:
    def config(*arguments: str) -> tuple[int, str]:
        done = llm(tmp_path, "config", *arguments)
        return done.returncode, (done.stdout + done.stderr).decode()

    assert config("set", "keys.new", "ctrl+t")[0] == 0
    path = tmp_path / "config.toml"
    path.write_text("# mine\n" + path.read_text() + 'retry = "x"  # as elsewhere\n')
    assert config("set", "keys.history", "f4, ctrl+o")[0] == 0
    assert config("set", "theme", "nord")[0] == 0
    assert "# as elsewhere" in path.read_text()
    code, said = config("set", "keys.retry", "e")
    assert (code, "e would be both edit and retry" in said) == (2, True)
    code, said = config("set", "keys.nwe", "f5")
    assert (code, "did you mean new?" in said) == (2, True)
    assert (config("get", "keys.new"), config("get", "keys.send")) == ((0, "ctrl+t\n"), (0, ""))
    assert config("unset", "keys.new")[0] == 0
    assert read_file(path) == {"theme": "nord", "keys": {"history": "f4, ctrl+o", "retry": "x"}}
    path.write_text("[keys]\nnew = 'n'\n")
    code, said = config("show")
    assert (code, "config.toml: keys: new: n is typed into the text" in said) == (2, True)


async def test_a_key_of_the_settings_comes_before_what_a_text_area_does_with_it(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, keys={"new": "ctrl+k", "quit": "ctrl+u", "editor": "ctrl+w", "recall": "ctrl+up"})
    async with running(app) as pilot:
        app.chat.prompt.insert("one\ntwo")
        await pilot.press("up")
        assert app.chat.prompt.cursor_location == (0, 3)  # nothing else has the key now
        old = app.chat.talk
        await pilot.press("ctrl+k")
        await wait_until(pilot, lambda: app.chat.talk is not old, "a new conversation")
        assert app.chat.prompt.text == "one\ntwo"
        await pilot.press("ctrl+w")
        await wait_until(pilot, lambda: app._notifications, "why there is no editor")
        await pilot.press("ctrl+u")
        await wait_until(pilot, lambda: not app.is_running, "the end")


async def test_the_keys_of_the_settings_work_and_are_what_help_footer_and_texts_show(tiny_model_home: Path) -> None:
    keys = {"new": "ctrl+t", "help": "f4", "send": "ctrl+s", "retry": "x", "palette": "f10"}
    app = make_app(tiny_model_home, keys=keys)
    async with running(app, (120, 40)) as pilot:
        await wait_until(pilot, lambda: "Ctrl+S sends" in screen_text(app), "the greeting")
        assert "F10 has every command" in screen_text(app)
        await wait_until(pilot, lambda: "Ctrl+S send" in screen_text(app).splitlines()[-1], "the footer")
        assert "Ctrl+T new" in screen_text(app).splitlines()[-1]
        await pilot.press("h", "i", "enter")  # no longer a key of its own: a line end
        assert app.chat.prompt.text == "hi\n"
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: app.chat.talk.tip.finish, "the answer")
        await settled(pilot)
        first = app.chat.talk.tip
        await pilot.press("escape", "x")
        await wait_until(pilot, lambda: app.chat.talk.tip is not first, "another answer")
        await wait_until(pilot, lambda: not app.chat.writings, "its end")
        await pilot.press("f4")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpScreen), "the help")
        await wait_until(pilot, lambda: "Ctrl+S" in screen_text(app), "its text")
        rows = [row.split() for row in screen_text(app).splitlines()]
        assert ["x", "retry:"] in [row[1:3] for row in rows]
        app.screen.query_one("#help").scroll_end(animate=False)
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        old = app.chat.talk
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert app.chat.talk is old
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: app.chat.talk is not old, "a new conversation")
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert app.screen is app.chat
        await pilot.press("f10")
        await wait_until(pilot, lambda: app.screen is not app.chat, "the palette")
