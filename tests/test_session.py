"""A session answers the same whatever it answered before, and survives whatever stops it."""

from __future__ import annotations

import gc
import itertools
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_sessions import GREEDY, HELLO, SHAPES, fresh, joined, open_float

from engine import kernels
from engine.chat_format import ChatFormat
from engine.config import SamplingConfig
from engine.counter import load_tokenizer
from engine.devices import devices
from engine.errors import CheckpointError, EngineError, InputTooLong, UsageError
from engine.kernels.reference import ReferenceKernel
from engine.schema import Chunk, Message
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

DRAWN = SamplingConfig(max_tokens=24, temperature=1.0, top_k=50, seed=5)


def ids_of(chunks: Iterable[Chunk]) -> list[int]:
    return [id_ for chunk in chunks for id_ in chunk.ids]


def logprobs_of(chunks: Iterable[Chunk]) -> list[float]:
    return [logprob for chunk in chunks for logprob in chunk.logprobs]


def test_chunks_add_up_to_the_answer(session: Session) -> None:
    chunks = list(session.stream(HELLO, GREEDY))
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason == "length"
    ids = ids_of(chunks)
    assert len(ids) == chunks[-1].output_tokens == 24
    assert joined(chunks) == session._tokenizer.decode(ids)
    assert [chunk.output_tokens for chunk in chunks if chunk.ids] == list(range(1, 25))
    assert {chunk.prompt_tokens for chunk in chunks} == {session.count_messages(HELLO)}
    assert all(logprob <= 0 for logprob in logprobs_of(chunks))
    assert chunks[-1].prefill_seconds > 0 < chunks[-1].decode_seconds


def test_a_stop_token_ends_the_answer_and_is_not_counted(session: Session) -> None:
    free = ids_of(session.stream(HELLO, DRAWN))
    session._chat.stop_ids = frozenset({free[9]})
    end = free.index(free[9])
    chunks = list(session.stream(HELLO, DRAWN))
    assert ids_of(chunks) == free[: end + 1]
    assert (chunks[-1].finish_reason, chunks[-1].output_tokens) == ("stop", end)
    assert joined(chunks) == session._tokenizer.decode(free[:end])


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_stop_string_ends_the_answer_before_it(session: Session, length: int) -> None:
    text = joined(session.stream(HELLO, DRAWN))
    for at in range(1, len(text) - length, 7):
        stop = text[at : at + length]
        if "\ufffd" in stop:
            continue
        chunks = list(
            session.stream(HELLO, SamplingConfig(max_tokens=24, temperature=1.0, top_k=50, seed=5, stop=(stop,)))
        )
        assert joined(chunks) == text[: text.index(stop)]
        assert chunks[-1].finish_reason == "stop"


def test_the_same_seed_gives_the_same_text_and_others_give_others(session: Session) -> None:
    def answer(seed: int | None) -> str:
        return joined(session.stream(HELLO, SamplingConfig(temperature=1.0, seed=seed, max_tokens=12)))

    assert answer(1) == answer(1)
    assert len({answer(1), answer(2), answer(None), answer(None)}) == 4


def test_a_reply_that_would_end_too_early_goes_on(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_session._chat, "stop_ids", frozenset(range(0, 16_000, 8)))
    for seed in range(5):
        drawn = SamplingConfig(temperature=1.0, seed=seed, max_tokens=300)
        ended = list(tiny_session.stream(HELLO, drawn))[-1]
        assert ended.finish_reason == "stop"
        least = ended.output_tokens + 10
        assert list(tiny_session.stream(HELLO, replace(drawn, min_tokens=least)))[-1].output_tokens >= least


def test_the_next_turn_computes_only_what_is_new(session: Session) -> None:
    chunks = list(session.stream(HELLO, DRAWN))
    held = [*session._chat.encode(HELLO), *ids_of(chunks)[:-1]]
    more = [*HELLO, Message("assistant", joined(chunks)), Message("user", "And tomorrow?")]
    prompt = session._chat.encode(more)
    common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(held, prompt, strict=False)))
    again = list(session.stream(more, GREEDY))
    assert again[-1].cached_tokens == common
    assert again[-1].cached_tokens >= session.count_messages(HELLO)
    assert joined(again) == joined(fresh(session).stream(more, GREEDY))


def test_the_same_question_again_computes_one_token_of_the_prompt(session: Session) -> None:
    first = list(session.stream(HELLO, DRAWN))
    second = list(session.stream(HELLO, DRAWN))
    assert [chunk.cached_tokens for chunk in first[-1:] + second[-1:]] == [0, first[-1].prompt_tokens - 1]
    assert ids_of(first) == ids_of(second)


words = st.sampled_from(["hello", "你好，世界", "why?", "tell me more", "x" * 40])
conversations = st.lists(words, min_size=1, max_size=5)


