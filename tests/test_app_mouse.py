"""The mouse on a message: who clicks and types on writes to the model; the keys of messages are for who went there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app_pilot import ask, make_app, running, screen_text, settled, wait_until
from rich.cells import cell_len

from engine.schema import Document
from tui.widgets.turn_view import Facts, TurnView

if TYPE_CHECKING:
    from pathlib import Path


async def test_letters_after_a_click_on_a_message_are_text(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        for view, letters in zip(app.chat.query(TurnView), ("re", "fed"), strict=True):
            await pilot.click(view.query_one(".body"))
            assert app.chat.prompt.has_focus
            await pilot.press(*letters)
        assert app.chat.prompt.text == "refed"
        assert [len(turn.children) for turn in app.chat.talk.path] == [1, 0]


async def test_a_click_on_a_message_leads_out_of_the_panel(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (120, 40)) as pilot:
        await ask(pilot, "One")
        await pilot.press("f2")
        await wait_until(pilot, lambda: app.chat.query_one("Panel").has_focus_within, "the panel")
        await pilot.click(app.chat.query(TurnView).first().query_one(".body"))
        await wait_until(pilot, lambda: app.chat.prompt.has_focus, "the prompt")
        await pilot.press("h", "i")
        assert app.chat.prompt.text == "hi"


async def test_who_went_to_the_messages_by_key_chooses_another_by_mouse(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        question, answer = app.chat.query(TurnView)
        await pilot.press("escape")
        await wait_until(pilot, lambda: answer.has_focus, "the answer")
        await pilot.click(question.query_one(".body"))
        await wait_until(pilot, lambda: question.has_focus, "the question")
        await pilot.press("r")
        await wait_until(pilot, lambda: len(question.turn.children) == 2, "another answer")
        await settled(pilot)


async def test_the_arrows_between_versions_take_clicks_from_the_prompt(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await ask(pilot, "One")
        await app.chat.obey("/regen")
        await wait_until(pilot, lambda: len(app.chat.talk.path[0].children) == 2, "another answer")
        await settled(pilot)
        assert app.chat.talk.tip.place == (2, 2)
        facts = app.chat.query(TurnView).last().query_one(Facts)
        column = facts.content_region.x - facts.region.x
        await pilot.click(facts, offset=(column, 0))
        await wait_until(pilot, lambda: app.chat.talk.tip.place == (1, 2), "the first answer")
        assert app.chat.prompt.has_focus


@pytest.mark.parametrize("width", [120, 60])
async def test_each_file_that_goes_with_a_question_can_be_taken_away_however_long_their_names(
    tiny_model_home: Path, width: int
) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (width, 24)) as pilot:
        names = [f"一个很长很长很长很长很长很长很长很长很长的名字{number}.txt" for number in range(3)]
        app.chat.give([Document(name, "One") for name in names])
        await wait_until(pilot, lambda: screen_text(app).count("×") == 3, "all crosses")
        row, line = next((row, line) for row, line in enumerate(screen_text(app).splitlines()) if "×" in line)
        await pilot.click(offset=(cell_len(line[: line.rindex("×")]), row))
        await wait_until(pilot, lambda: len(app.chat.pending) == 2, "the click")
        assert [document.name for document in app.chat.pending] == names[:2]
