"""Palette, help, panel, models, themes, tasks and sizes of the full-screen app, with the tiny model."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import PATIENCE, Hold, ask, make_app, running, say, screen_text, settled, wait_until
from textual.widgets import Input

from tui import commands, palette
from tui.keeper import Keeper
from tui.messages import AnswerEnded
from tui.runner import Runner
from tui.screens.deeds import TURN_DEEDS, WORD_DEEDS
from tui.screens.files import FilesScreen
from tui.screens.help import HelpScreen
from tui.strings import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Language
    from tui.store import Store


def test_every_word_with_a_slash_does_something() -> None:
    assert set(WORD_DEEDS) == {command.name for command in commands.COMMANDS}


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
async def test_the_first_screen_fits(
    tiny_model_home: Path, size: tuple[int, int], language: Language, theme: str
) -> None:
    app = make_app(tiny_model_home, language, theme=theme)
    async with running(app, size) as pilot:
        await wait_until(pilot, lambda: TABLES[language]["title.new"] in screen_text(app), "the title")
        await wait_until(pilot, lambda: "tiny · cpu/" in screen_text(app), "the model")
        await wait_until(pilot, lambda: "2.0k" in screen_text(app), "the meter")
        shown = screen_text(app).splitlines()
        assert len(shown) == size[1]
        assert TABLES[language]["key.send"] in shown[-1]
        assert app.theme == theme


async def test_help_is_made_from_the_bindings_and_the_table(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (120, 120)) as pilot:
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpScreen), "the help")
        app.screen.query_one(".dialog").styles.max_height = 118
        app.screen.query_one(".dialog").styles.height = 118
        await wait_until(pilot, lambda: "/multi" in screen_text(app), "the last word")
        shown = screen_text(app)
        for command in commands.COMMANDS:
            assert f"/{command.name}" in shown
        for what in TURN_DEEDS:
            assert TABLES["en"][f"key.{what}"] in shown
        assert "Ctrl+R" in shown
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_palette_names_every_feature_in_the_users_language(tiny_model_home: Path, language: Language) -> None:
    app = make_app(tiny_model_home, language)
    async with running(app) as pilot:
        titles = [app.strings(f"palette.{name}") for name in palette.deeds_of(app)]
        assert len(set(titles)) == len(titles)
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: app.screen is not app.chat, "the palette")
        await wait_until(pilot, lambda: titles[3] in screen_text(app), "its rows")
        shown = screen_text(app)
        assert TABLES[language]["title.palette"] in shown
        places = [shown.index(title) for title in titles[:4]]
        assert places == sorted(places)  # the most used first
        assert "Ctrl+N" in shown
        await pilot.press(*TABLES[language]["palette.theme"], "enter")
        await wait_until(pilot, lambda: TABLES[language]["title.themes"] in screen_text(app), "the themes")
        await pilot.press(*"nord", "enter")
        await wait_until(pilot, lambda: app.theme == "nord", "the theme")


async def test_the_panel_changes_how_answers_are_drawn(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (120, 40)) as pilot:
        await pilot.press("f2")
        await wait_until(pilot, lambda: "repeat penalty" in screen_text(app), "the panel")
        field = app.chat.query_one("#field-max_tokens")
        field.focus()
        field.value = "3"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.values.sampling().max_tokens == 3, "the value")
        field = app.chat.query_one("#field-top_p")
        field.focus()
        field.value = "seven"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_until(pilot, lambda: app._notifications, "an error")
        assert app.values.sampling().top_p == 0.9
        await ask(pilot, "Hello")
        assert app.chat.talk.tip.output_tokens == 3


@pytest.mark.parametrize("kind", ["summarize", "ask", "translate", "judge"])
async def test_a_task_answers_in_the_chat(tiny_model_home: Path, tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("I loved it.\nIt was bad.\n", "utf-8")
    app = make_app(tiny_model_home)
    async with running(app, (100, 30)) as pilot:
        app.tasks.start(kind, str(path), "Who?" if kind == "ask" else "short")
        question, answer = app.chat.talk.path
        await wait_until(pilot, lambda: answer.finish, "the result")
        await settled(pilot)
        assert question.task == (kind, str(path), "Who?" if kind == "ask" else "short")
        assert "notes.txt" in question.text
        if kind == "summarize":
            assert (answer.text, "given whole" in answer.note) == ("I loved it.\nIt was bad.", True)
        if kind == "translate":
            assert "lines 2/2" in answer.note
        if kind == "judge":
            assert answer.text.count("\n") == 2
            assert "I loved it." in answer.text


async def test_a_task_takes_a_file_from_anywhere(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "notes.txt").write_text("I loved it.\n", "utf-8")
    (tmp_path / "far" / "other.txt").write_text("Not this.\n", "utf-8")
    (tmp_path / "far" / "now.txt").symlink_to(tmp_path / "nowhere")
    app = make_app(tiny_model_home)
    async with running(app, (100, 30)) as pilot:
        app.chat.call_later(app.tasks.choose, "judge")
        await wait_until(pilot, lambda: isinstance(app.screen, FilesScreen), "the files")
        line = app.screen.query_one(Input)
        for typed, shown in ((f"{tmp_path}/f", [""]), (f"{tmp_path}/far/no", [str(tmp_path / "far/notes.txt")])):
            line.value = typed
            await wait_until(pilot, lambda want=shown: [c.value for c in app.screen.shown] == want, typed)
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.talk.path, "the task")
        await settled(pilot)
        assert app.chat.talk.path[0].task == ("judge", str(tmp_path / "far/notes.txt"), "")
        assert app.chat.talk.tip.text


async def test_what_waits_for_the_model_says_so_and_has_its_turn(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, max_tokens=4)
    async with running(app, (120, 30)) as pilot:
        busy = Hold(app)
        await say(pilot, "First")
        await wait_until(pilot, lambda: app.chat.answering, "the first")
        first = app.chat.talk
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: app.chat.talk is not first, "another conversation")
        await say(pilot, "Second")
        await wait_until(pilot, lambda: len(app.chat.writings) == 2, "both")
        await wait_until(pilot, lambda: "waits for First" in screen_text(app), "what it waits for")
        busy.stopped.set()
        await settled(pilot)
        assert first.tip.text
        assert app.chat.talk.tip.text


async def test_a_long_task_lets_a_question_go_first_and_ends_as_it_would_alone(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_text(
        "\n".join(f"Line {n} was {'good' if n % 2 else 'bad'} and long to read." for n in range(300)), "utf-8"
    )
    alone = make_app(tiny_model_home)
    async with running(alone, (120, 30)) as pilot:
        alone.tasks.start("judge", str(path))
        await wait_until(pilot, lambda: alone.chat.writings, "the task")
        await settled(pilot)
        wanted = alone.chat.talk.tip.text
    app = make_app(tiny_model_home, max_tokens=4)
    async with running(app, (120, 30)) as pilot:
        ended: list[int] = []
        post = app.runner.post
        app.runner.post = lambda message: (
            ended.append(message.key) if isinstance(message, AnswerEnded) else None,
            post(message),
        )
        busy = Hold(app)
        app.tasks.start("judge", str(path))
        task = app.chat.talk
        await wait_until(pilot, lambda: len(app.chat.writings) == 1, "the task")
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: app.chat.talk is not task, "another conversation")
        await say(pilot, "Who are you?")
        await wait_until(pilot, lambda: len(app.chat.writings) == 2, "both")
        first, second = app.chat.writings
        busy.stopped.set()
        await settled(pilot)
        assert ended == [second, first]
        assert app.chat.talk.tip.text
        assert task.tip.text == wanted


def test_nothing_overtakes_another_model() -> None:
    done: list[str] = []

    class Noted:
        def __init__(self, name: str, *, brief: bool) -> None:
            self.key, self.stopped, self.name, self.brief = Runner.new_key(), threading.Event(), name, brief

        def run(self, room: Runner) -> None:
            done.append(self.name)

    class Long(Noted):
        def run(self, room: Runner) -> None:
            self.stopped.wait(PATIENCE)
            room.give_way()
            done.append(self.name)

    runner = Runner(lambda _message: None)
    long = Long("long", brief=False)
    for job in (long, Noted("a", brief=True), Noted("load", brief=False), Noted("b", brief=True)):
        runner.submit(job)
    long.stopped.set()
    for _ in range(int(PATIENCE * 100)):
        if len(done) == 4:
            break
        time.sleep(0.01)
    runner.close()
    assert done == ["a", "long", "load", "b"]


async def test_errors_appear_in_the_app_with_what_to_do(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await say(pilot, "/model nonsense")
        await wait_until(pilot, lambda: app._notifications, "the error")
        (note,) = app._notifications
        assert "nonsense" in note.message
        assert "→" in note.message
        await ask(pilot, "Still there?")
        assert app.chat.talk.tip.text


async def test_theme_panel_and_values_are_as_they_were_left(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, temperature=None)
    async with running(app, (120, 40)) as pilot:
        app.values.change("theme", "nord")
        await pilot.press("f2")
        field = app.chat.query_one("#field-temperature")
        field.focus()
        field.value = "0.25"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.values.sampling().temperature == 0.25, "the value")
        app.values.change("seed", 7)
    again = make_app(tiny_model_home, temperature=None)
    async with running(again, (120, 40)) as pilot:
        await wait_until(pilot, lambda: "repeat penalty" in screen_text(again), "the panel")
        assert again.theme == "nord"
        assert again.values.sampling().temperature == 0.25
        assert again.settings["seed"] is None
        again.chat.query_one("#field-temperature").value = ""  # type: ignore[attr-defined]
        again.chat.query_one("#field-temperature").focus()
        await pilot.press("enter")
        await wait_until(pilot, lambda: again.values.sampling().temperature == 0.7, "the default")
        await pilot.press("f2")  # from within: hidden
    third = make_app(tiny_model_home, temperature=0.5, theme="dracula")
    async with running(third, (120, 40)) as pilot:
        assert third.theme == "dracula"  # what the settings say stands above what is remembered
        assert "repeat penalty" not in screen_text(third)
        assert third.values.sampling().temperature == 0.5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "values": {"theme": 3, "top_p": "x"}, "panel": "?"}'])
async def test_a_damaged_memory_of_looks_is_no_harm(tiny_model_home: Path, text: str) -> None:
    from tui.paths import places

    path = places().app_file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    app = make_app(tiny_model_home, theme="no-such-theme")
    async with running(app) as pilot:
        await wait_until(pilot, lambda: app._notifications, "a word on the theme")
        assert app.theme == "textual-dark"
        assert app.values.sampling().top_p == 0.9


async def test_a_task_that_is_stopped_before_its_first_word_leaves_no_question_without_an_answer(
    tiny_model_home: Path, tmp_path: Path, store: Store
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("I loved it.\nIt was bad.\n", "utf-8")
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        busy = Hold(app)
        app.tasks.start("summarize", str(path), "short")
        await wait_until(pilot, lambda: app.chat.writings, "the task")
        task = app.chat.talk
        await wait_until(pilot, lambda: task.kept, "the task in the history")
        await pilot.press("ctrl+n", *"Hello", "enter")
        await wait_until(pilot, lambda: "waits for its turn" in screen_text(app), "the question behind it")
        await app.memory.open(task.kept or 0)
        await wait_until(pilot, lambda: "reading …" in screen_text(app), "what the task is at")
        await pilot.press("escape")
        busy.stopped.set()
        await settled(pilot)
        assert app._notifications
        assert app.chat.talk.path == []
        assert [store.shown(kept.id)[0].text for kept in store.recent()] == ["Hello"]
        await ask(pilot, "What now?")
        assert app.chat.talk.tip.text


async def test_what_a_task_says_of_itself_is_in_the_users_language(tiny_model_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("I loved it.\nIt was bad.\n", "utf-8")
    app = make_app(tiny_model_home, "zh")
    async with running(app, (100, 30)) as pilot:
        app.tasks.start("summarize", str(path), "short")
        await wait_until(pilot, lambda: app.chat.talk.tip.note, "the result")
        await settled(pilot)
        assert app.chat.talk.path[0].text == "概括 notes.txt（短）"
        assert app.chat.talk.tip.note == "原文不比所要的摘要长，全文给出"
        app.tasks.start("judge", str(path))
        await wait_until(pilot, lambda: app.chat.talk.tip.finish and len(app.chat.talk.path) == 4, "the other result")
        await settled(pilot)
        assert all(line.startswith(("- **正面**", "- **负面**")) for line in app.chat.talk.tip.text.splitlines())
        await say(pilot, "/stats")
        await wait_until(pilot, lambda: app._notifications, "that it has no figures")
        app.chat.prompt.write("")
        await ask(pilot, "你好")
        await say(pilot, "/stats")
        await wait_until(pilot, lambda: len(app._notifications) == 2, "the figures")
        none, figures = app._notifications
        assert "没有" in none.message
        assert "词元" in figures.message
