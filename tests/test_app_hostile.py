"""Whatever a person types, pastes or calls a file, and whatever happens to the history meanwhile: the app goes on."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import ask, make_app, running, say, settled, wait_until
from textual.widgets import Label

from tui import palette
from tui.keeper import Keeper
from tui.parts import memory
from tui.screens.asking import AskingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.files import FilesScreen
from tui.screens.history import HistoryScreen
from tui.screens.welcome import WelcomeScreen
from tui.store import Store
from tui.widgets.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
        ("/copy 7", "there is no answer 7: 1 so far"),
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


async def deed(app: LlmApp, name: str) -> None:
    """What a row of the palette does."""
    done = palette.deeds_of(app)[name]()
    if inspect.isawaitable(done):
        await done


def forgotten_elsewhere(store: Store) -> None:
    """Another process deletes everything."""
    with Store(store.path) as other:
        other.delete([kept.id for kept in other.recent()])


def not_to_be_written(store: Store) -> None:
    """From now on the file can only be read, as on a disk that was mounted so after an error."""
    store._db.execute("PRAGMA query_only = ON")


@pytest.mark.parametrize("happens", [forgotten_elsewhere, not_to_be_written])
@pytest.mark.parametrize("what", ["title", "pin", "delete"])
async def test_what_can_not_be_done_to_the_open_conversation_is_told(
    tiny_model_home: Path, store: Store, what: str, happens: Callable[[Store], None]
) -> None:
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await ask(pilot, "One")
        await wait_until(pilot, lambda: not app.runner.waiting(), "its title")
        if what == "pin":
            happens(store)
        await deed(app, what)
        if what != "pin":
            dialog = AskingScreen if what == "title" else ConfirmingScreen
            await wait_until(pilot, lambda: isinstance(app.screen, dialog), "the dialog")
            happens(store)
            await pilot.press(*("abc" if what == "title" else ""), "enter" if what == "title" else "y")
        gone = happens is forgotten_elsewhere
        if not (gone and what == "delete"):  # that is as it was wished
            said = "no conversation" if gone else "can't be used"
            await wait_until(pilot, lambda: said in told(app), "the error")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        await ask(pilot, "Still there?")


@pytest.mark.parametrize("where", ["palette", "list"])
async def test_a_deletion_that_can_not_be_taken_off_the_disk_is_told(
    tiny_model_home: Path, store: Store, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await ask(pilot, "One")
        await wait_until(pilot, lambda: not app.runner.waiting(), "its title")
        delete = store.delete

        def then_fails(numbers: Sequence[int]) -> int:
            done = delete(numbers)
            store.path.unlink()
            store.path.mkdir()
            return done

        monkeypatch.setattr(store, "delete", then_fails)
        if where == "palette":
            await deed(app, "delete")
        else:
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list")
            history = app.screen
            assert isinstance(history, HistoryScreen)
            await wait_until(pilot, lambda: history.list.shown, "its rows")
            await pilot.press("ctrl+d")
        await wait_until(pilot, lambda: isinstance(app.screen, ConfirmingScreen), "the question")
        await pilot.press("y")
        await wait_until(pilot, lambda: "can't open the history" in told(app), "the error")


async def test_what_a_killed_app_wrote_is_left_where_the_history_can_not_be_written(
    tiny_model_home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "UNCHANGED", 0.2)
    number = store.create("cut")
    store.add(number, store.add(number, None, "user", "Tell me"), "assistant", "Once upon")
    not_to_be_written(store)
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await wait_until(pilot, lambda: "can't be used" in told(app), "the error")
        assert app.chat.talk.path == []


async def test_what_waits_for_a_model_that_is_not_there_waits_no_longer_than_the_error(
    tmp_path: Path, store: Store
) -> None:
    number = store.create("bees")
    store.add(number, store.add(number, None, "user", "bees"), "assistant", "They fly", finish="stop")
    app = make_app(tmp_path / "empty", keeper=Keeper(store))
    async with running(app, loaded=False) as pilot:
        await wait_until(pilot, lambda: isinstance(app.screen, WelcomeScreen), "the welcome")
        await pilot.press("escape")
        await app.memory.open(number)
        await app.chat.do_to_chosen("words")
        await wait_until(pilot, lambda: "no model is loaded" in told(app), "the error")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        app.clear_notifications()
        await pilot.press("ctrl+r", *"bees", "ctrl+s")
        await wait_until(pilot, lambda: "no model is loaded" in told(app), "the error")
        history = app.screen
        assert isinstance(history, HistoryScreen)
        await wait_until(pilot, lambda: [row.number for row in history.list.shown] == [number], "the rows by words")


async def test_a_conversation_with_odd_facts_opens_without_them(tiny_model_home: Path, store: Store) -> None:
    facts = {"decode": "fast", "output_tokens": "many", "prompt_tokens": [1], "model": 7, "note": {}, "sampling": 1,
             "first_token": "x", "task": ["dance", "", 3]}  # fmt: skip
    number = store.create("odd")
    question = store.add(number, None, "user", "One", facts=facts)
    store.add(number, question, "assistant", "Two", finish="stop", facts=facts | {"device": "cpu", "cached_tokens": 3})
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await app.memory.open(number)
        await ask(pilot, "Three")
        answer = app.chat.talk.path[1]
        assert (answer.device, answer.cached_tokens, answer.model, answer.rate) == ("cpu", 3, "", 0.0)
        assert app.chat.talk.path[0].task is None


@pytest.mark.parametrize(
    "name", ["[/].txt", "[/b.txt", "[@click=app.exit]x.txt", "\x1b[31mx.txt", os.fsdecode(b"\xff\xfe.txt"), "a\nb.txt"]
)
async def test_a_file_of_any_name_is_listed_given_and_kept(
    tiny_model_home: Path, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    path = Path(*name.split("/"))
    path.parent.mkdir(exist_ok=True)
    path.write_text("hello there", "utf-8")
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await pilot.press("@")
        await wait_until(pilot, lambda: isinstance(app.screen, FilesScreen), "the files")
        title = app.screen.query_one(".dialog-title", Label)
        await wait_until(pilot, lambda: " tok" in str(title.render()), "its tokens")
        shown = str(title.render())
        assert visible(name).split("\n")[0] in shown
        assert shown.isprintable() or "\n" in name
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.pending, "the file")
        await ask(pilot, "What does it say?")
        app.tasks.start("summarize", name, "short")  # as the palette does: not every name can be typed
        await wait_until(pilot, lambda: len(app.chat.talk.path) == 4, "the task")
        await settled(pilot)
        assert store.recent()
        assert "can't" not in told(app)
        path.unlink()
        await say(pilot, "/regen")
        await wait_until(pilot, lambda: app.chat.writings or told(app), "the answer, or why there is none")


async def test_a_folder_that_is_gone_is_told(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        (tmp_path / "gone").rmdir()
        await pilot.press("@")
        await wait_until(pilot, lambda: "is gone" in told(app), "the error")
        await pilot.press("backspace")
        await each_is_told(app, pilot, [("/file x.txt", "there is no folder"), ("/export x.md", "can't write x.md")])


async def test_what_would_have_no_effect_is_refused(tiny_model_home: Path) -> None:
    lines = [
        ("/set history false", "can't change history"),
        ("/set lang zh", "can't change lang"),
        ("/set system Be brief", "can't change system"),
        ("/set theme nonsense", "no theme nonsense"),
        ("/continue", "there is no answer yet"),
    ]
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        before = [app.settings[name] for name in ("history", "lang", "system", "theme")]
        await each_is_told(app, pilot, lines)
        assert [note.severity for note in app._notifications] == ["error"]
        assert [app.settings[name] for name in ("history", "lang", "system", "theme")] == before


@pytest.mark.skipif(os.name != "posix", reason="named pipes are Unix's")
async def test_a_pipe_that_nobody_writes_into_is_not_waited_for(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        said = "is a pipe or a device"
        await each_is_told(app, pilot, [(f"/{word} pipe.txt", said) for word in ("file", "summarize")])
        await each_is_told(app, pilot, [("/system @pipe.txt", said), ("/file /dev/zero", said)])
