"""The history: trees that hold, searches that find, deletions that delete, and what is left by a killed process."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.database import StoreError
from engine.errors import UsageError
from engine.words import excerpt
from tui import store as module
from tui.records import title_of
from tui.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "data" / "app.db") as opened:
        yield opened


def exchange(store: Store, question: str, answer: str) -> tuple[int, int, int]:
    conversation = store.create(title_of(question), model="tiny")
    first = store.add(conversation, None, "user", question)
    second = store.add(conversation, first, "assistant", answer, finish="stop")
    return conversation, first, second


def test_the_file_is_for_its_owner_alone(store: Store) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_what_was_kept_is_there_in_a_new_process(store: Store) -> None:
    conversation, first, second = exchange(store, "你好？", "你好！")
    store.finish(
        second, "你好！有什么事？", "length", facts={"model": "tiny", "seed": 7}, ids=(1, 2), logprobs=(-0.5, -2)
    )
    store.close()
    with Store(store.path) as again:
        question, answer = again.shown(conversation)
        assert (question.id, question.text, question.parent) == (first, "你好？", None)
        assert (answer.text, answer.finish, answer.facts) == (
            "你好！有什么事？",
            "length",
            {"model": "tiny", "seed": 7},
        )
        assert (answer.ids, answer.logprobs) == ((1, 2), (-0.5, -2.0))


def test_the_list_has_pinned_ones_first_and_goes_on_where_it_stopped(store: Store) -> None:
    ids = []
    for number in range(7):
        conversation = store.create(f"chat {number}", at=1000.0 + number)
        store.add(conversation, None, "user", "?", at=1000.0 + number)
        ids.append(conversation)
    empty = store.create("nothing was asked")
    store.pin(ids[2])
    expected = [ids[2], ids[6], ids[5], ids[4], ids[3], ids[1], ids[0]]
    found: list[int] = []
    last = None
    while page := store.recent(3, after=last):
        found += [kept.id for kept in page]
        last = page[-1]
    assert found == expected
    assert empty not in found
    latest = store.latest()
    assert latest
    assert latest.id == ids[6]


@pytest.mark.parametrize(
    ("query", "expected"),
    [("锂电池", "电池"), ("电池", "电池"), ("volcan", "volcano"), ("Volcanoes", "volcano"), ("erupt lava", "volcano")],
)
def test_words_are_found_in_both_languages_and_while_typing(store: Store, query: str, expected: str) -> None:
    texts = {
        "电池": exchange(store, "锂电池为什么会鼓包？", "因为内部产生气体。"),
        "volcano": exchange(store, "Why do volcanoes erupt?", "Pressure drives the lava up."),
        "other": exchange(store, "今天吃什么？", "Rice."),
    }
    hits = store.search(query)
    assert hits
    assert {hit.conversation for hit in hits} == {texts[expected][0]}


def test_hostile_queries_find_nothing_and_break_nothing(store: Store) -> None:
    exchange(store, "hello", "world")
    for query in ("", '"', "NEAR(", "a AND OR", "*", "%", "'; DROP TABLE messages", "\x00", "🤖", "-"):
        store.search(query)
    assert store.search("hello")


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30])
def test_a_number_that_none_can_have_is_that_of_no_conversation(store: Store, number: int) -> None:
    with pytest.raises(UsageError, match="no conversation"):
        store.kept(number)
    assert store.recent(10**30) == store.search("bees", 10**30) == []


def test_half_a_character_is_an_error_of_the_history(store: Store) -> None:
    with pytest.raises(StoreError, match="can't hold this"):
        store.create("half \ud83d")
    assert store.recent() == []


def test_an_excerpt_shows_the_word_that_was_asked_for() -> None:
    text = "x " * 200 + "needle " + "y " * 200
    assert "needle" in excerpt(text, ["needle"])
    assert len(excerpt(text, ["needle"])) <= 122
    assert "y needle z" in excerpt("y " * 200 + "needle " + "z " * 200, ["y", "needle"])


def test_a_continued_answer_is_found_by_its_new_words_only_once(store: Store) -> None:
    _, _, answer = exchange(store, "tell", "the beginning")
    store.finish(answer, "the beginning and the zebra", "stop")
    assert [hit.message for hit in store.search("zebra")] == [answer]
    assert [hit.message for hit in store.search("beginning")] == [answer]


def test_an_answer_that_is_continued_for_a_while_keeps_its_end_and_its_index(store: Store) -> None:
    _, _, answer = exchange(store, "长城在哪里？", "长城位于")
    text = "长城位于"
    for number in range(40):
        text += f"第{number}段，翻过山岭，"
        store.update(answer, text, facts={"output_tokens": number}, ids=(number,), logprobs=(-1.0,))
    assert store.search("位于") == [], "while it grows its words are not known"
    store.finish(answer, text + "直到海边。", "stop")
    assert [hit.message for hit in store.search("海边")] == [answer]
    store.finish(answer, "此段已删。", "stop")
    assert store.search("海边") == []
    assert store.search("位于") == []


def test_what_an_unfinished_answer_is_made_of_is_kept_with_it(store: Store) -> None:
    conversation = store.create("cut")
    question = store.add(conversation, None, "user", "tell me")
    answer = store.add(conversation, question, "assistant", "a", facts={"output_tokens": 1})
    store.update(answer, "a marmalade", facts={"output_tokens": 3}, ids=(5, 6, 7), logprobs=(-1.0, -0.5, -2.0))
    kept = store.shown(conversation)[1]
    assert (kept.text, kept.facts, kept.ids) == ("a marmalade", {"output_tokens": 3}, (5, 6, 7))


def test_a_damaged_index_is_made_anew_and_costs_no_message(store: Store) -> None:
    _, _, answer = exchange(store, "tell", "the quick brown fox")
    exchange(store, "and", "a lazy dog")
    behind = "words that the index was never told of: " + " ".join(f"word{number}" for number in range(200))
    store._db.execute("UPDATE messages SET text = ? WHERE id = ?", (behind, answer))
    made_anew = []
    make = store._index_anew
    store._index_anew = lambda: made_anew.append(make())  # type: ignore[method-assign]
    store.finish(answer, "the quick brown zebra", "stop")
    assert made_anew, "SQLite did not notice: this test tests nothing"
    assert store.shown(1)[1].text == "the quick brown zebra"
    assert [hit.message for hit in store.search("zebra")] == [answer]
    assert store.search("fox") == []
    assert store.search("lazy")


def test_deleting_takes_the_words_off_the_disk(store: Store) -> None:
    secret, kept = "Xylophonsekret", "Kaleidoskopwort"
    conversation, _, _ = exchange(store, f"my {secret} 秘密暗号", f"never tell {secret}")
    other, _, answer = exchange(store, "an open one", kept)
    forked = store.add(other, None, "user", f"again {secret}")
    assert store.delete([conversation]) == 1
    store.delete_message(forked)
    store.scrub()
    on_disk = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert secret.encode() not in on_disk
    assert secret.lower()[:8].encode() not in on_disk.lower()
    assert "秘密暗号".encode() not in on_disk
    assert kept.encode() in on_disk
    assert [hit.message for hit in store.search(kept)] == [answer]


def test_a_file_that_would_stay_mostly_empty_becomes_smaller(store: Store) -> None:
    for number in range(8):
        exchange(store, "tell", f"word{number} " * 4000)
    store.scrub()
    before = store.path.stat().st_size
    store.delete([kept.id for kept in store.recent(3)])
    store.scrub()
    assert store.path.stat().st_size == before  # its holes are fewer than what stays: they are filled by what comes
    store.delete([kept.id for kept in store.recent()])
    with contextlib.closing(sqlite3.connect(store.path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        store.hurry(0.01)
        store.scrub()  # no error, though the file stays as the other process sees it
    store.scrub()
    assert store.path.stat().st_size < before / 4


def test_age_deletes_what_is_old_and_not_pinned(store: Store) -> None:
    long_ago, lately = time.time() - 31 * 86400, time.time() - 29 * 86400
    old, pinned, fresh = (store.create(name, at=at) for name, at in (("a", long_ago), ("b", long_ago), ("c", lately)))
    for conversation, at in ((old, long_ago), (pinned, long_ago), (fresh, lately)):
        store.add(conversation, None, "user", "?", at=at)
    store.pin(pinned)
    assert store.expire(30) == 1
    assert {kept.id for kept in store.recent()} == {pinned, fresh}


def test_what_another_process_deleted_is_refused_or_ignored(store: Store) -> None:
    conversation, first, answer = exchange(store, "?", "!")
    with Store(store.path) as other:
        other.delete([conversation])
    store.update(answer, "still writing")
    store.finish(answer, "still writing", "stop")
    with pytest.raises(UsageError, match="deleted"):
        store.add(conversation, first, "user", "and?")
    with pytest.raises(UsageError, match="no conversation"):
        store.rename(conversation, "x")
    assert store.recent() == []


@pytest.mark.parametrize("row", ["facts = '{'", "documents = ''", "ids = x'01'"])
def test_a_row_that_holds_what_nobody_wrote_is_told_as_damage(store: Store, row: str) -> None:
    conversation, _, answer = exchange(store, "why?", "because")
    with sqlite3.connect(store.path) as database:
        database.execute(f"UPDATE messages SET {row} WHERE id = ?", (answer,))
    with pytest.raises(StoreError, match=r"app\.db is damaged"):
        store.messages(conversation)


def test_a_file_of_a_newer_version_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as database:
        database.execute(f"PRAGMA user_version = {len(module.MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer version"):
        Store(newer)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Store(damaged)
    assert damaged.read_bytes().startswith(b"this is no database")


WRITER = """
import sys, time
from pathlib import Path
from tui.store import Store
store = Store(Path(sys.argv[1]))
conversation = store.create("stream")
question = store.add(conversation, None, "user", "count")
answer = store.add(conversation, question, "assistant", "")
text = ""
for number in range(10_000):
    text += f"{number} "
    store.update(answer, text)
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_everything_it_said_it_had_written(tmp_path: Path) -> None:
    for round_ in range(3):
        path = tmp_path / str(round_) / "app.db"
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert writer.stdout
        for _ in range(random.Random(round_).randrange(1, 200)):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait()
        with Store(path) as store:
            (kept,) = store.recent()
            _, answer = store.shown(kept.id)
            assert answer.finish is None
            written = [int(word) for word in answer.text.split()]
            assert written == list(range(len(written)))
            assert not said or written[-1] >= said[-1]
            assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_answer_that_was_killed_long_ago_can_be_searched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = store.create("cut")
    question = store.add(conversation, None, "user", "tell me")
    answer = store.add(conversation, question, "assistant", "")
    store.update(answer, "a marmalade sky")
    assert store.search("marmalade") == []
    monkeypatch.setattr(module, "SETTLED", -1)
    with Store(store.path) as again:
        assert [hit.message for hit in again.search("marmalade")] == [answer]
        again.finish(answer, "a diamond sky", "stop")
        assert again.search("marmalade") == []


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    Store(path).close()
    script = (
        "import sys; from pathlib import Path; from tui.store import Store\n"
        "store = Store(Path(sys.argv[1])); conversation = store.create('c'); parent = None\n"
        "for n in range(60): parent = store.add(conversation, parent, 'user', f'{n}')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT, env=environment) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with Store(path) as store:
        assert [kept.messages for kept in store.recent()] == [60, 60, 60]
        for kept in store.recent():
            assert [entry.text for entry in store.shown(kept.id)] == [str(n) for n in range(60)]


class Trees(RuleBasedStateMachine):
    """Any sequence of changes leaves a tree that agrees with a plain dictionary."""

    @initialize()
    def begin(self) -> None:
        self.store = Store(Path(os.environ["LOCAL_LLM_HOME"]) / f"tree-{time.monotonic_ns()}" / "app.db")
        self.conversation = self.store.create("t")
        self.parents: dict[int, int | None] = {}
        self.chosen: dict[int | None, int | None] = {None: None}

    def pick(self, number: int, *, root: bool) -> int | None:
        known: list[int | None] = [*([None] if root else []), *self.parents]
        return known[number % len(known)]

    @rule(number=st.integers(0, 100))
    def add(self, number: int) -> None:
        parent = self.pick(number, root=True)
        id_ = self.store.add(self.conversation, parent, "user", f"text {number}")
        self.parents[id_] = parent
        self.chosen[parent], self.chosen[id_] = id_, None

    @precondition(lambda self: self.parents)
    @rule(number=st.integers(0, 100))
    def choose(self, number: int) -> None:
        child = self.pick(number, root=False)
        assert child is not None
        self.store.choose(self.conversation, self.parents[child], child)
        self.chosen[self.parents[child]] = child

    @rule(number=st.integers(0, 100))
    def fork(self, number: int) -> None:
        parent = self.pick(number, root=True)
        self.store.choose(self.conversation, parent, None)
        self.chosen[parent] = None

    @precondition(lambda self: self.parents)
    @rule(number=st.integers(0, 100))
    def delete(self, number: int) -> None:
        gone = self.pick(number, root=False)
        assert gone is not None
        parent = self.parents[gone]
        siblings = [id_ for id_, above in self.parents.items() if above == parent]
        self.store.delete_message(gone)
        below = {gone}
        while more := {id_ for id_, above in self.parents.items() if above in below} - below:
            below |= more
        for id_ in below:
            del self.parents[id_]
            self.chosen.pop(id_, None)
        at = siblings.index(gone)
        rest = siblings[:at] + siblings[at + 1 :]
        self.chosen[parent] = rest[min(at, len(rest) - 1)] if rest else None

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        entries = self.store.messages(self.conversation)
        assert {entry.id: entry.parent for entry in entries} == self.parents
        assert {entry.id: entry.chosen for entry in entries} == {id_: self.chosen[id_] for id_ in self.parents}
        path, at = [], self.chosen[None]
        while at is not None:
            path.append(at)
            at = self.chosen[at]
        assert [entry.id for entry in self.store.shown(self.conversation)] == path
        assert self.store.kept(self.conversation).messages == len(self.parents)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


Trees.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestTrees = Trees.TestCase