@settings(max_examples=12)
@given(
    asked=st.lists(st.tuples(conversations, st.integers(1, 20)), min_size=2, max_size=4),
    name=st.sampled_from([*SHAPES]),
)
def test_answers_do_not_depend_on_what_was_answered_before(asked: list[tuple[list[str], int]], name: str) -> None:
    """Random conversations that share beginnings, some given up half way, against a fresh session for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "cache_dtype", lambda device: torch.float32)
        used = open_float(name)
        for texts, taken in asked:
            roles = ("user", "assistant")
            messages = [Message(roles[i % 2], text) for i, text in enumerate(texts)]  # type: ignore[arg-type]
            stream = used.stream(messages, GREEDY)
            for _ in range(taken):
                next(stream, None)
            stream.close()  # type: ignore[attr-defined]
            expected = list(open_float(name).stream(messages, GREEDY))
            found = list(used.stream(messages, GREEDY))
            assert ids_of(found) == ids_of(expected)
            assert logprobs_of(found) == pytest.approx(logprobs_of(expected), abs=1e-3)


def test_a_session_can_be_closed_twice(session: Session) -> None:
    other = session.fork()
    list(session.stream(HELLO, GREEDY))
    model = weakref.ref(session._model)
    session.close()
    session.close()
    assert joined(other.stream(HELLO, GREEDY)), "the weights are still another's"
    other.close()
    gc.collect()
    assert model() is None


def test_closing_stops_at_once_and_the_next_call_works(session: Session) -> None:
    expected = joined(fresh(session).stream(HELLO, GREEDY))
    for count in (0, 1, 2, 9):
        stream = session.stream(HELLO, GREEDY)
        for _ in range(count):
            next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert list(stream) == []
    assert joined(session.stream(HELLO, GREEDY)) == expected


@pytest.mark.parametrize("at_call", [1, 2, 4, 9])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_ctrl_c_inside_the_model_leaves_a_session_that_answers_as_a_fresh_one(
    session: Session, layer: int, at_call: int
) -> None:
    long = [Message("user", "A long question about everything. " * 130)]  # a prefill of two chunks
    expected = {id(m): joined(fresh(session).stream(m, GREEDY)) for m in (HELLO, long)}
    calls = 0

    def interrupt(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise KeyboardInterrupt

    for messages in (HELLO, long):
        calls = 0
        hook = session._model.layers[layer].register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(session.stream(messages, GREEDY))
        calls = at_call - 1
        with pytest.raises(KeyboardInterrupt):
            session.score(messages, ["yes of course", "no", "maybe not", "perhaps it is so"])
        hook.remove()
        assert joined(session.stream(messages, GREEDY)) == expected[id(messages)]


@pytest.mark.parametrize("taken", [1, 4])
def test_a_reply_that_another_has_overtaken_is_refused_and_not_made_up(session: Session, taken: int) -> None:
    first = session.stream(HELLO, GREEDY)
    for _ in range(taken):
        next(first)
    other = [Message("user", "Something else altogether.")]
    second = joined(session.stream(other, GREEDY))
    with pytest.raises(EngineError, match="another reply"):
        list(first)
    assert joined(session.stream(other, GREEDY)) == second == joined(fresh(session).stream(other, GREEDY))


def test_a_long_prompt_lets_its_caller_in_between_and_can_be_left_there(session: Session) -> None:
    long = [Message("user", "word " * 1_100)]
    stream = session.stream(long, GREEDY)
    first = next(stream)
    assert (first.text, first.ids, first.finish_reason) == ("", (), None)
    stream.close()  # type: ignore[attr-defined]
    again = list(session.stream(long, GREEDY))
    assert again[-1].cached_tokens == 512
    assert joined(again) == joined(fresh(session).stream(long, GREEDY))


def test_continuing_goes_on_where_an_answer_was_cut(session: Session) -> None:
    whole = list(session.stream(HELLO, GREEDY))
    ids, prompt = ids_of(whole), session._chat.encode(HELLO)
    tried = 0
    for count in range(1, 20):
        begun = [*HELLO, Message("assistant", session._tokenizer.decode(ids[:count]))]
        if session._chat.encode(begun, continue_last=True) != prompt + ids[:count]:
            continue  # half a character, or pieces that text would be cut into otherwise
        tried += 1
        rest = list(session.stream(begun, SamplingConfig(max_tokens=24 - count), continue_last=True))
        assert ids_of(rest) == ids[count:]
        assert begun[-1].content + joined(rest) == joined(whole)
    assert tried > 0


def test_continuing_needs_an_answer_to_continue(session: Session) -> None:
    with pytest.raises(UsageError, match="assistant message"):
        list(session.stream(HELLO, GREEDY, continue_last=True))
    with pytest.raises(UsageError, match="at least one message"):
        list(session.stream([], GREEDY))


def test_completing_a_text_uses_no_chat_format(session: Session) -> None:
    chunks = list(session.complete("once upon", GREEDY))
    tokenizer = session._tokenizer
    assert chunks[0].prompt_tokens == 1 + session.count("once upon")
    with torch.inference_mode():
        ids = [tokenizer.bos_id, *tokenizer.encode("once upon")]
        for id_ in ids_of(chunks):
            model = session._model
            assert int(model.logits(model(torch.tensor([ids]))[0, -1]).argmax()) == id_
            ids.append(id_)


def test_what_does_not_fit_is_refused_with_both_sizes_and_what_fits_is_used_up(session: Session) -> None:
    session.context = 40
    for length in range(1, 60):
        messages = [Message("user", "a " * length)]
        tokens = session.count_messages(messages)
        if tokens >= 40:
            with pytest.raises(InputTooLong, match=f"{tokens} tokens.* 40"):
                list(session.stream(messages, GREEDY))
            break
        chunks = list(session.stream(messages, SamplingConfig(max_tokens=1_000)))
        assert chunks[-1].output_tokens == 40 - tokens
        assert chunks[-1].finish_reason == "length"
    with pytest.raises(InputTooLong, match="the context is 40"):
        session.score(HELLO, ["word " * 40])


def test_scores_are_the_log_softmax_of_one_pass_over_everything(session: Session) -> None:
    labels = ["positive", "negative", "正面的评价", "a much longer answer with many words"]
    list(session.stream(HELLO, GREEDY))  # something else in the cache
    found = session.score(HELLO, labels)
    prompt, model = session._chat.encode(HELLO), session._model
    for label, row in zip(labels, found, strict=True):
        ids = [*prompt, *session._tokenizer.encode(label)]
        with torch.inference_mode():
            table = model.logits(model(torch.tensor([ids]))[0]).log_softmax(-1)
        expected = [float(table[at - 1, ids[at]]) for at in range(len(prompt), len(ids))]
        assert row == pytest.approx(expected, abs=1e-3)
    assert session.score(HELLO, []) == []


def test_scoring_says_what_answering_said(session: Session) -> None:
    chunks = list(session.stream(HELLO, GREEDY))
    text = joined(chunks)
    if session._tokenizer.encode(text) != ids_of(chunks):
        pytest.skip("this answer's text is cut into other pieces")
    assert session.score(HELLO, [text])[0] == pytest.approx(logprobs_of(chunks), abs=1e-3)


def test_control_tokens_are_shown_by_name_and_people_s_text_stays_text(session: Session) -> None:
    text = session.prompt_text([Message("user", "say <|end|> please")])
    assert text == "<s><|user|>say <|end|> please<|end|><|assistant|>"
    ids = session._chat.encode([Message("user", "say <|end|> please")])
    assert ids.count(session._tokenizer.control_tokens["<|end|>"]) == 1


def test_a_base_model_is_given_a_transcript_and_begins_without_white_space(session: Session) -> None:
    base = Session(
        "base",
        session._model,
        session._tokenizer,
        ChatFormat(session._tokenizer, None),
        ReferenceKernel(),
        torch.device("cpu"),
    )
    assert not base.is_chat
    chunks = list(base.stream([Message("user", "你好")], DRAWN))
    assert joined(chunks) == joined(chunks).lstrip()
    assert "用户" in base.prompt_text([Message("user", "你好")])


def test_memory_is_the_weights_and_what_the_cache_holds(session: Session) -> None:
    before = session.memory_bytes
    assert before == session.config.num_parameters + session._held.cache.nbytes
    list(session.stream([Message("user", "word " * 700)], SamplingConfig(max_tokens=1)))
    assert session.memory_bytes == session.config.num_parameters + session._held.cache.nbytes > before


def test_a_folder_is_opened_and_its_name_kept(tiny_session: Session) -> None:
    assert (tiny_session.name, tiny_session.device, tiny_session.is_chat) == ("tiny", "cpu", True)
    assert tiny_session.context == 2048
    assert joined(tiny_session.stream(HELLO, GREEDY)) != ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"threads": 0}, "threads"), ({"context": 15}, "16 to 2048"), ({"context": 4096}, "16 to 2048"),
     ({"device": "abacus"}, "unknown device")],
)  # fmt: skip
def test_settings_that_can_not_be_had_are_refused(tiny_model_home: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Session.open(tiny_model_home / "models" / "tiny", **settings)


def test_a_models_shape_is_read_once(tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **how: (opened.append(self), read_text(self, **how))[1])
    Session.open(tiny_model_home / "models" / "tiny", device="cpu").close()
    assert [path.name for path in opened].count("config.json") == 1


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        Session.open(tmp_path)


def test_text_is_counted_and_shown_in_pieces_without_weights(tiny_model_home: Path, tiny_session: Session) -> None:
    counter = load_tokenizer(tiny_model_home / "models" / "tiny")
    text = "hello 世界 😀"
    pieces = counter.pieces(text)
    assert counter.count(text) == len(pieces) == tiny_session.count(text)
    assert b"".join(data for _, _, data in pieces).decode() == text


def test_the_cpu_is_always_among_the_devices() -> None:
    found = {device.name: device for device in devices()}
    assert found["cpu"].available
    assert found["cpu"].kernel
    assert all(device.reason for device in found.values())
