"""Someone who is faster than the app: keys that come before what they are meant for, or after it has gone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from app_pilot import Hold, ask, at_once, leave_the_prompt, make_app, running, say, screen_text, settled, wait_until
from textual import events

from tui.keeper import Keeper
from tui.screens import chat, files
from tui.screens.asking import AskingScreen
from tui.screens.choosing import Choice, ChoosingScreen
from tui.screens.files import FilesScreen
from tui.screens.history import HistoryScreen
from tui.store import Store
from tui.talk import Talk
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.widget import Widget


async def test_a_task_belongs_to_the_conversation_it_was_asked_in(
    tiny_model_home: Path, tmp_path: Path, store: Store
) -> None:
    (tmp_path / "notes.txt").write_text("I loved it.\n", "utf-8")
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        app.tasks.start("judge", str(tmp_path / "notes.txt"))
        talk = app.chat.talk
        await app.chat.open(Talk())  # by a key that came before the task was drawn
        await settled(pilot)
        assert talk.tip.text
        assert [entry.text for entry in store.shown(talk.kept or 0)] == [turn.text for turn in talk.path]


async def test_nothing_but_the_prompt_has_the_keys_while_the_app_opens(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    had: list[Widget | None] = []
    give = chat.ChatScreen.set_focus

    def kept(screen: chat.ChatScreen, widget: Widget | None, **how: bool) -> None:
        had.append(widget)
        give(screen, widget, **how)

    monkeypatch.setattr(chat.ChatScreen, "set_focus", kept)
    app = make_app(tiny_model_home)
    async with running(app, (120, 40)) as pilot:
        await settled(pilot)
        assert had
        assert {widget.id for widget in had if widget is not None} == {"prompt"}


async def test_enter_right_after_letters_takes_the_row_they_mean(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        taken: list[str | None] = []
        rows = [Choice(name, name) for name in ("ansi-dark", "nord", "textual-light")]
        app.push_screen(ChoosingScreen("Themes", rows, app.strings), taken.append)
        await wait_until(pilot, lambda: isinstance(app.screen, ChoosingScreen), "the list")
        await pilot.pause()
        at_once(app, *"light", "enter")
        await wait_until(pilot, lambda: taken, "the row")
        assert taken == ["textual-light"]


async def test_enter_right_after_a_line_returns_all_of_it(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        taken: list[str | None] = []
        app.push_screen(AskingScreen("What?", "", app.strings), taken.append)
        await wait_until(pilot, lambda: isinstance(app.screen, AskingScreen), "the line")
        await pilot.pause()
        at_once(app, *"whoowns", "enter")
        await wait_until(pilot, lambda: taken, "the line")
        assert taken == ["whoowns"]


async def test_enter_right_after_words_opens_what_says_them(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        for question in ("How do bees fly?", "A boat on the sea"):
            store.add(store.create(question, at=1000.0), None, "user", question, at=1000.0)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list")
            screen = app.screen
            assert isinstance(screen, HistoryScreen)
            await wait_until(pilot, lambda: len(screen.list.shown) == 2, "both")
            at_once(app, *"bees", "enter")
            await wait_until(pilot, lambda: app.chat.talk.path, "the conversation")
            assert app.chat.talk.title == "How do bees fly?"


async def test_turns_may_be_drawn_while_the_app_is_left(tiny_model_home: Path, tmp_path: Path) -> None:
    """Their parts go first."""
    with Store(tmp_path / "app.db") as store:
        number = store.create("Bees", at=1000.0)
        store.add(number, None, "user", "How do bees fly?", at=1000.0)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app):
            await app.memory.open(number)
            for view in app.chat.transcript.query(TurnView):
                await view.remove_children()
            await app.chat.show()


async def test_what_was_put_off_finds_nobody_home_once_the_app_is_left(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app):
        for _ in range(20):
            app.call_later(app.chat.show)
            app.call_later(app.models.say_ready)


async def test_an_esc_that_comes_just_after_the_end_leaves_the_prompt_where_it_is(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "LATE", 60.0)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await say(pilot, "One")
        await wait_until(pilot, lambda: app.chat.talk.path and not app.chat.writings, "the answer")
        await pilot.press("ctrl+c", "escape", *"how")
        assert app.is_running
        assert app.chat.prompt.text == "how"
        app.chat.ended_at = time.monotonic() - chat.LATE - 1
        await leave_the_prompt(pilot)


@pytest.mark.usefixtures("unhurried")
async def test_an_answer_that_was_stopped_can_be_gone_to_at_once(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, max_tokens=2000)
    async with running(app) as pilot:
        await say(pilot, "Tell me everything")
        await wait_until(pilot, lambda: len(app.chat.talk.tip.text) > 20, "some words")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.chat.writings, "the end")
        await leave_the_prompt(pilot)


@pytest.mark.parametrize("first", ["T", "谢", "1", "?"])
async def test_a_letter_without_a_meaning_at_a_message_begins_a_text(tiny_model_home: Path, first: str) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await leave_the_prompt(pilot)
        at_once(app, first)
        await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the prompt")
        await pilot.press(*"hanks")
        assert app.chat.prompt.text == first + "hanks"


@pytest.mark.parametrize("text", ["Try", "Then", "谢谢"])
async def test_the_letters_behind_one_that_begins_a_text_are_no_commands(tiny_model_home: Path, text: str) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await leave_the_prompt(pilot)
        at_once(app, *text)
        await wait_until(pilot, lambda: app.chat.prompt.text == text, "the text")
        assert app.chat.talk.tip.place == (1, 1)  # nothing was tried again


async def test_a_key_right_behind_one_that_chooses_a_message_is_meant_for_that(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await leave_the_prompt(pilot)
        await pilot.press("r")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (2, 2), "another answer")
        await settled(pilot)
        await pilot.press("k")
        at_once(app, "j", "left")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (1, 2), "the version before")
        await pilot.press("k")
        at_once(app, "G", "right")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (2, 2), "the other again")


async def test_a_word_with_a_slash_that_failed_stands_in_the_prompt_again(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await say(pilot, "/file gnoe.txt")
        await wait_until(pilot, lambda: app._notifications, "the error")
        assert app.chat.prompt.text == "/file gnoe.txt"
        app.chat.prompt.write("")
        await say(pilot, "/context")
        await wait_until(pilot, lambda: len(app._notifications) == 2, "the figures")
        await pilot.press("up")
        assert app.chat.prompt.text == "/context"


async def test_a_paste_at_a_message_goes_into_the_prompt(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await pilot.press(*"Two:", "escape")
        await wait_until(pilot, lambda: isinstance(app.chat.focused, TurnView), "the message")
        app.post_message(events.Paste("three\nfour"))
        await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the prompt")
        assert app.chat.prompt.text == "Two:three\nfour"


async def test_what_is_asked_while_the_model_is_busy_is_answered_in_the_end(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        hold = Hold(app)
        await say(pilot, "One")
        at_once(app, "T", "w", "o", "enter")
        await wait_until(pilot, lambda: app._notifications, "that an answer is on its way")
        assert app.chat.prompt.text == "Two"
        hold.stopped.set()
        await settled(pilot)
        assert app.chat.talk.tip.text


async def test_a_message_offers_only_what_can_be_done_with_it(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:

        def footer() -> str:
            return screen_text(app).splitlines()[-1]

        await ask(pilot, "One")
        await pilot.press("escape")
        await wait_until(pilot, lambda: "w doubts" in footer(), "the keys of an answer")
        assert "previous" not in footer()
        await pilot.press("k")
        await wait_until(pilot, lambda: "f fork" in footer() and "doubts" not in footer(), "those of a question")
        await pilot.press("j", "r")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (2, 2), "another answer")
        await settled(pilot)
        await wait_until(pilot, lambda: "← previous" in footer(), "the way to the other version")
        await pilot.press("h")
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (1, 2), "the other version")


async def test_a_path_that_two_ask_for_at_once_is_drawn_once(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        for question in ("One", "Two"):
            await ask(pilot, question)
        talk, app.chat.talk = app.chat.talk, Talk()
        await app.chat.show()
        app.chat.talk = talk
        app.call_later(app.chat.show)  # as a model does that has just been loaded
        app.chat.call_later(app.chat.show)  # as a question does
        await wait_until(pilot, lambda: len(app.chat.query(TurnView)) >= 4, "the messages")
        await pilot.pause(0.3)
        assert [view.turn for view in app.chat.query(TurnView)] == talk.path


async def test_a_list_of_files_that_is_left_before_they_are_found_is_no_harm(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.txt").write_text("One", "utf-8")
    (tmp_path / "two.txt").write_text("Two", "utf-8")
    monkeypatch.chdir(tmp_path)
    left, looked, ended = threading.Event(), [], threading.Event()
    files_below = files.files_below

    def slowly(folder: Path) -> Iterator[tuple[str, int]]:
        """As a disk far away has them."""
        try:
            for found in files_below(folder):
                looked.append(found)
                left.wait(60)
                yield found
        finally:
            ended.set()

    monkeypatch.setattr(files, "files_below", slowly)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        app.choose_file(lambda path: None)
        await wait_until(pilot, lambda: looked, "the first file")
        assert isinstance(app.screen, FilesScreen)
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        left.set()
        await wait_until(pilot, ended.is_set, "the search's end")
        await pilot.pause(0.3)
        assert app.is_running
        assert len(looked) == 1
        await say(pilot, "One")
        await settled(pilot)
