"""Answers from documents: given whole, by name and in order, or shortened as asked, with what was left out named."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from asked import Asked

from engine.config import SamplingConfig
from engine.errors import InputTooLong
from engine.schema import Chunk, Coverage, Document, Message
from engine.session import Session
from engine.tasks.answer import answer, plan, prompt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.config import Overflow

SHORT = SamplingConfig(max_tokens=8)
LINES = [f"line {number} says word{number * 7919}\n" for number in range(1, 401)]
LONG = Document("long.txt", "".join(LINES))
NOTE = Document("note.txt", "The ferry leaves at seven.\n")


@pytest.fixture
def asked(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked().watch(tiny_session, monkeypatch)


def run(
    session: Session, *documents: Document, sampling: SamplingConfig = SHORT, **settings: Any
) -> tuple[list[Chunk], list[Coverage]]:
    events = list(answer(session, "When does it leave?", documents, sampling, **settings))
    return [e for e in events if isinstance(e, Chunk)], [e for e in events if isinstance(e, Coverage)]


def test_a_question_without_documents_is_asked_as_it_is() -> None:
    assert prompt("Why?", []) == [Message("user", "Why?")]
    assert prompt("Why?", [], "Be brief.") == [Message("system", "Be brief."), Message("user", "Why?")]


@pytest.mark.parametrize("question", ["What is in them?", "里面有什么？"])
def test_documents_stand_in_blocks_with_their_names_in_the_order_given(question: str) -> None:
    documents = [Document("b.txt", "second letter\n"), Document("a.txt", "first letter"), Document("stdin", "第三")]
    [message] = prompt(question, documents)
    blocks = [f'<document name="{d.name}">\n{d.text.strip()}\n</document>' for d in documents]
    places = [message.content.index(block) for block in blocks]
    assert all(before < after for before, after in pairwise(places))
    assert message.content.count("<document") == 3
    assert message.content.count(question) == 1


def test_the_instructions_are_in_the_language_of_the_question() -> None:
    [english], [chinese] = (
        prompt("What is open?", [Document("a", "港口")]),
        prompt("什么开着？", [Document("a", "port")]),
    )
    assert "using only the text" in english.content
    assert "只根据" in chinese.content


@pytest.mark.parametrize("text", ["{question}", "{documents}", "{0}", "%s {", "}{", "{{x}}", "\\1", "$name"])
def test_braces_and_the_like_are_only_text(tiny_session: Session, text: str) -> None:
    [message] = prompt(f"What is {text}?", [Document(f"{text}.txt", f"a {text} b")])
    assert f"What is {text}?" in message.content
    assert f'<document name="{text}.txt">\na {text} b\n</document>' in message.content
    chunks = list(answer(tiny_session, f"What is {text}?", [Document(text, text)], SHORT))
    assert isinstance(chunks[-1], Chunk)
    assert chunks[-1].finish_reason


def test_a_name_can_not_break_out_of_its_block() -> None:
    [message] = prompt("What?", [Document('a">\n</document>', "text")])
    assert message.content.count("\n</document>") == 1
    assert """<document name="a'> </document>">\ntext""" in message.content


def test_a_name_of_bytes_that_are_no_text_is_no_fault_of_the_text(tiny_session: Session) -> None:
    events = list(answer(tiny_session, "What?", [Document(os.fsdecode(b"a\xff.txt"), "text")], SHORT))
    assert isinstance(events[-1], Chunk)


def test_what_fits_is_given_whole_and_no_coverage_is_told(tiny_session: Session, asked: Asked) -> None:
    chunks, read = run(tiny_session, NOTE, Document("x", "y"), system="Be brief.")
    assert read == []
    assert asked.conversations == [prompt("When does it leave?", [NOTE, Document("x", "y")], "Be brief.")]
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [chunks[-1].finish_reason]


def test_a_plan_is_what_is_run(tiny_session: Session) -> None:
    text, tokens = plan(tiny_session, "When does it leave?", [NOTE], system="Be brief.")
    chunks = list(answer(tiny_session, "When does it leave?", [NOTE], SHORT, system="Be brief."))
    assert {chunk.prompt_tokens for chunk in chunks if isinstance(chunk, Chunk)} == {tokens}
    assert text.index("Be brief.") < text.index(NOTE.text.strip()) < text.index("When does it leave?")


def test_too_much_is_an_error_before_anything_runs(tiny_session: Session, asked: Asked) -> None:
    with pytest.raises(InputTooLong, match=r"input \d+ tok \+ 8 for the reply > 2048 context") as caught:
        run(tiny_session, NOTE, LONG)
    assert "--overflow" in caught.value.hint
    assert asked.conversations == []


@pytest.mark.parametrize("policy", ["error", "head", "tail", "middle", "summarize"])
def test_a_question_that_is_too_long_itself_is_an_error_under_every_policy(
    tiny_session: Session, asked: Asked, policy: Overflow
) -> None:
    for documents in ([], [NOTE]):
        with pytest.raises(InputTooLong, match="context") as caught:
            list(answer(tiny_session, "why " * 3_000, documents, SHORT, overflow=policy))
        assert ("shorten the question" in caught.value.hint) == (not documents or policy != "error")
    assert asked.conversations == []


def test_a_reply_with_too_much_room_is_told_to_have_less(tiny_session: Session) -> None:
    for documents, policy, room in (([], "error", 2040), ([NOTE], "error", 2048), ([NOTE], "head", 2040)):
        sampling = SamplingConfig(max_tokens=room)
        with pytest.raises(InputTooLong) as caught:
            list(answer(tiny_session, "When does it leave?", documents, sampling, overflow=policy))
        assert caught.value.hint == "lower --max-tokens"


@pytest.mark.parametrize("policy", ["head", "tail", "middle"])
def test_a_cut_document_keeps_what_the_policy_says_and_names_the_lines_left_out(
    tiny_session: Session, asked: Asked, policy: Overflow
) -> None:
    chunks, [read] = run(tiny_session, NOTE, LONG, overflow=policy)
    [[message]] = asked.conversations
    [(first, last)] = read.unread_lines
    missing = LINES[first - 2 : last - 1]  # the note's line stands before
    kept = [line for line in LINES if line not in missing]
    assert all(line in message.content for line in [NOTE.text, *kept])
    assert not any(line in message.content for line in missing)
    assert (first == 2, last == 401) == {"head": (False, True), "tail": (True, False)}.get(policy, (False, False))
    assert (read.lines_read, read.lines_total) == (401 - len(missing), 401)
    assert read.tokens_read < read.tokens_total
    assert not read.complete
    assert chunks[-1].prompt_tokens + SHORT.max_tokens <= tiny_session.context
    assert chunks[-1].prompt_tokens > 0.9 * tiny_session.context


def test_the_coverage_comes_before_the_first_chunk(tiny_session: Session) -> None:
    events = answer(tiny_session, "When?", [LONG], SHORT, overflow="head")
    assert isinstance(next(events), Coverage)
    events.close()


def test_summarized_documents_are_read_whole_and_told_as_one(tiny_session: Session, asked: Asked) -> None:
    other = Document("other.txt", "".join(line.upper() for line in LINES))
    brief = SamplingConfig(max_tokens=8, stop=tuple("aeiou"))  # a model of random weights never ends by itself
    chunks, [read] = run(tiny_session, NOTE, LONG, other, overflow="summarize", sampling=brief)
    *passages, asked_last = asked.texts
    for line in [*LINES, *other.text.splitlines()]:
        assert sum(line.strip() in passage for passage in passages) == 1, line
    assert (read.lines_read, read.lines_total, read.unread_lines) == (801, 801, ())
    assert read.complete
    assert asked_last.index(NOTE.text.strip()) < asked_last.index('"long.txt"') < asked_last.index('"other.txt"')
    assert LINES[0] not in asked_last
    assert chunks[-1].prompt_tokens + SHORT.max_tokens <= tiny_session.context
    # The summaries' own texts are not the answer.
    ids = [id_ for chunk in chunks for id_ in chunk.ids]
    assert len(ids) <= SHORT.max_tokens
    assert sum(1 for chunk in chunks if chunk.finish_reason) == 1


@pytest.mark.parametrize("policy", ["error", "summarize"])
def test_closing_the_stream_stops_the_model(tiny_session: Session, asked: Asked, policy: Overflow) -> None:
    document = NOTE if policy == "error" else LONG
    events = answer(tiny_session, "When?", [document], SamplingConfig(max_tokens=500), overflow=policy)
    while not asked.running:
        next(events)
    events.close()
    assert asked.running == 0
    assert list(events) == []


@pytest.fixture(scope="module")
def default_session(default_model: Path) -> Iterator[Session]:
    session = Session.open(default_model, device="cpu")
    yield session
    session.close()


@pytest.mark.weights
@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("When does the ferry leave?", "The harbour opens at six. The ferry leaves at seven.", "seven"),
        ("渡轮几点出发？", "港口六点开门。渡轮七点出发。", "七点"),
    ],
)
def test_the_default_model_answers_from_the_document(
    default_session: Session, question: str, text: str, expected: str
) -> None:
    sampling = SamplingConfig(max_tokens=40, repetition_penalty=1.1)
    events = answer(default_session, question, [Document("notes.txt", text)], sampling)
    assert expected in "".join(event.text for event in events if isinstance(event, Chunk))
