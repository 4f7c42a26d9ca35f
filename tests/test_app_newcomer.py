"""What someone meets who has read nothing: hints that hold where they stand, ways out of dead ends, one language."""

from __future__ import annotations

import inspect
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import Hold, ask, leave_the_prompt, make_app, running, say, screen_text, settled, wait_until
from textual.widgets import Input

from engine import catalog
from tui import palette, transfer
from tui.jobs import tidy_title
from tui.keeper import Keeper
from tui.screens.help import HelpScreen
from tui.strings import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from engine.schema import Language
    from tui.app import LlmApp
    from tui.store import Store


async def test_the_keys_to_go_on_with_an_answer_are_those_that_work_from_here(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, max_tokens=4)
    async with running(app) as pilot:
        await ask(pilot, "Tell me everything")
        assert "cut: Esc o goes on" in screen_text(app)
        before = app.chat.talk.tip.text
        await leave_the_prompt(pilot)
        await wait_until(pilot, lambda: "cut: o goes on" in screen_text(app), "the key from there")
        await pilot.press("o")
        await wait_until(pilot, lambda: len(app.chat.talk.tip.text) > len(before), "more of it")
        await settled(pilot)


async def test_after_an_edit_the_keys_belong_to_the_new_version(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        first = app.chat.talk.tip
        await pilot.press("escape", "e", "!", "ctrl+s")
        await wait_until(pilot, lambda: app.chat.talk.tip is not first, "the new version")
        second = app.chat.talk.tip
        await wait_until(pilot, lambda: getattr(app.chat.focused, "turn", None) is second, "the focus")
        await pilot.press("left")
        await wait_until(pilot, lambda: app.chat.talk.tip is first, "the first version")


async def test_the_meter_follows_from_version_to_version(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        first, short = app.chat.talk.tip, app.meter._used
        app.chat.talk.edit(first, "Something else that is a good deal longer than what the model said. " * 3)
        await app.chat.show()
        edited = app.chat.talk.tip
        await app.chat.walk(edited, -1)
        await app.chat.walk(first, 1)
        await wait_until(pilot, lambda: app.meter._used > short, "the longer one's count")
        for _ in range(2):
            await app.chat.walk(edited, -1)
            await wait_until(pilot, lambda: app.meter._used == short, "the shorter one's")
            await app.chat.walk(first, 1)
            await wait_until(pilot, lambda: app.meter._used > short, "the longer one's again")


async def test_an_unknown_model_leaves_the_one_that_is_there(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, "zh")
    async with running(app) as pilot:
        await say(pilot, "/model nonsense")
        await wait_until(pilot, lambda: app._notifications, "the error")
        (note,) = app._notifications
        assert "nonsense" in note.message
        assert "F3" in note.message
        assert "llm models" not in note.message
        assert TABLES["zh"]["status.no_model"] not in screen_text(app)
        assert "tiny · cpu/" in screen_text(app)


async def test_without_a_model_the_first_screen_and_the_error_say_where_they_come_from(tmp_path: Path) -> None:
    app = make_app(tmp_path, "zh")
    async with running(app, loaded=False) as pilot:
        await wait_until(pilot, lambda: app.screen is not app.chat, "the welcome")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        assert TABLES["zh"]["greeting.no_model"].format(key=app.strings.keys) in screen_text(app)
        await say(pilot, "你好")
        await wait_until(pilot, lambda: app._notifications, "the error")
        (note,) = app._notifications
        assert note.message == f"{app.strings('said.no_model')}\n→ {app.strings('hint.models')}"
        assert app.chat.prompt.text == "你好"


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_who_chats_with_the_small_default_is_told_of_better_company_that_is_not_here(
    tmp_path: Path, tiny_model_home: Path, language: Language
) -> None:
    home, small = tmp_path / "home", catalog.default_entry().name
    shutil.copytree(tiny_model_home / "models" / "tiny", home / "models" / small)
    app = make_app(home, language)
    async with running(app) as pilot:
        told = app.strings("greeting.better", name=catalog.COMPANY).split(": ")[0].split("：")[0]

        def said() -> bool:
            return "".join(told.split()) in "".join(screen_text(app).split())

        await wait_until(pilot, said, "the better one")
        shutil.copytree(home / "models" / small, home / "models" / catalog.COMPANY)
        await app.chat.show()
        await wait_until(pilot, lambda: not said(), "nothing more of it")


async def test_what_is_said_does_not_lie_over_the_prompt(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.note("Done")
        await wait_until(pilot, lambda: "Done" in screen_text(app), "the word")
        lines = screen_text(app).splitlines()
        at = next(number for number, line in enumerate(lines) if "Done" in line)
        assert at < app.size.height // 2


async def test_a_long_paste_is_counted_to_its_end(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        line = "The quick brown fox jumps over the lazy dog.\n"
        app.chat.prompt.insert(line * 5000)
        await wait_until(pilot, lambda: app.chat.status._draft, "the count")
        exact = app.models.count(line) * 5000
        assert 0.9 * exact < app.chat.status._draft < 1.1 * exact


async def test_a_question_that_does_not_fit_comes_back_and_leaves_no_conversation(
    tiny_model_home: Path, store: Store
) -> None:
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        text = "much too long " * 5000
        await say(pilot, text)
        await wait_until(pilot, lambda: app._notifications, "the error")
        await wait_until(pilot, lambda: app.chat.prompt.text, "the question")
        assert app.chat.prompt.text.strip() == text.strip()
        assert "much too long" not in screen_text(app).splitlines()[0]
        assert store._db.execute("SELECT count(*) FROM conversations").fetchone() == (0,)
        app.chat.prompt.write("")
        await ask(pilot, "A short one")
        assert [kept.title for kept in store.recent()] == [app.chat.talk.title] != [""]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_palette_says_in_the_users_language_that_it_has_no_such_thing(
    tiny_model_home: Path, language: Any
) -> None:
    app = make_app(tiny_model_home, language)
    async with running(app) as pilot:
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: app.screen is not app.chat, "the palette")
        await pilot.press(*"qzqzqz")
        await wait_until(pilot, lambda: TABLES[language]["palette.nothing"] in screen_text(app), "the answer")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpScreen), "a way on")


async def test_an_answer_that_has_not_begun_says_that_it_waits(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        hold = Hold(app)
        await pilot.press(*"Two", "enter")
        await wait_until(pilot, lambda: app.chat.writings, "the question")
        await pilot.press("ctrl+n", *"Three", "enter")
        await wait_until(pilot, lambda: len(app.chat.writings) == 2, "the other question")
        await wait_until(pilot, lambda: "waits for its turn" in screen_text(app), "a word on it")
        hold.stopped.set()
        await settled(pilot)
        assert app.chat.talk.tip.text


async def test_a_file_name_typed_faster_than_the_list_opens_narrows_it(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aaa.txt", "notes.txt"):
        (tmp_path / name).write_text("buy milk", "utf-8")
    monkeypatch.chdir(tmp_path)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        app.chat.prompt.write("hi @not")
        app.chat.prompt.post_message(app.chat.prompt.AttachmentAsked())
        await wait_until(pilot, lambda: app.screen is not app.chat, "the files")
        await wait_until(pilot, lambda: len(getattr(app.screen, "shown", [])) == 1, "the one that is meant")
        await pilot.press("e", "s")
        assert app.screen.query_one(Input).value == "notes"
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.pending, "the file")
        assert [document.name for document in app.chat.pending] == ["notes.txt"]
        assert app.chat.prompt.text == "hi "


async def test_a_pasted_text_that_names_a_file_gives_it_once(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("buy milk", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    monkeypatch.chdir(tmp_path)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await say(pilot, "what is in @picture.png ?")
        await wait_until(pilot, lambda: app._notifications, "the error")
        assert any("binary" in note.message for note in app._notifications)
        assert app.chat.prompt.text == "what is in @picture.png ?"
        assert not app.chat.talk.path
        app.chat.prompt.write("")
        await ask(pilot, "read @notes.txt and again @notes.txt, a@b.c, @gone.txt")
        assert app.chat.talk.path[0].documents == (("notes.txt", "buy milk"),)
        assert any("gone.txt" in note.message for note in app._notifications)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Conversation Title: Hello there", "Hello there"),
        ('**Title:** "A Boat"', "A Boat"),
        ("对话标题：长城", "长城"),
        ("对话的标题：《长城》", "长城"),
        ("Titles of nobility: a list", "Titles of nobility: a list"),
    ],
)
def test_a_title_is_only_a_title(said: str, title: str) -> None:
    assert tidy_title(said) == title


@pytest.mark.parametrize(("language", "size"), [("en", (80, 24)), ("zh", (160, 50))])
async def test_the_help_names_what_works_in_every_place_and_from_the_shell(
    tiny_model_home: Path, language: Any, size: tuple[int, int]
) -> None:
    app = make_app(tiny_model_home, language)
    async with running(app, size) as pilot:
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpScreen), "the help")
        said = "\n".join(str(part.content) for part in app.screen.query("#help Static"))  # type: ignore[attr-defined]
        for place in ("prompt", "turn", "screen", "history", "panel", "models", "doubts", "words", "shell"):
            assert app.strings(f"help.{place}") in said
        for feature in ("pin", "delete", "meaning", "branch", "previous", "default"):
            assert app.strings(f"long.{feature}") in said
        for command in ("--no-save", "--plain", "--lang", "llm history replay", "history_days"):
            assert command in said
        await pilot.press("escape")


