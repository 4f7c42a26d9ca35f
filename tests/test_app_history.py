"""What the full-screen app keeps, and how it is found, named, pinned, deleted and taken up again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from app_pilot import Hold, ask, at_once, make_app, running, say, screen_text, settled, wait_until

from tui.cli.replaying import replayed
from tui.keeper import Keeper
from tui.parts.memory import UNCHANGED, Memory
from tui.screens.history import HistoryScreen
from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def titles(screen: HistoryScreen) -> list[str]:
    return [title for _, title, _ in screen.list.shown]


def notes(screen: HistoryScreen) -> list[str]:
    return [note for _, _, note in screen.list.shown]


async def test_every_turn_is_kept_and_a_later_run_goes_on(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await ask(pilot, "First question")
            first = app.chat.talk.tip
            await pilot.press("escape", "r")
            await wait_until(pilot, lambda: app.chat.talk.tip is not first, "another answer")
            await settled(pilot)
            texts = [turn.text for turn in app.chat.talk.path[0].children]
            await wait_until(pilot, lambda: app.runner.waiting() == 0, "the title")
        kept = store.latest()
        assert kept is not None
        assert kept.messages == 3
        assert kept.model == "tiny"
    with Store(tmp_path / "app.db") as store:
        keeper = Keeper(store)
        talk = keeper.open(kept.id)
        assert [turn.text for turn in talk.path[0].children] == texts
        assert talk.tip.place == (2, 2)
        assert talk.tip.finish == "length"
        assert talk.tip.logprobs
        app = make_app(tiny_model_home, keeper=keeper, talk=talk)
        async with running(app) as pilot:
            assert "First question" in screen_text(app)
            await ask(pilot, "Second question")
        assert [entry.text for entry in store.shown(kept.id)][0::2] == ["First question", "Second question"]


async def test_an_answer_of_the_app_can_be_drawn_again(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store), temperature=1.0)
        async with running(app) as pilot:
            await ask(pilot, "Say anything")
            await wait_until(pilot, lambda: app.runner.waiting() == 0, "the title")
            session = app.runner.session
            assert session is not None
            kept = store.latest()
            assert kept is not None
            path = store.shown(kept.id)
            made = (session.identity, str(session.device), session.kernel)
            assert tuple(path[1].facts[name] for name in ("identity", "device", "kernel")) == made
            (result,) = replayed(session, kept, path)
            assert result["identical"], result["says"]


@pytest.mark.usefixtures("unhurried")
async def test_a_growing_answer_is_on_the_disk_before_it_ends(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store, Store(tmp_path / "app.db") as other:
        app = make_app(tiny_model_home, keeper=Keeper(store), max_tokens=1900)
        async with running(app) as pilot:
            await say(pilot, "Tell me everything")

            def half_kept() -> bool:
                kept = other.latest()
                shown = other.shown(kept.id) if kept else []
                return len(shown) == 2 and bool(shown[1].text) and shown[1].finish is None

            await wait_until(pilot, half_kept, "a part of the answer in the file")
            assert app.chat.answering is not None
            await pilot.press("escape")
            await settled(pilot)
            kept = other.latest()
            assert kept is not None
            assert other.shown(kept.id)[1].finish == "stopped"
            assert other.shown(kept.id)[1].text == app.chat.talk.tip.text


async def test_conversations_are_found_pinned_named_deleted_and_opened(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        for number, question in enumerate(("How do bees fly?", "苹果是什么颜色？", "A boat on the sea")):
            id_ = store.create(question, at=1000.0 + number)
            store.add(id_, None, "user", question, at=1000.0 + number)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app, (100, 30)) as pilot:
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list")
            history = app.screen
            assert isinstance(history, HistoryScreen)
            await wait_until(pilot, lambda: len(history.list.shown) == 3, "the conversations")
            assert history.list.shown[0][1] == "A boat on the sea"
            history.query_one("#filter").value = "苹果"  # type: ignore[attr-defined]
            await wait_until(pilot, lambda: titles(history) == ["苹果是什么颜色？"], "one")
            await pilot.press("ctrl+t")
            await wait_until(pilot, lambda: store.recent()[0].pinned, "the pin")
            await pilot.press("ctrl+e", "end", "!", "enter")
            await wait_until(pilot, lambda: store.recent()[0].title == "苹果是什么颜色？!", "the name")
            history.query_one("#filter").value = "bees"  # type: ignore[attr-defined]
            await wait_until(pilot, lambda: titles(history) == ["How do bees fly?"], "another")
            await pilot.press("ctrl+s")
            await wait_until(pilot, lambda: len(history.list.shown) == 4, "how it looked, and the hits by meaning")
            history.query_one("#filter").value = "bee"  # type: ignore[attr-defined]
            await wait_until(pilot, lambda: len(history.list.shown) == 1, "one")
            await pilot.press("ctrl+d", "y")
            await wait_until(pilot, lambda: len(store.recent()) == 2, "the deletion")
            history.query_one("#filter").value = "boat"  # type: ignore[attr-defined]
            await wait_until(pilot, lambda: notes(history) == ["A boat on the sea"], "a hit")
            await pilot.press("enter")
            await wait_until(pilot, lambda: app.chat.talk.title == "A boat on the sea", "the conversation")
            assert app.chat.talk.path[0].text == "A boat on the sea"


async def test_the_sidebar_lists_opens_and_follows_what_is_done(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        for number, question in enumerate(("How do bees fly?", "A boat on the sea")):
            id_ = store.create(question, at=1000.0 + number)
            store.add(id_, None, "user", question, at=1000.0 + number)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app, (160, 50)) as pilot:
            sidebar = app.chat.sidebar
            assert sidebar is not None
            await wait_until(pilot, lambda: len(sidebar.shown) == 2, "the conversations")
            assert "How do bees fly?" in screen_text(app)
            assert app.chat.prompt.has_focus
            await ask(pilot, "A third one")
            await wait_until(pilot, lambda: len(sidebar.shown) == 3, "the new one")
            await wait_until(pilot, lambda: app.runner.waiting() == 0, "the title")
            third = app.chat.talk.kept
            assert sidebar.current == third
            await wait_until(pilot, lambda: sidebar.shown[0][0] == third, "its place")
            await wait_until(pilot, lambda: sidebar.shown[0][1] == app.chat.talk.title, "its title")
            await pilot.press("ctrl+b", *"bees")
            await wait_until(pilot, lambda: len(sidebar.shown) == 1, "the one with bees")
            await pilot.press("enter")
            await wait_until(pilot, lambda: app.chat.talk.title == "How do bees fly?", "the conversation")
            assert app.chat.prompt.has_focus
            await pilot.press("ctrl+b", "ctrl+e", "end", "!", "enter")
            await wait_until(pilot, lambda: app.chat.talk.title == "How do bees fly?!", "the new title")
            await wait_until(pilot, lambda: "How do bees fly?!" in screen_text(app).splitlines()[0], "it on top")
            await pilot.press("ctrl+d", "y")
            await wait_until(pilot, lambda: app.chat.talk.kept is None, "an empty chat in its place")
            await wait_until(pilot, lambda: len(store.recent()) == 2, "the deletion")
            await wait_until(pilot, lambda: len(sidebar.shown) == 2, "the row's end")
            await pilot.pause(0.3)
            await pilot.click("#body #rows", offset=(2, 1))
            await wait_until(pilot, lambda: app.chat.talk.title == "A boat on the sea", "one by mouse")
            await pilot.press("ctrl+b", "ctrl+b")
            await wait_until(pilot, lambda: not sidebar.display, "no sidebar")
            assert app.chat.prompt.has_focus
            await pilot.resize_terminal(80, 24)
            await pilot.press("ctrl+b")
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list over the chat")
            await pilot.press("escape")
        again = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(again, (160, 50)) as pilot:
            assert again.chat.sidebar is not None
            assert not again.chat.sidebar.display  # as it was left


async def test_what_a_killed_app_was_writing_is_taken_up_unless_it_still_grows(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        number = store.create("cut")
        question = store.add(number, None, "user", "Tell me everything")
        answer = store.add(number, question, "assistant", "Once upon")
        app = make_app(tiny_model_home, keeper=Keeper(store))

        async def write() -> None:
            """As another app that is at it."""
            while True:
                store.update(answer, "Once upon a time")
                await asyncio.sleep(0.2)

        writing = asyncio.create_task(write())
        async with running(app) as pilot:
            await pilot.pause(UNCHANGED + 0.5)
            assert app.chat.talk.path == []
        writing.cancel()
        assert store.shown(number)[1].finish is None
        again = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(again) as pilot:
            await wait_until(pilot, lambda: len(again.chat.talk.path) == 2, "the conversation")
            assert again.chat.talk.tip.text == "Once upon a time"
            assert store.shown(number)[1].finish == "stopped"
            await wait_until(pilot, lambda: again._notifications, "a word on it")


async def test_a_question_whose_app_was_killed_before_the_first_word_is_there_again(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        store.add(store.create("old", at=1000.0), None, "user", "Long ago", at=1000.0)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await pilot.pause(UNCHANGED + 0.5)
            assert app.chat.talk.path == []
        store.add(store.create("cut"), None, "user", "Tell me everything")
        again = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(again) as pilot:
            await wait_until(pilot, lambda: len(again.chat.talk.path) == 1, "the question")
            await pilot.press("escape", "r")
            await wait_until(pilot, lambda: len(again.chat.talk.path) == 2, "its answer")
            await settled(pilot)
            assert again.chat.talk.tip.text


async def test_an_answer_that_is_long_in_coming_is_not_taken_for_one_that_was_cut(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store, Store(tmp_path / "app.db") as other:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            busy = Hold(app)
            await say(pilot, "One")
            await wait_until(pilot, lambda: app.chat.answering, "the question")
            looked = Memory(app, Keeper(other))  # of an app that is opened now
            before = looked._cut()
            assert before is not None
            await wait_until(pilot, lambda: looked._cut() not in (None, before), "a sign that it is being answered")
            busy.stopped.set()
            await settled(pilot)
            assert looked._cut() is None


async def test_a_conversation_is_found_by_its_name_too(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        for title, question in (
            ("Budget 100%", "How much is it?"),
            ("旅行计划", "去哪里？"),
            ("Other", "Is 100% much?"),
        ):
            store.add(store.create(title), None, "user", question)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app, (100, 30)) as pilot:
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list")
            history = app.screen
            assert isinstance(history, HistoryScreen)
            for wanted, found in (
                ("BUDG", ["Budget 100%"]),
                ("行计", ["旅行计划"]),
                ("100%", ["Other", "Budget 100%"]),
            ):
                history.query_one("#filter").value = wanted  # type: ignore[attr-defined]
                await wait_until(pilot, lambda found=found: titles(history) == found, "what is called so")


async def test_a_title_given_by_word_is_kept(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await ask(pilot, "One")
            await wait_until(pilot, lambda: not app.runner.waiting(), "the model's title")
            await say(pilot, "/save My own")
            await wait_until(pilot, lambda: store.recent()[0].title == "My own", "the title")
            await say(pilot, "/new")
            await wait_until(pilot, lambda: not app.chat.talk.path, "another conversation")
            await say(pilot, "/save Named before it began")
            await ask(pilot, "Two")
            await wait_until(pilot, lambda: not app.runner.waiting(), "all jobs")
            assert [(kept.title, kept.named) for kept in store.recent()] == [
                ("Named before it began", True),
                ("My own", True),
            ]


async def test_a_conversation_is_taken_up_by_its_number_or_from_the_file_it_was_saved_in(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "chat.json"
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await ask(pilot, "One")
            first = app.chat.talk
            said = [turn.text for turn in first.path]
            await say(pilot, f"/save {file}")
            await wait_until(pilot, file.exists, "the file")
            for line in (f"/load {first.kept}", f"/load {file}"):
                await say(pilot, "/new")
                await wait_until(pilot, lambda: not app.chat.talk.path, "another conversation")
                await say(pilot, line)
                await wait_until(pilot, lambda: app.chat.talk.path, line)
                assert [turn.text for turn in app.chat.talk.path] == said
            await ask(pilot, "Two")
            assert len(store.recent()) == 2  # the file began another
            await say(pilot, "/load 99")
            await wait_until(pilot, lambda: "no conversation 99" in str(list(app._notifications)), "the error")


async def test_where_nothing_is_kept_saving_says_so(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        for line in ("/save", "/save My own"):
            app.clear_notifications()
            await say(pilot, line)
            await wait_until(pilot, lambda: app._notifications, "the error")
            assert [note.severity for note in app._notifications] == ["error"]
            app.chat.prompt.write("")


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("deleted", ["One", "Two"])
async def test_a_conversation_that_is_deleted_while_it_is_answered_keeps_no_other_waiting(
    tiny_model_home: Path, tmp_path: Path, deleted: str
) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store), max_tokens=2000)
        async with running(app) as pilot:
            await say(pilot, "One")
            await wait_until(pilot, lambda: app.chat.talk.tip.text, "the first word")
            await app.chat.action_new()
            await say(pilot, "Two")
            await wait_until(pilot, lambda: len(app.chat.writings) == 2, "the other question")
            at_once(app, "ctrl+r")  # the pilot would wait for a process at rest: two seconds a key
            await wait_until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the list")
            history = app.screen
            assert isinstance(history, HistoryScreen)
            at_once(app, *deleted)
            await wait_until(pilot, lambda: titles(history) == [deleted], "the one")
            at_once(app, "ctrl+d", "y", "escape")
            await wait_until(pilot, lambda: not app._waiting, "the keys")
            await wait_until(pilot, lambda: len(app.chat.writings) == 1, "its end")
            [left] = app.chat.writings.values()
            assert left.talk.title == ({"One", "Two"} - {deleted}).pop()
            await wait_until(pilot, lambda: left.turn.text, "the other answer")
            await pilot.pause(1.5)
            assert [one.title for one in store.recent()] == [left.talk.title]
            assert app.chat.talk.path == ([] if deleted == "Two" else left.talk.path)
            assert not app._notifications


async def test_a_hit_takes_one_line_also_where_there_is_little_room(tiny_model_home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        for number in range(3):
            id_ = store.create("甲" + "很长的标题" * 8, at=1000.0)
            store.add(id_, None, "user", f"{number} " + "旧的问题" * 12, at=1000.0)
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app, (60, 20)) as pilot:
            await pilot.press("ctrl+r", *"旧的")
            await wait_until(pilot, lambda: screen_text(app).count("甲") == 3, "the hits")
            rows = [at for at, line in enumerate(screen_text(app).splitlines()) if "甲" in line]
            assert rows == list(range(rows[0], rows[0] + 3))
