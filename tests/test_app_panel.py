"""The side panel while it is open: it shows what holds now, whoever changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_pilot import ask, make_app, running, say, screen_text, wait_until
from textual.widgets import Input

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_panel_that_was_left_open_names_the_model_once_it_is_there(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (120, 40)) as pilot:
        await pilot.press("f2")
        await wait_until(pilot, lambda: "repeat penalty" in screen_text(app), "the panel")
    again = make_app(tiny_model_home)
    async with running(again, (120, 40)) as pilot:
        await wait_until(pilot, lambda: "runs on  cpu/" in screen_text(again), "the model in the panel")


async def test_what_is_changed_by_word_stands_in_the_panel(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (120, 40)) as pilot:
        await ask(pilot, "One")
        await pilot.press("f2")
        await wait_until(pilot, lambda: "repeat penalty" in screen_text(app), "the panel")
        await say(pilot, "/set top_k 17")
        await wait_until(pilot, lambda: app.chat.query_one("#field-top_k", Input).value == "17", "the value")
        await say(pilot, "/system Answer like a pirate.")
        await wait_until(pilot, lambda: "like a pirate" in screen_text(app), "the system prompt")


async def test_a_value_that_is_being_typed_stays_when_the_panel_is_filled(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (120, 40)) as pilot:
        await pilot.press("f2")
        await wait_until(pilot, lambda: app.chat.query_one("#field-temperature").has_focus, "the field")
        await pilot.press("0", ".", "2")
        await app.chat.obey("/set top_k 17")
        await wait_until(pilot, lambda: app.chat.query_one("#field-top_k", Input).value == "17", "the value")
        await pilot.press("5", "enter")
        await wait_until(pilot, lambda: app.values.sampling().temperature == 0.25, "the value that was typed")