async def test_the_settings_take_the_keys_and_give_them_back(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await pilot.press("f2")
        await wait_until(pilot, lambda: getattr(app.chat.focused, "id", "") == "field-temperature", "the first value")
        await wait_until(pilot, lambda: "next value" in screen_text(app).splitlines()[-1], "its keys in the footer")
        await pilot.press("down", "down", "up")
        assert getattr(app.chat.focused, "id", "") == "field-top_p"
        await pilot.press("0", ".", "5", "escape")
        await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the prompt")
        await wait_until(pilot, lambda: app.values.sampling().top_p == 0.5, "the value")
        await pilot.press("f2")
        await wait_until(pilot, lambda: getattr(app.chat.focused, "id", "") == "field-temperature", "there again")
        await pilot.press("f2")
        await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the prompt again")
        assert not app.chat.has_class("panel-open")


async def test_a_list_says_when_nothing_matches(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        app.values.choose_theme()
        await wait_until(pilot, lambda: app.screen is not app.chat, "the themes")
        await pilot.press(*"qzq")
        await wait_until(pilot, lambda: app.strings("choose.nothing") in screen_text(app), "a word on it")
        await pilot.press("backspace", "backspace", "backspace")
        await wait_until(pilot, lambda: app.strings("choose.nothing") not in screen_text(app), "all of them")


async def test_the_open_conversation_is_named_pinned_exported_deleted_from_the_palette(
    tiny_model_home: Path, tmp_path: Path, store: Store
) -> None:
    async def by_palette(pilot: Pilot[Any], app: LlmApp, feature: str) -> None:
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        done = palette.deeds_of(app)[feature]()
        if inspect.isawaitable(done):
            await done

    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await by_palette(pilot, app, "pin")
        await wait_until(pilot, lambda: app._notifications, "that there is nothing yet")
        await ask(pilot, "One")
        number = app.chat.talk.kept
        assert number
        await wait_until(pilot, lambda: not app.runner.waiting(), "the title")
        await by_palette(pilot, app, "title")
        await wait_until(pilot, lambda: app.screen is not app.chat and app.screen.query(Input), "the title's line")
        app.screen.query_one(Input).value = "A name"
        await pilot.press("enter")
        await wait_until(pilot, lambda: store.kept(number).title == "A name", "the title")
        await by_palette(pilot, app, "pin")
        assert store.kept(number).pinned
        await by_palette(pilot, app, "pin")
        assert not store.kept(number).pinned
        taken = transfer.to_json(store.kept(number), store.messages(number))
        (tmp_path / "ours.json").write_text(json.dumps(taken), "utf-8")
        await by_palette(pilot, app, "import")
        await wait_until(pilot, lambda: app.screen is not app.chat and app.screen.query(Input), "the file's line")
        app.screen.query_one(Input).value = str(tmp_path / "ours.json")
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(store.recent()) == 2, "the other conversation")
        await by_palette(pilot, app, "delete")
        await wait_until(pilot, lambda: app.screen is not app.chat, "the question")
        await pilot.press("y")
        await wait_until(pilot, lambda: len(store.recent()) == 1, "the deletion")
        await wait_until(pilot, lambda: not app.chat.talk.path, "a new conversation")


async def test_the_footer_of_the_conversations_names_what_can_be_done_there_at_80_columns(
    tiny_model_home: Path, store: Store
) -> None:
    store.add(store.create("A boat"), None, "user", "a boat")
    app = make_app(tiny_model_home, keeper=Keeper(store))
    async with running(app) as pilot:
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "A boat" in screen_text(app), "the list")
        for key in ("meaning", "pin", "rename", "delete", "close"):
            assert TABLES["en"][f"key.{key}"] in screen_text(app)
        await pilot.press(*"boat", "ctrl+s")
        await wait_until(pilot, lambda: app.strings("history.by_meaning") in screen_text(app), "how it looked")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.talk.kept == 1, "the conversation")
