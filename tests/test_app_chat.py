"""Asking, stopping, editing, forking and walking in the full-screen app, with the tiny model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import Hold, ask, leave_the_prompt, make_app, running, say, screen_text, settled, wait_until
from textual.widgets import TextArea

from tui.keeper import Keeper
from tui.screens.doubts import DoubtsScreen
from tui.store import Store
from tui.talk import Piece, Talk
from tui.widgets.attachments import Attachments
from tui.widgets.suggestions import Suggestions
from tui.widgets.turn_view import TurnView

if TYPE_CHECKING:
    from pathlib import Path


def said(app: Any) -> list[str]:
    return [note.message for note in app._notifications]


async def test_a_question_is_answered_and_the_answer_says_what_is_known_of_it(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await wait_until(pilot, lambda: "Everything stays on this machine" in screen_text(app), "the greeting")
        await ask(pilot, "Hello?")
        question, answer = app.chat.talk.path
        assert (question.role, question.text) == ("user", "Hello?")
        assert answer.text
        assert answer.output_tokens == 12
        assert answer.finish == "length"
        assert "".join(piece.text for piece in answer.pieces) == answer.text
        shown = screen_text(app)
        assert "Hello?" in shown
        assert "12 tok" in shown
        assert "cut: Esc o goes on" in shown
        assert app.chat.prompt.text == ""


async def test_one_can_type_and_send_before_the_model_is_there(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, loaded=False) as pilot:
        await ask(pilot, "Early?")
        assert app.chat.talk.tip.text


async def test_what_was_sent_before_the_model_is_there_is_kept_under_its_name(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "app.db") as store:
        app = make_app(tiny_model_home, keeper=Keeper(store))
        busy = Hold(app)
        async with running(app, loaded=False) as pilot:
            await say(pilot, "Early?")
            await wait_until(pilot, lambda: app.chat.answering, "the question")
            busy.stopped.set()
            await settled(pilot)
            assert app.chat.talk.tip.model == "tiny"
            (kept,) = store.recent()
            assert kept.model == "tiny"
            assert [entry.facts.get("model") for entry in store.shown(kept.id)] == [None, "tiny"]


@pytest.mark.usefixtures("unhurried")
async def test_a_model_that_is_asked_for_amid_an_answer_says_that_it_waits(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, max_tokens=400)
    async with running(app) as pilot:
        await say(pilot, "One")
        await wait_until(pilot, lambda: app.chat.talk.path and app.chat.talk.tip.output_tokens > 3, "some words")
        await app.chat.obey("/model tiny")
        await wait_until(pilot, lambda: any("tiny is loaded once" in note for note in said(app)), "a word on it")
        assert app.chat.writings
        app.chat.stop()
        await settled(pilot)
        await wait_until(pilot, lambda: "tiny · cpu" in screen_text(app), "the model")


@pytest.mark.usefixtures("unhurried")
async def test_escape_stops_within_a_token_and_keeps_what_was_said(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, max_tokens=1500)
    async with running(app) as pilot:
        await say(pilot, "Tell me everything")
        await wait_until(pilot, lambda: app.chat.answering and app.chat.answering.output_tokens > 3, "some tokens")
        await pilot.press("escape")
        await settled(pilot)
        answer = app.chat.talk.tip
        assert answer.finish == "stopped"
        assert answer.text
        assert answer.output_tokens < 1500
        assert "stopped: Esc o goes on" in screen_text(app)
        before = answer.text
        app.values.change("max_tokens", 5)
        await pilot.press("escape", "o")
        await wait_until(pilot, lambda: app.chat.talk.tip.text != before, "more of it")
        await settled(pilot)
        assert app.chat.talk.tip is answer
        assert answer.text.startswith(before)


async def test_what_is_typed_right_after_enter_is_the_next_text(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        busy = Hold(app)
        prompt = app.chat.prompt
        prompt.insert("One")
        prompt.action_send()
        prompt.insert("Two")  # before the screen has heard of the first
        await wait_until(pilot, lambda: app.chat.answering, "the answer")
        assert prompt.text == "Two"
        prompt.action_send()  # refused: it stands there again, with what came after
        prompt.insert("and more")
        await wait_until(pilot, lambda: said(app), "the refusal")
        assert prompt.text == "Two\nand more"
        busy.stopped.set()
        await settled(pilot)
        assert app.chat.talk.path[0].text == "One"


async def test_a_stop_before_the_first_word_gives_the_question_back(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        busy = Hold(app)
        await say(pilot, "Never mind")
        await wait_until(pilot, lambda: app.chat.answering, "the answer")
        await pilot.press("escape")
        busy.stopped.set()
        await settled(pilot)
        assert app.chat.talk.path == []
        assert app.chat.prompt.text == "Never mind"


async def test_retry_edit_and_walk_between_versions(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, temperature=1.0, seed=1)
    async with running(app) as pilot:
        await ask(pilot, "One")
        first = app.chat.talk.tip
        app.values.change("seed", 2)
        await pilot.press("escape", "r")
        await wait_until(pilot, lambda: app.chat.talk.tip is not first, "another answer")
        await settled(pilot)
        second = app.chat.talk.tip
        assert second.place == (2, 2)
        assert second.text != first.text
        assert "2/2" in screen_text(app)
        app.chat.transcript.view_of(second).focus()  # type: ignore[union-attr]
        await pilot.press("left")
        await wait_until(pilot, lambda: app.chat.talk.tip is first, "the first answer")
        await pilot.pause()
        assert "1/2" in screen_text(app)

        app.chat.transcript.view_of(app.chat.talk.path[0]).focus()  # type: ignore[union-attr]
        await pilot.press("e", "!", "ctrl+s")
        await wait_until(pilot, lambda: app.chat.talk.path[0].text == "One!", "the edited question")
        await settled(pilot)
        assert app.chat.talk.path[0].place == (2, 2)
        assert len(app.chat.talk.path) == 2
        await pilot.press("alt+left")  # it has one answer only: nothing moves
        assert app.chat.talk.path[0].text == "One!"


async def test_a_message_that_is_emptied_stays_as_it_is(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await leave_the_prompt(pilot)
        await pilot.press("e")
        await wait_until(pilot, lambda: app.screen.query("#text"), "the text")
        app.screen.query_one(TextArea).clear()
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: said(app), "that nothing was changed")
        assert said(app)[0].startswith("the text is empty")
        assert app.chat.talk.tip.place == (1, 1)
        assert isinstance(app.chat.focused, TurnView)


async def test_a_fork_lets_the_next_question_stand_beside_what_came_after(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await ask(pilot, "Two")
        answer = app.chat.talk.path[1]
        app.chat.transcript.view_of(answer).focus()  # type: ignore[union-attr]
        await pilot.press("f")
        await wait_until(pilot, lambda: len(app.chat.talk.path) == 2, "the fork")
        await ask(pilot, "Other")
        assert [turn.text for turn in answer.children] == ["Two", "Other"]
        assert app.chat.talk.path[2].place == (2, 2)


async def test_ctrl_j_breaks_the_line_and_up_recalls(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c")
        assert app.chat.prompt.text == "a\nb\nc"
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.talk.path, "the question")
        await settled(pilot)
        assert app.chat.talk.path[0].text == "a\nb\nc"
        app.chat.prompt.focus()
        await pilot.press("up")
        assert app.chat.prompt.text == "a\nb\nc"
        await pilot.press("down")
        assert app.chat.prompt.text == ""


async def test_a_slash_lists_words_and_tab_completes(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await pilot.press("slash", "r")
        offered = app.chat.query_one(Suggestions)
        assert offered.display
        assert [offered.get_option_at_index(at).id for at in range(offered.option_count)] == ["regen", "file"]
        await pilot.press("tab")
        assert app.chat.prompt.text == "/regen "
        await pilot.press("enter")
        await wait_until(pilot, lambda: said(app), "an error")
        assert "nothing was asked yet" in said(app)[0]
        assert app.chat.prompt.text == "/regen "
        app.chat.prompt.write("")
        await say(pilot, "/regne")
        await wait_until(pilot, lambda: len(said(app)) > 1, "an error")
        assert "did you mean /regen?" in said(app)[1]
        assert app.chat.prompt.text == "/regne"  # to be mended
        app.chat.prompt.write("")
        await ask(pilot, "//literally")
        assert app.chat.talk.path[0].text == "/literally"


async def test_an_at_attaches_a_file_with_its_tokens(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("buy milk", "utf-8")
    (tmp_path / "other.md").write_text("nothing", "utf-8")
    monkeypatch.chdir(tmp_path)
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await pilot.press("h", "i", "space", "@")
        await wait_until(pilot, lambda: app.screen is not app.chat, "the files")
        await wait_until(pilot, lambda: getattr(app.screen, "choices", []), "the files' names")
        await pilot.press("n", "o", "t", "s")
        await wait_until(pilot, lambda: len(getattr(app.screen, "shown", [])) == 1, "one name")
        await wait_until(pilot, lambda: "notes.txt: " in screen_text(app), "its tokens")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.pending, "the file")
        assert app.chat.prompt.text == "hi "
        assert app.chat.query_one(Attachments).display
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.talk.path, "the question")
        await settled(pilot)
        assert app.chat.talk.path[0].documents == (("notes.txt", "buy milk"),)
        assert "buy milk" in app.chat.talk.messages()[0].content
        assert not app.chat.pending


async def test_doubts_are_shaded_and_a_fork_begins_with_another_word(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (100, 30)) as pilot:
        await ask(pilot, "One")
        first = app.chat.talk.tip
        await pilot.press("escape", "w")
        await wait_until(pilot, lambda: getattr(app.screen, "_found", []), "alternatives")
        found = app.screen._found  # type: ignore[attr-defined]
        assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
        await pilot.press("right", "right")
        await wait_until(pilot, lambda: app.screen.at == 2 and app.screen._found, "others")  # type: ignore[attr-defined]
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: app.chat.talk.tip is not first, "a fork")
        await settled(pilot)
        kept = "".join(piece.text for piece in first.pieces[:2])
        assert app.chat.talk.tip.text.startswith(kept)
        assert app.chat.talk.tip.place == (2, 2)


async def test_a_marked_word_of_a_long_answer_is_in_sight(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (60, 20)) as pilot:
        pieces = [Piece(f"word{number} ", -2.0 if number in {30, 150, 280} else -0.1) for number in range(300)]
        app.push_screen(DoubtsScreen(pieces, "", lambda before: None, app.strings))
        for key, marked in ((None, 30), ("tab", 150), ("right", 151), ("tab", 280), ("shift+tab", 150)):
            await pilot.press(*([key] if key else []))
            await wait_until(
                pilot, lambda said=f"word{marked} ": said in screen_text(app).partition("after")[0], f"word {marked}"
            )


async def test_what_a_model_says_does_not_steer_the_terminal(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "a\x1b[2Jb\u202e [b]c[/b] [@click=app.exit]d[/]")
        shown = app.chat.query(TurnView).first()
        assert "a�[2Jb [b]c[/b] [@click=app.exit]d[/]" in screen_text(app)
        assert shown.turn.text.startswith("a\x1b")


async def test_the_chat_goes_on_where_old_turns_no_longer_fit_and_says_so(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, ctx=64)
    async with running(app) as pilot:
        await ask(pilot, "one")
        await ask(pilot, "two")
        app.chat.prompt.insert("a draft that leaves no room for what was said at the beginning, " * 3)
        await wait_until(pilot, lambda: "will fall out" in screen_text(app), "what will fall out")
        assert app.chat.query(TurnView).first().has_class("left-out")
        app.chat.prompt.write("")
        await wait_until(pilot, lambda: "will fall out" not in screen_text(app), "that nothing will")
        assert app.meter.left_out or not app.chat.query(TurnView).first().has_class("left-out")
        await ask(pilot, "three")
        await ask(pilot, "four")
        assert app.meter.left_out > 0
        assert "no longer seen" in screen_text(app)
        assert app.chat.query(TurnView).first().has_class("left-out")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("4.", ["4."]),
        ("1. one\n2.\n3. three", ["1. one", "2.", "3. three"]),
        ("Use <b>bold</b>.\n\n<div>\n\n<!-- why -->", ["Use <b>bold</b>.", "<div>", "<!-- why -->"]),
    ],
)
async def test_nothing_that_an_answer_says_is_left_out(tiny_model_home: Path, text: str, lines: list[str]) -> None:
    talk = Talk()
    talk.begin_answer(talk.ask("Why?"), text).finish = "stop"
    app = make_app(tiny_model_home, talk=talk)
    async with running(app) as pilot:
        await wait_until(pilot, lambda: "Why?" in screen_text(app), "the conversation")
        shown = [line.strip(" ▌") for line in screen_text(app).splitlines()]
        assert [line for line in shown[shown.index("Why?") + 1 :] if line][: len(lines)] == lines


@pytest.mark.usefixtures("unhurried")
async def test_an_answer_that_ends_while_it_is_drawn_leaves_no_word_of_its_writing(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, settle, drawing, drawn = make_app(tiny_model_home), TurnView.settle, asyncio.Event(), asyncio.Event()

    async def slowly(view: TurnView) -> None:
        await settle(view)
        if app.chat.writings and not drawing.is_set():
            drawing.set()
            await drawn.wait()

    monkeypatch.setattr(TurnView, "settle", slowly)
    async with running(app) as pilot:
        await say(pilot, "One")
        await wait_until(pilot, drawing.is_set, "the drawing")
        await settled(pilot)
        drawn.set()
        await pilot.pause()
        await wait_until(pilot, lambda: "tiny · cpu/" in screen_text(app), "a model that waits")
        assert "Esc stops" not in screen_text(app)
