"""That a text does not answer is said after a second look at where the answer stands, and before a word is out."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import pytest
from warm_server import home_like, serving, socket_in

from engine.config import SamplingConfig
from engine.schema import Chunk, Citation, Document, Message
from engine.serving import wire
from engine.serving.remote import RemoteSession
from engine.tasks import unsaid
from engine.tasks.answer import REFUSALS, answer, prompt
from engine.tasks.unsaid import answered, bearing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.session import Session

SHORT = SamplingConfig(max_tokens=8)
NOTE = Document("note.txt", "The harbour opens at six. The ferry leaves at seven. On Sundays it leaves at eight.\n", 3)
QUESTION = "When does the ferry leave?"


@pytest.mark.parametrize(
    ("said", "question", "expected"),
    [
        ("at seven", QUESTION, "The harbour opens at six. The ferry leaves at seven."),
        ("At Seven.", QUESTION, "The harbour opens at six. The ferry leaves at seven."),
        ("opens at six.", "When does the harbour open?", "The harbour opens at six."),
        ("It opens at six.", "When does the harbour open?", None),
        ("", QUESTION, None),
        (
            "leaves at",
            "On which days is it late, Sundays?",
            "The ferry leaves at seven. On Sundays it leaves at eight.",
        ),
    ],
)
def test_what_is_read_again_is_where_the_answer_stands(said: str, question: str, expected: str | None) -> None:
    near = bearing(said, question, [Document("other", "Nobody knows."), NOTE])
    assert (near and near.text) == expected
    assert near is None or (near.name, near.first_line) == ("note.txt", 1)


def test_chinese_is_found_by_its_sentences_too() -> None:
    text = Document("a", "港口六点开门。渡轮七点出发，票价十元。周日停航。")
    near = bearing("七点", "渡轮几点出发？", [text])
    assert near is not None
    assert near.text == "港口六点开门。渡轮七点出发，票价十元。"


def test_a_text_without_full_stops_is_not_read_twice() -> None:
    assert bearing("word7", "What is word7?", [Document("a", " ".join(f"word{n}" for n in range(400)))]) is None


def chunks_of(session: Session, question: str = QUESTION, **settings: Any) -> list[Chunk]:
    sampling = settings.pop("sampling", SHORT)
    return [event for event in answer(session, question, [NOTE], sampling, **settings) if isinstance(event, Chunk)]


def text_of(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def rule(patch: pytest.MonkeyPatch, **values: float) -> None:
    for name, value in values.items():
        patch.setattr(unsaid, name, value)


@pytest.mark.parametrize("sampling", [SHORT, SamplingConfig(max_tokens=8, stop=("e",))])
@pytest.mark.parametrize("question", [QUESTION, "渡轮几点出发？"])
def test_in_doubt_the_refusal_is_all_that_comes_out(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch, question: str, sampling: SamplingConfig
) -> None:
    rule(monkeypatch, POSSIBLE=-math.inf, DOUBT=-math.inf, MARGIN=-math.inf)
    chunks = chunks_of(tiny_session, question, sampling=SamplingConfig(max_tokens=40, stop=sampling.stop))
    assert text_of(chunks) == REFUSALS["zh" if question != QUESTION else "en"]
    assert chunks[-1].finish_reason == "stop"
    assert sum(1 for chunk in chunks if chunk.finish_reason) == 1


def test_a_refusal_rests_on_no_line(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even on one that holds its words."""
    rule(monkeypatch, POSSIBLE=-math.inf, DOUBT=-math.inf, MARGIN=-math.inf)
    says = Document("a", f"{NOTE.text}\nOf the rest: {REFUSALS['en']}")
    events = list(answer(tiny_session, QUESTION, [says], SHORT))
    assert text_of([event for event in events if isinstance(event, Chunk)]) == REFUSALS["en"]
    assert not any(isinstance(event, Citation) for event in events)


