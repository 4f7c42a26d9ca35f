"""Rows to learn from: what is read and what is refused by its line; as tokens, and which of them count."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
import toy_chats
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_chats import TEMPLATES, chat_format

import tokenizer_models
from engine.chat_format import ChatFormat
from engine.errors import InputError
from engine.schema import Document, Message
from engine.tokenizer import Tokenizer
from engine.tokenizer_config import MODEL_FILE, DummyPrefix, TokenizerConfig
from engine.training import rows

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["one", " two\n", "三", "<|im_end|>", "</s>", "<think>\n\n</think>\n\n", "\ufdd0", "", "  ", "end|>"]
ENDS = {"qwen": "<|im_end|>", "smollm": "<|im_end|>", "llama3": "<|eot_id|>", "gemma": "<end_of_turn>"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, folder = (tmp_path_factory.mktemp(name) for name in ("source", "model"))
    toy_chats.write(source, folder)
    return folder


@cache
def own(dummy_prefix: DummyPrefix = "none") -> tuple[ChatFormat, Tokenizer]:
    """The project's own template and vocabulary, with another model's rule for the space before a text."""
    folder = tokenizer_models.path()
    config = replace(TokenizerConfig.load(folder), dummy_prefix=dummy_prefix)
    tokenizer = Tokenizer((folder / MODEL_FILE).read_bytes(), config)
    return ChatFormat.load(folder, tokenizer), tokenizer


def slowly(conversation: rows.Conversation, chat: ChatFormat, tokenizer: Tokenizer, end: int) -> rows.Encoded:
    """What `rows.encode` gives, with every turn's prompt rendered and tokenized by itself."""
    messages = conversation.messages
    turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
    ids = [*chat.encode(messages[: turns[-1]]), *tokenizer.encode(messages[-1].content), end]
    learnt: list[int] = []
    for at in turns if conversation.every else turns[-1:]:
        start = len(chat.encode(messages[:at]))
        reply = [*tokenizer.encode(messages[at].content), end]
        if ids[start : start + len(reply)] == reply:
            learnt += range(start, start + len(reply))
    return rows.Encoded(tuple(ids), tuple(learnt))


def conversation(said: list[str], *, system: bool, every: bool) -> rows.Conversation:
    """Questions and answers in turn, the last an answer."""
    opening = [Message("system", "Be brief. 简短。")] * system
    turns = [Message("assistant" if n % 2 else "user", text) for n, text in enumerate(said[: len(said) // 2 * 2])]
    return rows.Conversation((*opening, *turns), every)


ANY = st.builds(
    conversation,
    st.lists(st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=4).map("".join), min_size=2, max_size=14),
    system=st.booleans(),
    every=st.booleans(),
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"messages": []}', "assistant"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "assistant"),
        ('{"messages": [{"role": "bot", "content": "x"}]}', "role"),
        ('{"messages": [{"role": "assistant", "content": 7}]}', "content"),
        ('{"text": "x", "label": "odd"}', "odd"),
        ('{"text": "x", "label": "odd"}', "label should be one of positive, negative, neutral, is 'odd'"),
        ('{"text": 7, "label": "positive"}', "text should be a text, is 7"),
        ('{"instruction": "2 + 2?", "response": 4}', "response should be a text, is 4"),
        ('{"instruction": "x", "context": ["y"], "response": "z"}', "context should be a text, is ['y']"),
        ('{"question": "x"}', "text"),
        ('{"prompt": "x", "completion": "y"}', "messages, instruction or text, got prompt, completion"),
        ("7", "object"),
        ("{", "line 2"),
        ("text,label", "no JSON: Expecting value (character 1)"),
        ('{"messages": ' + "[" * 100_000, "nested too deeply"),
        ('{"messages": "hello"}', "messages should be a list, is 'hello'"),
        ('{"messages": null}', "messages should be a list, is None"),
        ('{"messages": ["hello"]}', "a message should be an object, is 'hello'"),
        ('{"messages": [{"role": ["user"], "content": "x"}]}', "role"),
        ('{"messages": [{"role": "assistant", "content": "x"}], "train": ["all"]}', "train should be last or all"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "answers nothing"),
        ('{"messages": [{"role": "assistant", "content": "x"}], "train": "some"}', "train"),
    ],
)
def test_a_bad_row_is_named_by_its_line(line: str, said: str) -> None:
    good = '{"instruction": "a", "response": "b"}'
    with pytest.raises(InputError, match="line 2") as caught:
        rows.read(Document("x.jsonl", f"{good}\n{line}\n"))
    assert said in str(caught.value)


