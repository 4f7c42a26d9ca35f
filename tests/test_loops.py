"""Replies end where they say the same again and again, and nowhere else."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest
from cli_process import llm, told
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.loops import AGAIN, STEP, ended_at_loops, looping, request_of
from engine.schema import Chunk, Coverage, Message

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

SENTENCE = "The hedgehog finds that the kitten is looking for food. "
CHINESE = "刺猬在夜深时，发现小猫正在寻找食物，并开始寻找食物。"
QUESTIONS = ["What did you learn here?", "How do you feel about the team?", "Can you explain the challenges?"]
NUMBERED = "".join(f"{number}. **{QUESTIONS[number % 3]}**\n" for number in range(1, 20))
CODE = "```python\n" + "    values.append(next(source))\n" * 12
TABLE = "| month | rain | days |\n|---|---|---|\n" + "".join(
    f"| {month} | little rain in the north | {number} |\n"
    for number, month in enumerate(["January", "February", "March", "April", "May", "June", "July", "August"])
)
POEM = "\n".join(f"{verse}\nRow on, row on, the river is long." for verse in ("Out at dawn", "Past the mill", "Home"))
SIMILAR = "".join(f"{n}. A {thing} with two children, such as a {thing}.\n" for n, thing in enumerate(["ride", "walk"]))
PLAN = "".join(f"{day}. Day {day}\n   - Stretch for twenty minutes and drink water\n" for day in range(1, 8))
PLANS = "".join(
    f"Week {week}\n1. Stretch for twenty minutes\n2. Walk around the whole garden\n" for week in range(1, 6)
)
FIELDS = "".join(f"self.layer{number} = Linear(width, width)\n" for number in range(30))


@pytest.mark.parametrize("text", ["One begins. " + SENTENCE * 4, "从前。" + CHINESE * 4, NUMBERED, "ha " * 80])
def test_a_loop_is_told_at_any_place_of_its_block(text: str) -> None:
    for cut in range(9):
        assert looping(text[: len(text) - cut])


@pytest.mark.parametrize(
    "text",
    [
        "", SENTENCE, SENTENCE * 2, CHINESE * 2, TABLE, POEM, SIMILAR, PLAN, PLANS, FIELDS, CODE, "-" * 900,
        "| | |\n" * 90, "0, " * 400, "Yes, yes, yes. No, no, no.",
    ],
)  # fmt: skip
def test_what_people_may_want_is_no_loop(text: str) -> None:
    assert not any(looping(text[:end]) for end in (*range(0, len(text), 7), len(text)))


def test_code_that_ended_shields_nothing() -> None:
    assert looping(CODE + "```\n" + SENTENCE * 4)


def test_who_asks_for_the_same_again_gets_it() -> None:
    lines = "I will not talk in class.\n" * 30
    assert looping(lines)
    assert not looping(lines, "Write “I will not talk in class.” thirty times.")
    assert looping(lines, "Write something about school.")
    assert not looping("我上课不再讲话。\n" * 30, "把“我上课不再讲话”写三十遍。")


@given(block=st.text("abcdefgh 。字", min_size=1, max_size=60), before=st.text("xyz .\n", max_size=80))
def test_enough_copies_are_a_loop_whatever_stood_before(block: str, before: str) -> None:
    letters = [c for c in block if c.isalpha()]
    if letters:
        size = len(letters) + sum(c == "字" for c in letters)
        assert looping(before + "\n" + block * (AGAIN // size + 3))


@given(words=st.lists(st.integers(0, 10**9), min_size=1, max_size=60, unique=True))
def test_lines_that_differ_are_no_loop(words: list[int]) -> None:
    assert not looping("".join(f"The number of this line is {word}.\n" for word in words))


def pieces(text: str, size: int) -> list[Chunk]:
    return [Chunk(text[at : at + size]) for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 5, 40])
def test_a_reply_ends_soon_after_it_loops_and_its_source_is_closed(size: int) -> None:
    closed = []

    def endless() -> Generator[Chunk | Coverage, None, None]:
        try:
            yield Coverage(1, 1, 1, 1, 1, 1)
            yield from pieces("Once upon a time. ", size)
            for _ in itertools.count():
                yield from pieces(SENTENCE, size)
        finally:
            closed.append(True)

    events = list(ended_at_loops(endless(), "Tell me a story."))
    assert isinstance(events[0], Coverage)
    text = "".join(event.text for event in events if isinstance(event, Chunk))
    assert closed
    assert [event.finish_reason for event in events if isinstance(event, Chunk)][-2:] == [None, "repeated"]
    assert text.count(SENTENCE.strip()) <= (2 if size < STEP else 3)


@pytest.mark.parametrize("after", [SENTENCE[:30], SENTENCE[:50] + "mice."])
def test_what_only_began_like_a_loop_is_told_in_the_end(after: str) -> None:
    text = "Once upon a time. " + SENTENCE * 2 + after
    chunks = [*pieces(text, 3), Chunk("", finish_reason="stop")]
    told = 0

    def source() -> Generator[Chunk, None, None]:
        for at, chunk in enumerate(chunks):
            waiting.append(at - told)
            yield chunk

    waiting = list[int]()
    given = []
    for chunk in ended_at_loops(source(), ""):
        given.append(chunk)
        told += 1
    assert given == chunks
    assert max(waiting) >= 3
    assert waiting[: len(text) // 6] == [0] * (len(text) // 6)


IDEAS = ("A picnic in the park with a ball", "A walk around the garden", "A film at home")
LONG = "Bake a cake with the children and eat it"


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("end", ["", "\n"])
def test_an_item_of_a_list_is_not_told_a_third_time(size: int, end: str) -> None:
    ideas = [IDEAS[at] for at in (0, 1, 2, 0, 0)]
    lines = [f"{number}. {idea}.\n" for number, idea in enumerate(ideas, 1)]
    chunks = [*pieces("".join(lines).rstrip() + end, size), Chunk("", finish_reason="stop")]
    events = list(ended_at_loops((chunk for chunk in chunks), "Give me five ideas."))
    told = "".join(event.text for event in events)
    assert told.startswith("".join(lines[:4]))
    assert len(told) < len("".join(lines[:4])) + size
    assert events[-1].finish_reason == "repeated"


@pytest.mark.parametrize("size", [1, 4])
def test_a_long_item_is_not_told_a_second_time(size: int) -> None:
    lines = [f"1. {LONG}.\n", f"2. {IDEAS[1]}.\n", f"3. {LONG}.\n", "4. Sing.\n"]
    chunks = [*pieces("".join(lines), size), Chunk("", finish_reason="stop")]
    events = list(ended_at_loops((chunk for chunk in chunks), "Give me five ideas."))
    told = "".join(event.text for event in events)
    assert told.startswith("".join(lines[:2]))
    assert len(told) < len("".join(lines[:2])) + size
    assert events[-1].finish_reason == "repeated"


def test_a_new_list_may_have_the_long_items_of_another() -> None:
    text = f"1. {LONG}.\n2. {IDEAS[1]}.\n\nOn Sunday:\n1. {LONG}.\n2. Sing.\n"
    chunks = [*pieces(text, 1), Chunk("", finish_reason="stop")]
    assert list(ended_at_loops((chunk for chunk in chunks), "")) == chunks


@pytest.mark.parametrize("item", ["Water the plants in the house", "Water the plants in every room of the house"])
def test_who_asks_for_an_item_again_gets_it_though_the_reply_begins_it_with_a_capital(item: str) -> None:
    text = "".join(f"{number}. {item}\n" for number in range(1, 9))
    chunks = [*pieces(text, 3), Chunk("", finish_reason="stop")]
    asked = f"Write eight items, each of them: {item.lower()}"
    assert list(ended_at_loops((chunk for chunk in chunks), asked)) == chunks


@pytest.mark.parametrize("last", ["6. A picnic at the beach.", "6. A picnic", "", "Have fun!", "- Tea"])
def test_a_list_with_an_item_twice_goes_on(last: str) -> None:
    text = "".join(f"{number}. {IDEAS[number % 3]}.\n" for number in range(1, 6)) + last
    chunks = [*pieces(text, 1), Chunk("", finish_reason="stop")]
    assert list(ended_at_loops((chunk for chunk in chunks), "")) == chunks


def test_a_reply_without_a_loop_passes_unchanged() -> None:
    chunks = [*pieces(POEM + TABLE, 9), Chunk("", finish_reason="stop")]
    assert list(ended_at_loops((chunk for chunk in chunks), "")) == chunks


def test_what_is_held_when_a_reply_breaks_off_is_told() -> None:
    chunks = pieces("Once upon a time. " + SENTENCE * 2 + SENTENCE[:40], 3)
    assert list(ended_at_loops((chunk for chunk in chunks), "")) == chunks


def test_what_is_held_when_a_reply_fails_is_told_before_the_error() -> None:
    chunks = pieces("Once upon a time. " + SENTENCE * 2 + SENTENCE[:40], 3)

    def failing() -> Generator[Chunk, None, None]:
        yield from chunks
        raise EngineError("the server is gone")

    told = []
    with pytest.raises(EngineError):
        told.extend(ended_at_loops(failing(), ""))
    assert told == chunks


def test_closing_closes_the_source() -> None:
    closed = []

    def source() -> Generator[Chunk, None, None]:
        try:
            yield from pieces(SENTENCE, 4)
        finally:
            closed.append(True)

    events = ended_at_loops(source(), "")
    next(events)
    events.close()
    assert closed


def test_ask_says_why_it_ended_and_can_be_told_not_to(tiny_model_home: Path) -> None:
    """A random model that is paid for repeating itself does."""
    ask = ("ask", "hello", "-m", "tiny", "--repeat-penalty", "0.5", "--max-tokens", "200")
    plain = llm(tiny_model_home, *ask, timeout=180)
    assert plain.returncode == 0
    assert "again and again" in told(plain)[-1]
    assert "end_loops" in told(plain)[-1]
    found = json.loads(llm(tiny_model_home, *ask, "--json", timeout=180).stdout)
    assert found["finish_reason"] == "repeated"
    assert found["output_tokens"] < 200
    assert found["text"] == plain.stdout.decode().rstrip("\n")
    off = {"LOCAL_LLM_END_LOOPS": "false"}
    whole = json.loads(llm(tiny_model_home, *ask, "--json", env=off, timeout=180).stdout)
    assert (whole["finish_reason"], whole["output_tokens"]) == ("length", 200)
    assert whole["text"].startswith(found["text"])


def unlike(size: int) -> str:
    """Letters in which nothing stands twice in a row."""
    return "".join(chr(ord("a") + (7 * at + at // 26) % 26) for at in range(size))


@pytest.mark.parametrize(("size", "loops"), [(59, False), (60, True)])
def test_three_copies_are_a_loop_from_so_many_letters_on(size: int, loops: bool) -> None:
    assert looping("Well then. " + unlike(size) * 3) is loops


@pytest.mark.parametrize(
    ("size", "times", "loops"), [(19, 3, False), (20, 2, False), (20, 3, True), (29, 2, False), (30, 2, True)]
)
def test_an_item_comes_too_often_from_so_many_letters_on(size: int, times: int, loops: bool) -> None:
    items = [item for number in range(times) for item in (unlike(size), f"number {number}")]
    assert looping("".join(f"{number}. {item}\n" for number, item in enumerate(items, 1))) is loops


def test_the_request_is_what_the_user_said_last() -> None:
    said = [
        Message("system", "Be short."),
        Message("user", "Hello."),
        Message("assistant", "Yes?"),
        Message("user", "Go."),
    ]
    assert request_of(said) == request_of([*said, Message("assistant", "Gone")]) == "Go."
    assert request_of(said[:1]) == ""
