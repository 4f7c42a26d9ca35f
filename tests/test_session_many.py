"""Many conversations at once: each says and scores what it does alone, and is taken when its turn comes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from toy_sessions import joined

from engine.chat_format import ChatFormat
from engine.config import SamplingConfig
from engine.errors import InputTooLong, OutputError
from engine.schema import Chunk, Message
from engine.shape import parse
from engine.structure import Constraint, Grammar, Vocabulary, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.session import Session


def several(count: int = 5) -> list[list[Message]]:
    """Conversations with a common beginning and ends of their own lengths."""
    system = Message("system", "Answer in a word.")
    return [[system, Message("user", "什么 " * (3 * n) + f"number {n}")] for n in range(count)]


@pytest.mark.parametrize("together", [1, 2, 8])
def test_conversations_streamed_together_say_what_each_says_alone(session: Session, together: int) -> None:
    sampling = SamplingConfig(temperature=0, max_tokens=9)
    said = [""] * 5
    reasons = [None] * 5
    for index, chunk in session.stream_many(several(), sampling, together=together):
        assert isinstance(chunk, Chunk)
        assert reasons[index] is None, "nothing comes after the end"
        said[index] += chunk.text
        reasons[index] = chunk.finish_reason
    alone = ["".join(chunk.text for chunk in session.stream(messages, sampling)) for messages in several()]
    assert said == alone
    assert all(reasons)


def test_a_conversation_that_does_not_fit_leaves_the_others_be(session: Session) -> None:
    sampling = SamplingConfig(temperature=0, max_tokens=3)
    asked = [*several(2), [Message("user", "word " * 20_000)], several(1)[0]]
    events = list(session.stream_many(asked, sampling))
    failed = [index for index, event in events if isinstance(event, InputTooLong)]
    ended = [index for index, event in events if isinstance(event, Chunk) and event.finish_reason]
    assert failed == [2]
    assert sorted(ended) == [0, 1, 3]
    assert list(session.stream_many([], sampling)) == []


@pytest.mark.parametrize("drawn", [0, 3])
def test_one_that_can_not_follow_its_grammar_leaves_the_others_be(session: Session, drawn: int) -> None:
    sampling, grammar = SamplingConfig(temperature=0, max_tokens=60), compile_schema(parse("name str 9..12"))
    alone = [joined(session.stream(messages, sampling, grammar=grammar)) for messages in several()]
    vocabulary, constraints = session._vocabulary, list[Constraint]()

    def constraint(grammar: Grammar) -> Constraint:
        constraints.append(Vocabulary.constraint(vocabulary, grammar))
        if drawn == 0 and len(constraints) == 2:
            spoil(constraints[1])
        return constraints[-1]

    vocabulary.constraint = constraint  # type: ignore[method-assign]
    said, failed, tokens = [""] * 5, [], 0
    for index, event in session.stream_many(several(), sampling, together=3, grammar=grammar):
        assert index not in failed, "nothing comes after the end"
        if isinstance(event, Chunk):
            said[index] += event.text
            tokens += index == 1 and len(event.ids)
            if index == 1 and tokens == drawn and event.ids:
                spoil(constraints[1])
        else:
            assert isinstance(event, OutputError)
            failed.append(index)
    assert failed == [1]
    assert (said[0], said[2:]) == (alone[0], alone[2:])


def spoil(constraint: Constraint) -> None:
    """Leave it without a way on."""
    with contextlib.suppress(OutputError):
        constraint.take(int((~constraint.allowed()).nonzero()[0][0]))


def test_conversations_are_taken_when_a_row_is_free(session: Session) -> None:
    taken: list[int] = []

    def asked() -> Iterator[list[Message]]:
        for number, messages in enumerate(several(6)):
            taken.append(number)
            yield messages

    stream = session.stream_many(asked(), SamplingConfig(temperature=0, max_tokens=5), together=2)
    index, _ = next(stream)
    assert (index, taken) == (0, [0])
    for _ in stream:
        assert len(taken) <= 6
        if taken == [0, 1, 2]:
            break
    stream.close()
    assert taken == [0, 1, 2]
    few = SamplingConfig(temperature=0, max_tokens=4)
    again, fresh = (joined(one.stream(several(1)[0], few)) for one in (session, session.fork()))
    assert again == fresh != ""


def test_scores_of_many_conversations_are_those_of_each(session: Session) -> None:
    labels = ["positive", "no", "正面", ""]
    asked = several(12)
    together = list(session.score_many(asked, labels))
    for messages, rows in zip(asked, together, strict=True):
        assert not isinstance(rows, InputTooLong)
        for row, twin in zip(rows, session.score(messages, labels), strict=True):
            assert row == pytest.approx(twin, abs=5e-4)


def test_conversations_of_both_languages_are_scored_together(session: Session) -> None:
    labels = ["good", "正面"]
    asked = [[Message("user", text)] for text in ("It rains.", "下雨了。", "天晴了。", "The sun shines.")]
    # A transcript has a space before an English reply, and none before a Chinese one.
    session._chat, session.is_chat = ChatFormat(session._tokenizer, None), False
    for messages, rows in zip(asked, session.score_many(asked, labels), strict=True):
        assert not isinstance(rows, InputTooLong)
        for row, twin in zip(rows, session.score(messages, labels), strict=True):
            assert row == pytest.approx(twin, abs=5e-4)


def test_scoring_many_can_stop_and_go_on(session: Session) -> None:
    labels = ["yes", "no"]
    asked = several(40)
    scoring = session.score_many(asked, labels)
    first = next(scoring)
    scoring.close()
    assert next(session.score_many(asked[:1], labels)) == [pytest.approx(row, abs=5e-4) for row in first]
    mixed = list(session.score_many([asked[0], [Message("user", "word " * 20_000)], asked[1]], labels))
    assert [isinstance(rows, InputTooLong) for rows in mixed] == [False, True, False]
    alone = list(session.score_many([[Message("user", "word " * 20_000)]], labels))
    assert isinstance(alone[0], InputTooLong)


def test_scoring_that_another_prompt_interrupts_goes_on_right(session: Session) -> None:
    labels, asked, other = ["yes", "no"], several(40), [Message("user", "另一个问题 " * 30)]
    alone = [session.score(messages, labels) for messages in asked]
    scoring = session.score_many(asked, labels)
    found = [next(scoring)]
    for rows in scoring:
        found.append(rows)
        session.score(other, labels)
    for rows, twins in zip(found, alone, strict=True):
        assert rows == [pytest.approx(twin, abs=5e-4) for twin in twins]
    left_open = session.score_many(asked, labels)
    next(left_open)
    session.score(other, labels)
    left_open.close()
    assert session.score(asked[0], labels) == [pytest.approx(twin, abs=5e-4) for twin in alone[0]]


def test_a_reply_ends_when_it_is_enough(session: Session) -> None:
    sampling = SamplingConfig(temperature=0, max_tokens=20)
    whole = [joined(session.stream(messages, sampling)) for messages in several(3)]
    chunks = list(session.stream(several(3)[0], sampling, enough=lambda text: len(text) >= 10))
    assert chunks[-1].finish_reason == "stop"
    assert len(joined(chunks)) < len(whole[0])
    assert whole[0].startswith(joined(chunks))
    said = [""] * 3
    for index, chunk in session.stream_many(several(3), sampling, enough=lambda text: len(text) >= 10):
        assert isinstance(chunk, Chunk)
        said[index] += chunk.text
    assert said[0] == joined(chunks)
    assert all(text.startswith(part) and len(part) >= 10 for text, part in zip(whole, said, strict=True))


def test_what_fills_the_context_to_its_last_token_is_scored_together_as_it_is_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, asked = ["yes", "no"], several(3)
    scored = session.score(asked[2], labels)
    full = session.count_messages(asked[2]) + max(map(len, scored))
    monkeypatch.setattr(session, "context", full)
    for rows in (session.score(asked[2], labels), list(session.score_many(asked, labels))[2]):
        assert rows == [pytest.approx(row, abs=5e-4) for row in scored]
    monkeypatch.setattr(session, "context", full - 1)
    with pytest.raises(InputTooLong):
        session.score(asked[2], labels)
    assert [isinstance(rows, InputTooLong) for rows in session.score_many(asked, labels)] == [False, False, True]
