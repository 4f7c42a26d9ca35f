"""A text no longer than the summary asked for is its own summary; one a little longer is not made longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asked import Asked

from engine.config import SamplingConfig
from engine.schema import Chunk, Coverage, Document, SummaryPart
from engine.tasks.extract import extract
from engine.tasks.length import Length, words_in
from engine.tasks.short_text import stays_whole
from engine.tasks.summarize import summarize, summarize_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.session import Session

FREE = SamplingConfig(max_tokens=300)
NOTE = "\nCall the plumber.\n\n  2) Buy milk.\n"
CHINESE = "你好，明天开会。"


@pytest.fixture
def asked(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked().watch(tiny_session, monkeypatch)


def said(events: Iterable[object]) -> str:
    """What came out, of events that end with a text that was given whole."""
    every = list(events)
    assert isinstance(every[-1], Coverage)
    assert every[-1].given_whole
    assert every[-1].complete
    chunks = [event for event in every if isinstance(event, Chunk)]
    assert [chunk.finish_reason for chunk in chunks] == ["stop"]
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("text", ["Hello there!", "One sentence, said once.", NOTE, CHINESE, "👋", "…", "字" * 30])
@pytest.mark.parametrize("length", ["short", "medium", "long", "30w"])
@pytest.mark.parametrize("focus", ["", "the time"])
def test_it_comes_out_itself_and_no_model_is_asked(
    tiny_session: Session, asked: Asked, text: str, length: str, focus: str
) -> None:
    document = Document("note", text)
    assert said(summarize(tiny_session, document, sampling=FREE, length=length, focus=focus)) == text.strip()
    if words_in(text):  # who takes sentences needs one
        assert said(extract(tiny_session, document, length=length, focus=focus)) == text.strip()
    assert dict(summarize_rows(tiny_session, [text], sampling=FREE, length=length, focus=focus)) == {0: text.strip()}
    assert asked.texts == []


def test_as_bullets_it_is_a_line_each_with_its_number(tiny_session: Session, asked: Asked) -> None:
    wanted = "- Call the plumber. (line 2)\n- Buy milk. (line 4)"
    for task in (
        summarize(tiny_session, Document("n", NOTE), sampling=FREE, bullets=True),
        extract(tiny_session, Document("n", NOTE), bullets=True),
    ):
        events = list(task)
        assert said(events) == wanted
        parts = [(part.text, part.first_line) for part in events if isinstance(part, SummaryPart)]
        assert parts == [("Call the plumber.", 2), ("Buy milk.", 4)]
    assert (
        said(summarize(tiny_session, Document("n", CHINESE), sampling=FREE, bullets=True)) == f"- {CHINESE} （第1行）"
    )
    assert asked.texts == []


def test_in_another_language_it_is_translated(tiny_session: Session, asked: Asked) -> None:
    said(summarize(tiny_session, Document("n", CHINESE), sampling=SamplingConfig(max_tokens=5), language="en"))
    assert asked.texts
    assert not any("概括" in prompt or "Summarize" in prompt for prompt in asked.texts)


@pytest.mark.parametrize(
    ("length", "whole", "not_whole"),
    [("short", 24, 25), ("medium", 66, 67), ("long", 156, 157), ("30w", 30, 31), ("50%", 10, 11)],
)
def test_what_is_no_longer_depends_on_what_was_asked_for(
    tiny_session: Session, length: str, whole: int, not_whole: int
) -> None:
    assert stays_whole(tiny_session, "a " * whole, length)
    assert not stays_whole(tiny_session, "a " * not_whole, length)


def test_one_long_word_is_no_short_text(tiny_session: Session) -> None:
    assert Length.parse("medium", "x" * 30_000).whole
    assert not stays_whole(tiny_session, "x" * 30_000, "medium")
    assert not stays_whole(tiny_session, "🙂" * 900, "medium")


@pytest.mark.parametrize("length", ["short", "medium", "long"])
def test_a_text_a_little_longer_gets_a_summary_that_is_not(tiny_session: Session, length: str) -> None:
    text = "word " * {"short": 30, "medium": 80, "long": 200}[length]
    drawn = SamplingConfig(temperature=1, seed=4, max_tokens=2_000)
    events = list(summarize(tiny_session, Document("text", text), sampling=drawn, length=length))
    written = "".join(event.text for event in events if isinstance(event, Chunk))
    assert not events[-1].given_whole  # type: ignore[union-attr]
    assert 0 < words_in(written) < words_in(text) + 1
    assert dict(summarize_rows(tiny_session, [text], sampling=drawn, length=length)) == {0: written.strip()}
