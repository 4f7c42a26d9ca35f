"""A conversation: its turns, and that a kept one comes back or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import InputError, UsageError
from engine.schema import Document, Message
from tui.cli.conversation import Conversation, from_json, kept, place_of, save


def talk() -> Conversation:
    conversation = Conversation("be brief")
    conversation.ask("你好")
    conversation.answer("Hello")
    conversation.ask("more")
    conversation.answer("and ")
    conversation.answer("more", continued=True)
    return conversation


def test_the_system_prompt_comes_first_and_answers_are_continued_in_place() -> None:
    messages = talk().messages()
    assert messages[0] == Message("system", "be brief")
    assert [message.content for message in messages[1:]] == ["你好", "Hello", "more", "and more"]


def test_documents_go_with_the_next_question_only() -> None:
    conversation = Conversation(pending=[Document("a.txt", "text of a")])
    conversation.ask("what?")
    conversation.answer("that")
    conversation.ask("and?")
    assert '<document name="a.txt">\ntext of a\n</document>' in conversation.turns[0].content
    assert conversation.turns[0].content.endswith("what?")
    assert conversation.turns[2].content == "and?"


def test_undo_takes_back_question_and_answer() -> None:
    conversation = talk()
    assert conversation.drop_question() == "more"
    assert conversation.drop_question() == "你好"
    with pytest.raises(UsageError):
        conversation.drop_question()


def test_answers_are_counted_from_the_newest() -> None:
    assert talk().answers() == ["and more", "Hello"]


def test_a_kept_conversation_comes_back_whole(tmp_path: Path) -> None:
    path = place_of("first talk", tmp_path)
    save(talk(), "tiny", path)
    assert kept(tmp_path) == ["first talk"]
    assert from_json(path.read_text("utf-8"), "x") == talk()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"messages": None},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": ["x"]},
        {"system": 1},
    ],
    ids=str,
)
def test_what_is_no_conversation_is_refused(change: dict[str, object]) -> None:
    data = json.loads(talk().to_json("tiny")) | change
    with pytest.raises(InputError, match="strange"):
        from_json(json.dumps(data), "strange")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        from_json(text, "x")


def test_names_stay_in_their_folder_and_paths_stay_paths(tmp_path: Path) -> None:
    assert place_of("我的 chat", tmp_path) == tmp_path / "我的 chat.json"
    assert place_of("./here.json", tmp_path) == Path("here.json")
    with pytest.raises(UsageError):
        place_of("..", tmp_path)


def test_the_markdown_holds_both_sides() -> None:
    text = talk().to_markdown()
    assert "> be brief" in text
    assert text.index("你好") < text.index("Hello") < text.index("and more")
