"""What the app keeps of a person's work where something comes in between: files, figures, answers that go on."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import TYPE_CHECKING

from app_pilot import ask, leave_the_prompt, make_app, pauses, running, say, screen_text, settled, wait_until

from engine.schema import Chunk, Document
from tui import palette
from tui.messages import AnswerBegan, AnswerEnded, AnswerGrew
from tui.screens.asking import AskingScreen
from tui.screens.confirming import ConfirmingScreen

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tui.app import LlmApp
    from tui.runner import Runner


async def test_an_answer_that_was_gone_on_with_counts_all_of_it(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, max_tokens=4)
    async with running(app) as pilot:
        await ask(pilot, "Tell me everything")
        answer = app.chat.talk.tip
        prompt, first = answer.prompt_tokens, answer.first_token
        assert answer.output_tokens == 4
        await say(pilot, "/continue")
        await wait_until(pilot, lambda: answer.output_tokens == 8, "the figures of both parts")
        await settled(pilot)
        assert (answer.prompt_tokens, answer.first_token) == (prompt, first)
        assert answer.rate < 10_000
        await wait_until(pilot, lambda: app.meter._used == prompt + 8, "the meter")
        assert "8 tok ·" in screen_text(app)


class Silence:
    """An answer's job to which the model has nothing to say."""

    brief = True

    def __init__(self, app: LlmApp) -> None:
        self.key = app.runner.new_key()
        self.stopped = threading.Event()

    def run(self, room: Runner) -> None:
        room.post(AnswerBegan(self.key, 0))
        room.post(AnswerGrew(self.key, Chunk("", finish_reason="stop"), 0.1))
        room.post(AnswerEnded(self.key, stopped=False))


