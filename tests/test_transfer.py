"""Conversations that leave and come in: round trips of ours, and the trees of ChatGPT's exports."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from tiny_models import start

from engine.errors import InputError
from tui import transfer
from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def test_half_an_emoji_does_not_keep_a_conversation_out(store: Store) -> None:
    text = '{"role": "user", "content": "cut \\ud83d"}'
    (incoming,) = transfer.read(f'{{"format": 1, "title": "a \\ud83d", "messages": [{text}]}}', "x.json")
    again = store.kept(transfer.put(store, incoming))
    assert (again.title, store.shown(again.id)[0].text) == ("a �", "cut �")


def test_a_tree_comes_back_as_it_left(store: Store) -> None:
    conversation = store.create("电池", system="简短", model="tiny", at=1e9)
    question = store.add(conversation, None, "user", "为什么？", documents=[("笔记.txt", "内容")], at=1e9)
    first = store.add(conversation, question, "assistant", "一", finish="stop", facts={"seed": 1}, at=1e9)
    store.add(conversation, question, "assistant", "二", finish="length", at=1e9)
    store.choose(conversation, question, first)
    exported = transfer.to_json(store.kept(conversation), store.messages(conversation))
    (incoming,) = transfer.read(json.dumps([exported]), "x.json")
    again = store.kept(transfer.put(store, incoming))
    assert (again.title, again.system, again.model, again.created) == ("电池", "简短", "tiny", 1e9)
    entries = store.messages(again.id)
    assert [(e.role, e.text, e.finish, e.documents) for e in entries] == [
        ("user", "为什么？", None, (("笔记.txt", "内容"),)), ("assistant", "一", "stop", ()),
        ("assistant", "二", "length", ()),
    ]  # fmt: skip
    assert entries[1].facts == {"seed": 1}
    assert [entry.text for entry in store.shown(again.id)] == ["为什么？", "一"]


def test_a_title_that_was_given_and_a_pin_come_back_too(store: Store) -> None:
    given, other = store.create("why?"), store.create("why?")
    for conversation in (given, other):
        store.add(conversation, None, "user", "why?")
    store.rename(given, "Batteries")
    store.pin(given)
    exported = [transfer.to_json(store.kept(each), store.messages(each)) for each in (given, other)]
    again = [store.kept(transfer.put(store, each)) for each in transfer.read(json.dumps(exported), "x.json")]
    assert [(kept.title, kept.named, kept.pinned) for kept in again] == [
        ("Batteries", True, True), ("why?", False, False)
    ]  # fmt: skip


@pytest.mark.parametrize("at", [-62135596800, 253402300799, 1e300, float("nan"), "yesterday", True])
def test_a_time_that_no_calendar_has_hides_no_conversation(store: Store, at: Any) -> None:
    mapping = {"q": item("q", None, [], "user", "why?", create_time=at)}
    export = json.dumps([{"title": "a\n\tb " + "c" * 1000, "create_time": at, "mapping": mapping}])
    (incoming,) = transfer.read(export, "conversations.json")
    kept = store.kept(transfer.put(store, incoming))
    assert transfer.to_markdown(kept, store.shown(kept.id)).startswith("# a b ccc")
    assert len(kept.title) == 200


def test_markdown_shows_the_path_with_names_of_documents(store: Store) -> None:
    conversation = store.create("t", system="be\nbrief")
    question = store.add(conversation, None, "user", "why?", documents=[("notes.txt", "secret text")])
    store.add(conversation, question, "assistant", "because", finish="stop")
    text = transfer.to_markdown(store.kept(conversation), store.shown(conversation))
    assert "> be\n> brief" in text
    assert "## You\n\n*notes.txt*\n\nwhy?" in text
    assert text.endswith("## Model\n\nbecause\n")
    assert "secret text" not in text


def test_what_slash_save_wrote_comes_in(store: Store) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    text = json.dumps({"format": 1, "model": "m", "system": None, "messages": turns})
    (incoming,) = transfer.read(text, "x")
    shown = store.shown(transfer.put(store, incoming))
    assert [entry.text for entry in shown] == ["hi", "hello"]


def item(key: str, parent: str | None, children: list[str], role: str = "", *parts: Any, **more: Any) -> dict[str, Any]:
    message = {"author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}, **more}
    return {"id": key, "parent": parent, "children": children, "message": message if role else None}


def test_the_branches_of_a_chatgpt_export_come_in_and_its_hidden_messages_do_not(store: Store) -> None:
    mapping = {
        "root": item("root", None, ["sys"]),
        "sys": item("sys", "root", ["q"], "system", ""),
        "q": item("q", "sys", ["a1", "a2"], "user", "问题", create_time=1.5e9),
        "a1": item("a1", "q", [], "assistant", "old answer"),
        "a2": item("a2", "q", ["tool"], "assistant", "first half"),
        "tool": item("tool", "a2", ["a3"], "tool", "noise"),
        "a3": item("a3", "tool", ["q2"], "assistant", "second half", {"asset": "an image"}),
        "q2": item("q2", "a3", ["h"], "user", "and?"),
        "h": item("h", "q2", [], "user", "hidden", metadata={"is_visually_hidden_from_conversation": True}),
    }
    export = [{"title": "T", "create_time": 1.5e9, "mapping": mapping, "current_node": "h"}]
    (incoming,) = transfer.read(json.dumps(export), "conversations.json")
    conversation = transfer.put(store, incoming)
    assert [e.text for e in store.shown(conversation)] == ["问题", "first half\n\nsecond half", "and?"]
    assert sorted(e.text for e in store.messages(conversation)) == sorted(
        ["问题", "old answer", "first half\n\nsecond half", "and?"]
    )
    assert store.kept(conversation).created == 1.5e9
    assert {(e.role, e.finish) for e in store.messages(conversation)} == {("user", None), ("assistant", "stop")}


def test_two_ways_to_go_on_with_an_answer_stay_two(store: Store) -> None:
    mapping = {
        "q": item("q", None, ["a"], "user", "why?"),
        "a": item("a", "q", ["b", "c"], "assistant", "because"),
        "b": item("b", "a", [], "assistant", "of this"),
        "c": item("c", "a", [], "assistant", "of that"),
    }
    (incoming,) = transfer.read(json.dumps([{"mapping": mapping, "current_node": "b"}]), "conversations.json")
    conversation = transfer.put(store, incoming)
    assert [e.text for e in store.shown(conversation)] == ["why?", "because", "of this"]
    assert [e.text for e in store.messages(conversation)] == ["why?", "because", "of this", "of that"]


def test_a_message_that_its_parent_does_not_name_and_what_was_spoken_are_not_lost(store: Store) -> None:
    spoken = {"content_type": "audio_transcription", "text": "spoken question"}
    mapping = {
        "q": item("q", "of another export", [], "user", spoken, {"content_type": "audio_asset_pointer"}),
        "nobody": {"parent": "q", "message": {"content": {"parts": ["by nobody"]}}},
        "a": {
            "parent": "nobody",
            "children": None,
            "message": item("a", None, [], "assistant", "the answer")["message"],
        },
    }
    (incoming,) = transfer.read(json.dumps([{"mapping": mapping, "current_node": "a"}]), "conversations.json")
    shown = store.shown(transfer.put(store, incoming))
    assert [entry.text for entry in shown] == ["spoken question", "the answer"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (None, "expected a JSON object, got null"),
        ({"title": "x"}, "expected a field 'format'"),
        ({"mapping": []}, "expected a JSON object, got []"),
        ({"title": 5, "mapping": {}}, "expected a text, got 5"),
        ({"mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}}}, "messages hang below each other in a ring"),
        ({"format": 1, "messages": {"a": 1}}, 'expected a list, got {"a": 1}'),
        ({"format": 1, "messages": [{"role": "bot", "content": ""}]}, 'expected user or assistant, got "bot"'),
    ],
)
def test_which_conversation_can_not_be_taken_in_is_said_and_why(row: Any, why: str) -> None:
    with pytest.raises(InputError) as caught:
        transfer.read(json.dumps([{"mapping": {}}, row]), "x.json")
    assert caught.value.message == f"x.json, conversation 2 can't be taken in: {why}"


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "7", "nonsense", '{"format": 2, "messages": []}',
        '{"format": 1, "messages": [{"role": "bot"}]}',
        '{"format": 1, "messages": [{"role": "user", "content": 7}]}', '[{"mapping": 3}]', '[{"mapping": {"a": 1}}]',
        '{"format": 1, "messages": [{"id": 1, "parent": 9, "role": "user", "text": "x"}]}',
        '[{"mapping": {"a": {"parent": null, "children": ["a"]}}}]', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        transfer.read(text, "x.json")


TWO = [{"format": 1, "messages": [{"role": "user", "content": word}]} for word in ("first zebra", "second zebra")]


def test_several_come_in_together_or_not_at_all(store: Store) -> None:
    first, second = transfer.read(json.dumps(TWO), "two.json")
    second.nodes[0].parent = "nowhere"

    def both() -> list[int]:
        with store.together():
            return [transfer.put(store, incoming) for incoming in (first, second)]

    with pytest.raises(KeyError):
        both()
    assert store.recent() == []
    assert store.search("zebra") == []
    second.nodes[0].parent = None
    ids = both()
    assert {kept.id for kept in store.recent()} == set(ids)
    assert len(store.search("zebra")) == 2


IMPORTER = """
import json, sys, time
from pathlib import Path
from tui import transfer
from tui.store import Store
store = Store(Path(sys.argv[1]))
with store.together():
    for incoming in transfer.read(sys.argv[2], "two.json"):
        transfer.put(store, incoming)
    print("both are put", flush=True)
    time.sleep(600)
"""


def test_a_process_killed_while_it_imports_has_imported_nothing(tmp_path: Path) -> None:
    child = start(IMPORTER, tmp_path / "app.db", json.dumps(TWO))
    assert child.stdout
    assert child.stdout.readline() == "both are put\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with Store(tmp_path / "app.db") as store:
        assert store.recent() == []
        assert store.search("zebra") == []
