"""A conversation: its turns, and that a kept one comes back or is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.errors import InputError, UsageError
from engine.schema import Document
from tui.chat_file import export, file_name, from_json, kept, place_of, save, to_json, to_markdown
from tui.talk import Talk


def talk() -> Talk:
    talk = Talk("be brief")
    talk.begin_answer(talk.ask("你好", [Document("a.txt", "text of a")]), "Hello")
    talk.begin_answer(talk.ask("more"), "other")
    talk.begin_answer(talk.question_of(talk.tip), "and more")
    return talk


def test_a_kept_conversation_comes_back_whole(tmp_path: Path) -> None:
    path = place_of("first talk", tmp_path)
    save(talk(), "tiny", path)
    assert kept(tmp_path) == ["first talk"]
    found = from_json(path.read_text("utf-8"), "x")
    assert found.messages() == talk().messages()
    assert [(turn.role, turn.finish) for turn in found.path] == [("user", None), ("assistant", "stop")] * 2


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
    data = json.loads(to_json(talk(), "tiny")) | change
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

    assert place_of("conversation.json", tmp_path) == Path("conversation.json")
    assert place_of("~/here", tmp_path) == Path.home() / "here"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A Fox: a tale", "A Fox a tale.md"),
        ("锂电池/为什么?", "锂电池 为什么.md"),
        ("../../etc/passwd", "etc passwd.md"),
        ("", "chat.md"),
        (" ... ", "chat.md"),
        ("x" * 59 + " y" * 9, "x" * 59 + ".md"),
    ],
)
def test_an_export_is_named_after_the_title(title: str, name: str) -> None:
    assert file_name(title) == name


def test_kept_ones_are_listed_from_the_newest_on(tmp_path: Path) -> None:
    for name, at in (("b.json", 2), ("a.json", 1), ("c.json", 3), ("other.md", 4)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (at, at))
    assert kept(tmp_path) == ["c", "b", "a"]
    assert kept(tmp_path / "none") == []


def test_an_export_is_what_its_ending_says(tmp_path: Path) -> None:
    for name, text in (("x.json", to_json(talk(), "tiny")), ("x.md", to_markdown(talk())), ("x", to_markdown(talk()))):
        export(talk(), "tiny", tmp_path / name)
        assert (tmp_path / name).read_text("utf-8") == text


def test_the_markdown_holds_both_sides() -> None:
    text = to_markdown(talk())
    assert "> be brief" in text
    assert not text.startswith("#")
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## You", "## Model"] * 2
    assert text.index("text of a") < text.index("你好") < text.index("Hello") < text.index("and more")
    assert "other" not in text