async def test_a_model_that_has_nothing_to_add_says_so(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        answer = app.chat.talk.tip
        before = answer.text
        await app.chat.write(Silence(app), answer, "One")
        await settled(pilot)
        assert app.strings("said.nothing_more") in [note.message for note in app._notifications]
        assert app.chat.talk.tip.text == before


async def test_a_file_is_not_written_over_without_asking(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.md").write_text("mine", "utf-8")
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await say(pilot, "/export mine.md")
        await wait_until(pilot, lambda: isinstance(app.screen, ConfirmingScreen), "the question")
        await wait_until(pilot, lambda: "y yes" in screen_text(app), "its keys")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        assert (tmp_path / "mine.md").read_text("utf-8") == "mine"
        await say(pilot, "/export mine.md")
        await wait_until(pilot, lambda: isinstance(app.screen, ConfirmingScreen), "the question")
        await pilot.press("y")
        await wait_until(pilot, lambda: "# " in (tmp_path / "mine.md").read_text("utf-8"), "the conversation")


async def test_the_palette_offers_a_file_named_after_the_conversation(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        app.chat.talk.title = "狐狸: a tale / of two"
        await palette.deeds_of(app)["export"]()
        await wait_until(pilot, lambda: isinstance(app.screen, AskingScreen), "the name")
        await pilot.press("enter")
        path = tmp_path / "狐狸 a tale of two.md"
        await wait_until(pilot, path.exists, "the file")
        assert app.chat.talk.tip.text.strip() in path.read_text("utf-8")
        await say(pilot, "/export all.json")
        await wait_until(pilot, (tmp_path / "all.json").exists, "the other file")
        messages = json.loads((tmp_path / "all.json").read_text("utf-8"))["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"]


async def test_a_finished_conversation_is_left_while_its_message_has_the_focus(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await leave_the_prompt(pilot)
        await pilot.press("ctrl+n", *"Two")
        await wait_until(pilot, lambda: app.chat.prompt.text == "Two", "the text")


async def test_what_is_undone_comes_back_whole_and_before_what_is_being_written(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("The ferry leaves at nine.", "utf-8")
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        app.chat.attach("notes.txt")
        await ask(pilot, "When?")
        app.chat.prompt.insert("a draft")
        await palette.deeds_of(app)["undo"]()
        assert app.chat.prompt.text == "When?\na draft"
        assert [document.name for document in app.chat.pending] == ["notes.txt"]
        app.chat.prompt.write("")
        app.chat.give([])
        for line, again in (
            ("/summarize short notes.txt", f"/summarize short {tmp_path / 'notes.txt'}"),
            ("/sentiment What a day", "/sentiment What a day"),
        ):
            await ask(pilot, line)
            await say(pilot, "/undo")
            await wait_until(pilot, lambda: not app.chat.talk.path, "the path before it")
            assert app.chat.prompt.text == again
            app.chat.prompt.write("")
        app.tasks.start("ask", "notes.txt", "When?")
        await wait_until(pilot, lambda: app.chat.talk.path, "the question")
        await settled(pilot)
        await say(pilot, "/undo")
        await wait_until(pilot, lambda: not app.chat.talk.path, "the path before it")
        assert app.chat.prompt.text == f"@{tmp_path / 'notes.txt'} When?"


async def test_an_attached_file_is_counted_once_and_not_at_each_key(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        text = "The ferry leaves at nine. " * 2000
        app.chat.give([Document("ferry.txt", text), Document("again.txt", text[:-1])])
        counted: list[int] = []
        count = app.models.count
        app.models.count = lambda text: (counted.append(len(text)), count(text))[1]  # type: ignore[method-assign]
        await pilot.press(*"When?")
        await wait_until(pilot, lambda: app.chat.prompt.text == "When?", "the draft")
        await wait_until(pilot, lambda: 5 in counted, "its count")
        await wait_until(pilot, lambda: app.meter.of_given() == count(text) + count(text[:-1]), "the files' count")
        assert [length for length in counted if length > 5] == [len(text), len(text) - 1]
        assert app.meter.of_given() == count(text) + count(text[:-1])
        app.chat.give([])
        assert app.meter.of_given() == 0
        assert not app.meter._given


async def test_figures_after_each_answer_are_turned_on_and_off(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)

    def figures() -> int:
        return sum("cached" in note.message for note in app._notifications)

    async with running(app) as pilot:
        await ask(pilot, "One")
        await say(pilot, "/stats off")
        await wait_until(pilot, lambda: app._notifications, "that it was done")
        assert [note.message for note in app._notifications] == ["stats = False"]
        await say(pilot, "/stats maybe")
        await wait_until(pilot, lambda: len(app._notifications) == 2, "the error")
        assert figures() == 0
        app.chat.prompt.write("")
        await say(pilot, "/stats on")
        await wait_until(pilot, lambda: figures() == 1, "those of the last answer")
        await ask(pilot, "Two")
        await wait_until(pilot, lambda: figures() == 2, "those of the new one")


async def test_an_answer_without_figures_has_none_that_are_naught(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "/sentiment I loved it")
        assert not app.chat.talk.tip.output_tokens
        await say(pilot, "/stats")
        await wait_until(pilot, lambda: app._notifications, "a word on it")
        assert [note.message for note in app._notifications] == ["there are no figures of the last answer"]


async def test_a_system_prompt_that_is_taken_away_says_so(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, system="be brief")
    async with running(app) as pilot:
        await say(pilot, "/system -")
        await wait_until(pilot, lambda: app._notifications, "a word on it")
        assert [note.message for note in app._notifications] == ["system prompt: none"]
        assert app.chat.talk.system is None


async def test_settings_that_no_model_can_be_loaded_with_are_gone_back_from(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, ctx=64)
    async with running(app) as pilot:
        await say(pilot, "/set ctx 9")
        wanted = app.strings("said.went_back", name="tiny")
        await wait_until(pilot, lambda: wanted in [note.message for note in app._notifications], "that it is back")
        await wait_until(pilot, lambda: any("16 to" in note.message for note in app._notifications), "the error")
        assert (app.models.name, app.models.context, app.settings["ctx"]) == ("tiny", 64, 64)
        assert app.settings["device"] == "cpu"
        await ask(pilot, "One")
        assert app.chat.talk.tip.text


async def test_a_model_that_is_loaded_anew_keeps_the_adapter_it_was_opened_with(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    app = make_app(tiny_model_home, adapter=tmp_path / "none")

    def failures() -> int:
        return sum(str(tmp_path / "none") in note.message for note in app._notifications)

    async with running(app, loaded=False) as pilot:
        await wait_until(pilot, lambda: failures() == 1, "that there is no such adapter")
        await say(pilot, "/set ctx 64")
        await wait_until(pilot, lambda: failures() == 2 or app.models.name, "the same once more")
        assert not app.models.name


async def test_a_huge_file_is_counted_while_the_app_goes_on(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(1)
    text = " ".join("".join(draw.choices("etaoinshrdlu", k=7)) for _ in range(400_000))
    (tmp_path / "huge.txt").write_text(text, "utf-8")
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        async with pauses() as found:
            await say(pilot, "/file huge.txt")
            await wait_until(pilot, lambda: app._notifications, "its tokens")
        before = time.monotonic()
        assert app.meter.of_given() == app.models.count(text)
        assert max(found) < (time.monotonic() - before) / 2
        await pilot.press(*"Who?", "enter")
        await wait_until(pilot, lambda: len(app._notifications) == 2, "that it is too long")
        assert app.chat.prompt.text == "Who?"
