"""Of long documents the passages that matter are read, in order and by their lines; the rest is named as unread."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from asked import Asked
from hypothesis import given
from hypothesis import strategies as st

from engine.config import SamplingConfig
from engine.errors import InputTooLong
from engine.schema import Chunk, Citation, Coverage, Document
from engine.tasks.answer import answer, prompt
from engine.tasks.breaks import LINE, PARAGRAPH
from engine.tasks.cite import cite
from engine.tasks.retrieve import retrieve

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from engine.session import Session

FILLER = [
    f"Paragraph {n} is about thing{n * 7919} and nothing else that anybody would look for.\n\n" for n in range(400)
]
FACT = "The lighthouse keeper of Arnholm was called Berta Quist.\n\n"
ZH_FILLER = [f"第{n}段说的是{n * 7919}号事情，没有别的内容。\n\n" for n in range(500)]
ZH_FACT = "灯塔的看守人名叫林晚舟，她在岛上住了三十年。\n\n"
SHORT = SamplingConfig(max_tokens=8)


@pytest.mark.parametrize(
    ("filler", "fact", "question"),
    [
        (FILLER, FACT, "Who was the lighthouse keeper of Arnholm?"),
        (ZH_FILLER, ZH_FACT, "灯塔的看守人叫什么名字？"),
    ],
)
@pytest.mark.parametrize("place", [0, 137, 399])
def test_the_passage_that_answers_is_put_before_the_model(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch, filler: list[str], fact: str, question: str, place: int
) -> None:
    asked = Asked().watch(tiny_session, monkeypatch)
    text = "".join([*filler[:place], fact, *filler[place:]])
    documents = [Document("a.txt", "Something short.\n"), Document("big.txt", text)]
    events = list(answer(tiny_session, question, documents, SHORT, overflow="search"))
    [read] = [event for event in events if isinstance(event, Coverage)]
    assert fact.strip() in asked.texts[-1]
    assert not read.complete
    assert read.lines_total == text.count("\n") + 1
    line = 2 * place + 1
    inside = [first <= line + 1 <= last for first, last in read.unread_lines]  # a.txt has one line before
    assert not any(inside)
    assert tiny_session.count(asked.texts[-1]) < 2_500
    held = asked.texts[-1]
    numbers = [n for n in range(len(filler)) if filler[n].strip() in held]
    assert numbers == sorted(numbers)
    for n in numbers:
        position = 2 * (n + (n >= place)) + 1
        assert not any(first <= position + 1 <= last for first, last in read.unread_lines)


def returned(generator: Generator[object, None, Any]) -> Any:
    """What comes of it, once all is done."""
    try:
        while True:
            next(generator)
    except StopIteration as done:
        return done.value


def test_what_fits_is_read_whole(tiny_session: Session) -> None:
    events = list(answer(tiny_session, "Who?", [Document("a", FACT)], SHORT, overflow="search"))
    assert not any(isinstance(event, Coverage) for event in events)


def test_where_no_passage_fits_nothing_is_answered(tiny_session: Session) -> None:
    question, text = "Who was the keeper?", "".join(FILLER)
    frame = tiny_session.count_messages(prompt(question, [Document("a", "")]))
    tiny_session.context = frame + SHORT.max_tokens + 60
    with pytest.raises(InputTooLong, match="for the reply"):
        list(answer(tiny_session, question, [Document("a", text)], SHORT, overflow="search"))


def test_a_passage_after_blank_lines_with_spaces_has_the_lines_of_its_text(tiny_session: Session) -> None:
    text = " \n\t\n" + FACT + "".join(FILLER)
    search = retrieve(tiny_session, "Who was the lighthouse keeper of Arnholm?", [Document("a", text)], 400)
    [first, *_], _ = returned(search)
    [found] = cite("Berta Quist.", "Who was the lighthouse keeper?", [first])
    assert (found.line, found.text) == (3, FACT.strip())


def test_a_line_that_was_read_in_part_is_told_so_and_stretches_of_unread_ones_are_joined(
    tiny_session: Session,
) -> None:
    line = " ".join(part.strip() for part in FILLER) + "\n"
    text = "".join([line, "\n", *FILLER[:100], FACT, *FILLER[100:200]])
    _, read = returned(retrieve(tiny_session, "the lighthouse keeper of Arnholm", [Document("a", text)], 300))
    assert (read.partly_read, read.complete) == ((), False)
    assert len(read.unread_lines) == 2
    _, read = returned(retrieve(tiny_session, "thing7919", [Document("a", line + text)], 300))
    assert read.partly_read == ((1, 1),)
    assert read.unread_lines[0][0] == 2
    assert read.lines_read + sum(last - first + 1 for first, last in read.unread_lines) == read.lines_total


def test_an_answer_cites_the_lines_that_it_rests_on() -> None:
    document = Document("notes.md", f"# Notes\n\nFerries leave at seven.\n{FACT}", first_line=40)
    other = Document("other.md", "Nothing of use.\n")
    [found] = cite("Berta Quist.", "Who was the lighthouse keeper of Arnholm?", [other, document])
    assert found == Citation("notes.md", 43, FACT.strip())
    [found] = cite("林晚舟。", "灯塔的看守人叫什么名字？", [Document("甲", "第一行\n" + ZH_FACT)])
    assert (found.name, found.line) == ("甲", 2)
    both = cite("Ferries leave at seven, and Berta Quist keeps the light.", "What is known?", [document])
    assert [citation.line for citation in both] == [42, 43]


@pytest.mark.parametrize("said", ["", "The text does not say.", "文中没有提到。", "Zanzibar, in 1871."])
def test_what_the_documents_do_not_bear_out_cites_nothing(said: str) -> None:
    assert cite(said, "Who was the keeper?", [Document("notes", "Ferries leave at seven.\n" + FACT)]) == []


@given(st.text(max_size=60), st.text(max_size=40), st.lists(st.text(max_size=80), max_size=3))
def test_a_line_that_is_cited_is_there(said: str, question: str, texts: list[str]) -> None:
    documents = [Document(str(number), text, first_line=5) for number, text in enumerate(texts)]
    for citation in cite(said, question, documents):
        line = texts[int(citation.name)].split("\n")[citation.line - 5]
        assert citation.text in [part.strip() for part in re.split(f"[{LINE}{PARAGRAPH}]", line)]


@pytest.mark.weights
def test_the_default_model_answers_from_a_long_text_and_says_where_it_stands(default_model: Path) -> None:
    from engine.session import Session

    session = Session.open(default_model, device="cpu")
    text = "".join([*FILLER[:300], FACT, *FILLER[300:]])
    question = "Who was the lighthouse keeper of Arnholm?"
    sampling = SamplingConfig(max_tokens=40, repetition_penalty=1.1)
    events = list(answer(session, question, [Document("big.txt", text)], sampling, overflow="search"))
    session.close()
    assert "Berta Quist" in "".join(event.text for event in events if isinstance(event, Chunk))
    assert Citation("big.txt", 601, FACT.strip()) in events


def test_of_lines_that_hold_the_answer_alike_the_one_that_speaks_of_the_question_is_cited() -> None:
    text = "Berta Quist was born in May.\nThe keeper of Arnholm was Berta Quist.\nBerta Quist likes tea.\n"
    [found] = cite("Berta Quist.", "Who was the keeper of Arnholm?", [Document("a", text)])
    assert found.line == 2


def test_no_more_than_three_lines_are_cited() -> None:
    document = Document("a", "apples, pears\nbridges\ncandles\ndrums\n")
    found = cite("Apples, pears, bridges, candles, drums.", "What is there?", [document])
    assert len(found) == 3
    assert [citation.line for citation in found] == sorted({citation.line for citation in found})
