"""Another process writes into the history for a long time: the app goes on at its pace, and nothing said is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import Hold, ask, make_app, pauses, running, say, settled, wait_until
from textual.widgets import Input

from engine.database import StoreBusy
from tui import palette, transfer
from tui.keeper import EVERY, Keeper
from tui.messages import TitleWritten
from tui.parts import keeping, memory
from tui.screens.asking import AskingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.screens.history_list import HistoryList
from tui.store import PATIENCE, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tui.app import LlmApp

WRITES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def written_elsewhere(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process has begun to write; it ends when its input does."""
    command = [sys.executable, "-c", WRITES, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        yield process


def kept(store: Store) -> list[str]:
    """What the newest conversation says in the file."""
    latest = store.latest()
    return [entry.text for entry in store.shown(latest.id)] if latest else []


def said(app: LlmApp) -> list[str]:
    return [turn.text for turn in app.chat.talk.path]


async def test_a_history_that_is_in_use_stops_no_key_and_is_written_once_it_is_free(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            with written_elsewhere(store.path):
                async with pauses() as found:
                    await ask(pilot, "One")
                    await ask(pilot, "Two")
                    await wait_until(pilot, lambda: app._notifications, "why nothing is kept")
                assert max(found) < PATIENCE / 4
                assert len(app._notifications) == 1
                assert "in use by another process" in next(iter(app._notifications)).message
                assert kept(store) == []
            await wait_until(pilot, lambda: kept(store) == said(app), "what was said")


async def test_a_question_that_is_taken_back_leaves_the_history_once_that_is_free(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            hold = Hold(app)
            await say(pilot, "One")
            await wait_until(pilot, lambda: kept(store) == ["One"], "the question in the history")
            with written_elsewhere(store.path):
                await pilot.press("escape")
                hold.stopped.set()
                await wait_until(pilot, lambda: app.chat.prompt.text == "One", "the question in the prompt")
                await pilot.press("ctrl+c")
                await ask(pilot, "Two")
                assert kept(store) == ["One"]
            await wait_until(pilot, lambda: kept(store) == said(app), "what was said")
            assert [conversation.title for conversation in store.recent()] == ["Two"]
            assert {note.severity for note in app._notifications} <= {"information"}


async def test_an_app_that_waits_for_an_answer_does_not_wait_for_the_history(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "HURRY", 600)  # who waited would stand still
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            hold = Hold(app)
            await say(pilot, "One")
            await wait_until(pilot, lambda: kept(store) == ["One"], "the question in the history")
            with written_elsewhere(store.path):
                app.chat.talk.system = "Briefly."
                async with pauses() as found:
                    app.memory._keep_later(app.chat.talk, StoreBusy("in use"))
                    begun = app.memory._told
                    await wait_until(pilot, lambda: app._notifications, "why nothing is kept")
                    await wait_until(pilot, lambda: app.memory._told > begun + EVERY, "what is being written, noted")
                assert max(found) < PATIENCE / 4
            await wait_until(pilot, lambda: store.recent()[0].system == "Briefly.", "what was said")
            hold.stopped.set()


async def test_a_title_of_the_model_waits_as_long_as_all_that_is_done_to_a_conversation(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        number = store.create("Old")
        store.add(number, None, "user", "Old one")
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await app.memory.open(number)
            with written_elsewhere(store.path):
                app.memory._titling, app.memory._title_job = app.chat.talk, -1
                app.post_message(TitleWritten(-1, "A title"))
                await wait_until(pilot, lambda: app.keeping._waiting, "what waits")
            await wait_until(pilot, lambda: store.recent()[0].title == "A title", "the title")
            await wait_until(pilot, lambda: app.chat.talk.title == "A title", "the title where it is shown")


@pytest.mark.parametrize("where", ["palette", "list"])
@pytest.mark.parametrize("what", ["title", "pin", "delete"])
async def test_what_is_done_to_a_conversation_waits_for_the_history_and_keeps_its_order(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, where: str
) -> None:
    monkeypatch.setattr(keeping, "PATIENCE", 600)  # however slow the machine is
    with Store(tmp_path / "app.db") as store:
        number = store.create("Old")
        store.add(number, None, "user", "Old one")
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            await app.memory.open(number)
            with written_elsewhere(store.path):
                async with pauses() as found:
                    app.keeping.change(number, lambda: store.rename(number, "First"))
                    if where == "palette":
                        palette.deeds_of(app)[what]()
                    else:
                        await pilot.press("ctrl+r")
                        await wait_until(pilot, lambda: app.screen.query(HistoryList), "the list")
                        history = app.screen.query_one(HistoryList)
                        await wait_until(pilot, lambda: history.shown, "its row")
                        await pilot.press({"title": "ctrl+e", "pin": "ctrl+t", "delete": "ctrl+d"}[what])
                    if what != "pin":
                        dialog = AskingScreen if what == "title" else ConfirmingScreen
                        await wait_until(pilot, lambda: isinstance(app.screen, dialog), "the dialog")
                        await pilot.press(*(("end", "!", "enter") if what == "title" else "y"))
                    await wait_until(pilot, lambda: len(app.keeping._waiting) == 2, "what waits")
                assert max(found) < PATIENCE / 4
                assert [(one.title, one.pinned) for one in store.recent()] == [("Old", False)]
            wished = {"title": [("Old!", False)], "pin": [("First", True)], "delete": []}[what]
            await wait_until(pilot, lambda: not app.keeping._waiting, "its turn")
            assert [(one.title, one.pinned) for one in store.recent()] == wished
            await pilot.pause()
            assert {note.severity for note in app._notifications} <= {"information"}


@pytest.mark.usefixtures("unhurried")
async def test_what_could_not_be_kept_so_far_is_kept_when_the_app_is_left(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store), max_tokens=2000)
        async with running(app) as pilot:
            with written_elsewhere(store.path) as process:
                await say(pilot, "One")
                await wait_until(pilot, lambda: len(app.chat.talk.tip.text) > 20, "some words")
                assert process.stdin is not None
                ending = threading.Timer(1.0, process.stdin.close)
                ending.start()
                app.exit()
                await wait_until(pilot, lambda: not app.is_running, "the end")
                ending.join()
        assert kept(store) == said(app)


async def test_what_was_to_be_deleted_is_when_the_app_is_left_before_its_turn(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        number = store.create("Old")
        store.add(number, None, "user", "Old one")
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app):
            with written_elsewhere(store.path):
                app.keeping.change(number, lambda: store.delete([number]), deleted=True)
                assert store.recent()
        assert not store.recent()


async def test_conversations_that_come_in_slowly_keep_none_from_being_read_or_said(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    come, put, begun = threading.Event(), transfer.put, threading.Event()

    def slowly(store: Store, incoming: transfer.Incoming) -> int:
        """As a large file does."""
        number = put(store, incoming)
        begun.set()
        come.wait(60)
        return number

    monkeypatch.setattr(transfer, "put", slowly)
    message: dict[str, Any] = {"id": 1, "parent": None, "role": "user", "text": "Imported", "chosen": None}
    file = tmp_path / "in.json"
    file.write_text(json.dumps({"format": 1, "title": "In", "messages": [message], "chosen": 1}), "utf-8")
    with Store(tmp_path / "app.db") as store:
        old = store.create("Old")
        store.add(old, store.add(old, None, "user", "Old one"), "assistant", "Old two", finish="stop")
        app = make_app(tiny_model_home, keeper=Keeper(store))
        async with running(app) as pilot:
            app.keeping.ask_import()
            await wait_until(pilot, lambda: app.screen.query("AskingScreen Input"), "the line")
            app.screen.query_one(Input).value = str(file)
            await pilot.press("enter")
            await wait_until(pilot, begun.is_set, "the first of them")
            async with pauses() as found:
                await app.memory.open(old)
                assert said(app) == ["Old one", "Old two"]
                await app.chat.action_new()
                await say(pilot, "One")
                await wait_until(pilot, lambda: app.chat.talk.path, "the question")
                await settled(pilot)
            assert max(found) < PATIENCE / 4
            come.set()
            await wait_until(pilot, lambda: "In" in {one.title for one in store.recent()}, "the others")
            await wait_until(pilot, lambda: kept(store) == said(app), "what was said")