@pytest.mark.parametrize("longest", [3, 24])
def test_an_answer_that_was_held_back_is_the_one_that_would_have_come(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    plain = list(tiny_session.fork().stream(prompt(QUESTION, [NOTE]), SHORT))
    rule(monkeypatch, POSSIBLE=-math.inf, DOUBT=math.inf, MARGIN=math.inf, LONGEST=longest)
    chunks = chunks_of(tiny_session)
    assert text_of(chunks) == text_of(plain)
    assert [c.ids for c in chunks if c.ids] == [c.ids for c in plain if c.ids]
    assert [c.logprobs for c in chunks if c.ids] == [c.logprobs for c in plain if c.ids]
    # Nothing is told before the decision; then all that was held is.
    first = next(at for at, chunk in enumerate(chunks) if chunk.ids)
    drawn = [chunk.output_tokens for chunk in chunks[:first]]
    assert max(drawn, default=0) == min(longest, 8) - 1
    assert [c.finish_reason for c in chunks if c.finish_reason] == [plain[-1].finish_reason]


def test_what_is_surely_answered_streams_at_once(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch, POSSIBLE=math.inf, DOUBT=-math.inf, MARGIN=-math.inf)
    drawn = [chunk.output_tokens for chunk in chunks_of(tiny_session) if chunk.ids or chunk.output_tokens]
    assert drawn == list(range(1, 9))


def test_the_second_reading_decides(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = text_of(list(tiny_session.fork().stream(prompt(QUESTION, [NOTE]), SHORT)))
    # What a model of random weights says stands in no text: this one is put in the note's place once that was read.
    holds = [Document("note.txt", f"The harbour opens at six. It says {drawn.strip()}, no more.")]
    near = bearing(drawn, QUESTION, holds)
    assert near is not None

    def ask(documents: Sequence[Document]) -> list[Message]:
        return prompt(QUESTION, [NOTE] if documents is holds else documents)

    no, yes = map(sum, tiny_session.fork().score(ask([near]), [REFUSALS["en"], drawn.strip()]))
    for margin, refused in ((no - yes - 0.01, True), (no - yes + 0.01, False)):
        rule(monkeypatch, POSSIBLE=-math.inf, DOUBT=math.inf if refused else -math.inf, MARGIN=margin)
        told = text_of(list(answered(tiny_session, QUESTION, holds, SHORT, ask=ask, refusal=REFUSALS["en"])))
        assert REFUSALS["en"].startswith(told) if refused else told == drawn


def test_the_text_stays_read_for_the_next_question(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch, POSSIBLE=-math.inf, MARGIN=math.inf, DOUBT=math.inf)
    chunks_of(tiny_session)
    again = chunks_of(tiny_session, "When does the harbour open?")
    before = prompt("", [NOTE])[0].content.index("Question:")
    assert again[-1].cached_tokens >= tiny_session.count(prompt("", [NOTE])[0].content[:before]) - 2


@pytest.mark.skipif(not wire.available(), reason="no unix sockets here")
@pytest.mark.parametrize("certain", [-math.inf, math.inf])
def test_a_warm_server_decides_the_same(
    tiny_session: Session,
    tiny_model_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certain: float,
) -> None:
    rule(monkeypatch, POSSIBLE=-math.inf, DOUBT=certain, MARGIN=certain)
    home = home_like(tiny_model_home, tmp_path)
    with serving(home, "--threads", "1"):
        warm = RemoteSession.open(socket_in(home), home / "models" / "tiny", device="auto", threads=1)
        assert isinstance(warm, RemoteSession), warm
        with contextlib.closing(warm):
            there = chunks_of(warm)  # type: ignore[arg-type]
    assert [(c.text, c.ids) for c in there] == [(c.text, c.ids) for c in chunks_of(tiny_session)]


PIER = (
    "The old pier of Sandholm was built in 1904 by the engineer Karl Brandt. It was closed after a storm in 1987. "
    "The new one, which is twice as long, was opened by the mayor in 1995."
)
DAM = "青石水库建于1958年，由工程师林国栋设计。1983年的洪水之后，大坝加高了六米。水库现在供应全县三分之一的用水。"


@pytest.mark.weights
@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("Who built the old pier of Sandholm?", PIER, "Brandt"),
        ("In which year was the new pier opened?", PIER, "1995"),
        ("Who designed the lighthouse of Sandholm?", PIER, REFUSALS["en"]),
        ("青石水库是谁设计的？", DAM, "林国栋"),
        ("青石水库里有多少种鱼？", DAM, REFUSALS["zh"]),
    ],
)
def test_the_taught_model_says_when_the_text_does_not(
    taught_session: Session, question: str, text: str, expected: str
) -> None:
    sampling = SamplingConfig(max_tokens=40, repetition_penalty=1.1)
    events = answer(taught_session, question, [Document("notes.txt", text)], sampling)
    assert expected in text_of([event for event in events if isinstance(event, Chunk)])