def test_a_row_that_no_tokens_can_be_made_of_is_named_by_its_line() -> None:
    chat, tokenizer = own()
    text = '{"instruction": "a", "response": "b"}\n{"instruction": "\\ud800", "response": "b"}\n'
    fine, half = rows.read(Document("x.jsonl", text))
    end = rows.end_of_turn(chat, tokenizer)
    assert rows.encode(fine, chat, tokenizer, end).learnt
    with pytest.raises(InputError, match=r"x\.jsonl, line 2: .*surrogate"):
        rows.encode(half, chat, tokenizer, end)


def test_a_line_separator_inside_a_string_ends_no_row() -> None:
    row = json.dumps({"instruction": "a\u2028b\x85c", "response": "d"}, ensure_ascii=False)
    (read,) = rows.read(Document("x.jsonl", f"{row}\n"))
    assert "a\u2028b\x85c" in read.messages[0].content


@pytest.mark.parametrize("family", TEMPLATES)
@given(row=ANY)
@settings(max_examples=40)
def test_the_tokens_are_those_of_every_turn_by_itself(folder: Path, family: str, row: rows.Conversation) -> None:
    chat, tokenizer = chat_format(folder, TEMPLATES[family])
    end = tokenizer.control_tokens[ENDS.get(family, "</s>")]
    assert rows.encode(row, chat, tokenizer, end) == slowly(row, chat, tokenizer, end)


@pytest.mark.parametrize("scheme", ["first", "always"])
@given(row=ANY)
@settings(max_examples=40)
def test_so_they_are_with_a_space_before_the_first_word_or_every_run(
    scheme: DummyPrefix, row: rows.Conversation
) -> None:
    chat, tokenizer = own(scheme)
    end = rows.end_of_turn(chat, tokenizer)
    assert rows.encode(row, chat, tokenizer, end) == slowly(row, chat, tokenizer, end)


def test_a_row_of_many_turns_takes_little_more_than_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    chat, tokenizer = own.__wrapped__()  # one that nobody else has
    merged: list[str] = []
    whole = tokenizer._merge
    monkeypatch.setattr(tokenizer, "_merge", lambda text: merged.append(text) or whole(text))
    row = conversation([f"word {n} " * 20 for n in range(40)], system=True, every=True)
    encoded = rows.encode(row, chat, tokenizer, rows.end_of_turn(chat, tokenizer))
    assert len(encoded.learnt) > len(encoded.ids) / 3
    # The words of a question once; those of an answer as a prompt's part, and as what is drawn.
    assert sum(map(len, merged)) < 2 * sum(len(message.content) for message in row.messages)


@pytest.mark.parametrize(("every", "said"), [(False, "dos."), (True, "uno.dos.")])
def test_the_turns_that_count_are_those_that_were_asked_for(every: bool, said: str) -> None:
    chat, tokenizer = own()
    end = rows.end_of_turn(chat, tokenizer)
    row = rows.encode(conversation(["one", "uno", "two", "dos"], system=False, every=every), chat, tokenizer, end)
    learnt = ["." if row.ids[place] == end else tokenizer.decode([row.ids[place]]) for place in row.learnt]
    assert "".join(learnt).replace(" ", "") == said
