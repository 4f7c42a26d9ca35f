"""The store of search and what fills it: nothing half there, nothing read twice, nothing kept that was removed."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from typing import TYPE_CHECKING

import numpy
import pytest

from engine import words
from engine.database import StoreError
from engine.errors import EngineError, InputError
from engine.index import MIGRATIONS, Index, IndexedFile
from engine.tasks.indexing import PASSAGE, add, embed_missing
from engine.tasks.passages import length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.session import Session


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "index.db") as store:
        yield store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "docs"
    path.mkdir()
    (path / "a.txt").write_text("The meeting starts at three.\n\nBring your passport.\n")
    (path / "会议.txt").write_text("会议在星期三下午三点开始。\n请带上护照。\n", encoding="utf-8")
    return path


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def states(index: Index, *paths: Path) -> dict[str, str]:
    return {os.path.basename(seen.path): seen.state for seen in add(index, [str(path) for path in paths], read)}


def found(index: Index, query: str) -> list[str]:
    stretches = [index.stretch(passage) for passage in index.match(query)]
    return sorted(os.path.basename(stretch.path) for stretch in stretches if stretch)


def test_a_chinese_word_of_two_characters_is_found_inside_a_sentence(index: Index, folder: Path) -> None:
    states(index, folder)
    assert found(index, "护照") == ["会议.txt"]
    assert found(index, "三") == ["会议.txt"]  # one character is a word as well
    assert found(index, "照护") == []


@pytest.mark.parametrize(
    "query", ["PASSPORTS", "Ｐassport", "passport?", '"passport" OR (', "(((", "", "_", "*", "NEAR("]
)
def test_any_query_is_words_and_never_syntax(index: Index, folder: Path, query: str) -> None:
    states(index, folder)
    assert found(index, query) == (["a.txt"] if "pass" in query.casefold().replace("ｐ", "p") else [])


def test_a_query_of_thousands_of_words_is_answered(index: Index, folder: Path) -> None:
    states(index, folder)
    assert found(index, "passport " + " ".join(f"word{number}" for number in range(5000))) == ["a.txt"]


def test_only_changed_files_are_read_again(index: Index, folder: Path) -> None:
    assert states(index, folder) == {"a.txt": "read", "会议.txt": "read"}
    assert states(index, folder) == {"a.txt": "unchanged", "会议.txt": "unchanged"}
    (folder / "a.txt").write_text("Something else.")
    assert states(index, folder) == {"a.txt": "read", "会议.txt": "unchanged"}
    assert found(index, "passport") == []
    assert found(index, "something") == ["a.txt"]


def test_a_file_with_a_new_time_and_the_same_text_keeps_its_passages(index: Index, folder: Path) -> None:
    states(index, folder)
    before = index.match("passport")
    os.utime(folder / "a.txt", ns=(1, 1))
    assert states(index, folder)["a.txt"] == "unchanged"
    assert index.match("passport") == before
    known = index.file(str(folder / "a.txt"))
    assert known is not None
    assert known.mtime_ns == 1  # the next look costs no reading


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_a_folder_is_followed_where_it_is_named(index: Index, folder: Path, tmp_path: Path) -> None:
    (folder / "round").symlink_to(folder)
    named = tmp_path / "named"
    named.symlink_to(folder)
    assert states(index, named) == {"a.txt": "read", "会议.txt": "read", "round": "linked"}
    assert states(index, folder / "round") == {"a.txt": "read", "会议.txt": "read", "round": "linked"}


def test_deleted_files_drop_out_and_others_stay(index: Index, folder: Path) -> None:
    states(index, folder)
    (folder / "a.txt").unlink()
    assert states(index, folder) == {"会议.txt": "unchanged", "a.txt": "gone"}
    assert found(index, "passport") == []
    assert [os.path.basename(file.path) for file in index.files()] == ["会议.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
@pytest.mark.parametrize(("mode", "told"), [(0, {"sub"}), (0o300, {"sub"}), (0o400, {"in.txt", "deep"})])
@pytest.mark.parametrize("below", ["", "sub", "sub/deep"])
def test_what_lies_in_a_folder_that_can_not_be_read_is_told_and_stays(
    open_folder: Path, mode: int, told: set[str], below: str
) -> None:
    deep = open_folder / "docs" / "sub" / "deep"
    deep.mkdir(parents=True)
    (open_folder / "docs" / "a.txt").write_text("passport")
    (deep.parent / "in.txt").write_text("passport")
    (deep / "down.txt").write_text("passport")
    with Index(open_folder / "index.db") as store:
        states(store, open_folder / "docs")
        deep.parent.chmod(mode)
        try:
            seen = states(store, open_folder / "docs" / below)
        finally:
            deep.parent.chmod(0o700)
        failed = {name for name, state in seen.items() if state == "failed"}
        if below != "sub/deep":
            assert failed == told
        elif mode != 0o300:
            assert failed == {"deep"}
        assert "gone" not in seen.values()
        assert found(store, "passport") == ["a.txt", "down.txt", "in.txt"]
        (deep / "down.txt").unlink()
        assert states(store, open_folder / "docs")["down.txt"] == "gone"


def test_what_was_added_by_name_stays_when_its_folder_is_looked_through(index: Index, folder: Path) -> None:
    hidden = folder / ".hidden.txt"
    hidden.write_text("secret garden")
    states(index, hidden)
    states(index, folder)
    assert found(index, "garden") == [".hidden.txt"]


def test_bad_files_are_named_and_the_rest_goes_on(index: Index, folder: Path) -> None:
    (folder / "picture.txt").write_bytes(b"\x89PNG\0\0")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("hidden words")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.js").write_text("foreign words")

    def picky(path: str) -> str:
        if path.endswith("a.txt"):
            raise InputError("not valid UTF-8 at byte 3")
        return read(path)

    seen = {os.path.basename(one.path): one for one in add(index, [str(folder), str(folder / "none")], picky)}
    assert {name: one.state for name, one in seen.items()} == {
        "a.txt": "failed",
        "picture.txt": "binary",
        "会议.txt": "read",
        "none": "failed",
    }
    assert seen["a.txt"].reason == "not valid UTF-8 at byte 3"
    assert found(index, "words") == []


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")
def test_a_named_pipe_is_not_waited_for(index: Index, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "pipe" not in states(index, folder)
    assert states(index, folder / "pipe") == {"pipe": "failed"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_no_text_is_told(index: Index, folder: Path) -> None:
    with open(os.path.join(os.fsencode(folder), b"bad\xff.txt"), "w") as file:
        file.write("text")
    seen = [one for one in add(index, [str(folder)], read) if one.state == "failed"]
    assert [one.reason for one in seen] == ["its name is not valid UTF-8"]


def test_stopping_in_the_middle_keeps_every_finished_file(tmp_path: Path, folder: Path) -> None:
    with Index(tmp_path / "index.db") as store:
        events = add(store, [str(folder)], read)
        next(events)
        events.close()
    with Index(tmp_path / "index.db") as store:
        assert found(store, "passport") == ["a.txt"]
        assert states(store, folder) == {"a.txt": "unchanged", "会议.txt": "read"}


def test_a_file_is_there_whole_or_not_at_all(index: Index, folder: Path) -> None:
    states(index, folder)
    file = IndexedFile(str(folder / "a.txt"), 1, 1, "x")

    def stretches() -> Iterator[tuple[int, int, str]]:
        yield 1, 1, "half of a file"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.put(file, stretches())  # type: ignore[arg-type]
    assert found(index, "half") == []
    assert found(index, "passport") == ["a.txt"]


def test_passages_name_their_lines_and_are_short(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\n".join(f"Line {number} speaks of topic{number}." for number in range(1, 501)))
    states(index, path)
    (passage,) = index.match("topic321")
    stretch = index.stretch(passage)
    assert stretch is not None
    lines = path.read_text().split("\n")[stretch.first_line - 1 : stretch.last_line]
    assert "\n".join(lines) == stretch.text.strip()
    assert length(stretch.text) <= PASSAGE


def test_removing_leaves_nothing_of_the_text_on_disk(tmp_path: Path, folder: Path) -> None:
    (folder / "secret.txt").write_text("xylophone quagmire")
    with Index(tmp_path / "index.db") as store:
        states(store, folder)
        assert store.remove_below([str(folder / "secret.txt")]) == 1
        assert found(store, "xylophone") == []
        assert found(store, "passport") == ["a.txt"]
    data = b"".join(path.read_bytes() for path in tmp_path.glob("index.db*"))
    assert b"xylophone" not in data
    assert b"quagmire" not in data


def test_a_path_is_no_prefix_of_a_longer_name(index: Index, tmp_path: Path) -> None:
    for name in ("note", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("words")
        states(index, tmp_path / name)
    assert len(index.files([str(tmp_path / "note")])) == 1
    assert len(index.match("words", [str(tmp_path / "note")])) == 1
    assert index.remove_below([str(tmp_path / "note")]) == 1
    assert index.roots() == [str(tmp_path / "notes")]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_the_file_is_the_users_alone(tmp_path: Path, folder: Path) -> None:
    before = os.umask(0)
    try:
        with Index(tmp_path / "index.db") as store:
            states(store, folder)
            modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("index.db*")}
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_migrations_run_once_and_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    for _ in range(2):
        with Index(path):
            pass
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(StoreError, match="newer version"):
        Index(path)


def test_pages_that_were_indexed_as_their_marks_are_read_again(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "page.HTML").write_text("<p class=seen>passport</p>", "utf-8")
    with monkeypatch.context() as earlier:
        earlier.setattr("engine.index.MIGRATIONS", MIGRATIONS[:1])
        with Index(tmp_path / "index.db") as store:
            states(store, folder)
            assert found(store, "class") == ["page.HTML"]
    with Index(tmp_path / "index.db") as store:
        assert [seen.path for seen in add(store, [str(folder)], lambda _: "passport") if seen.state == "read"] == [
            str(folder / "page.HTML")
        ]
        assert found(store, "class") == []


def test_an_older_format_is_brought_up_to_date(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index(tmp_path / "index.db") as store:
        states(store, folder)
    monkeypatch.setattr("engine.index.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (x)"))
    with Index(tmp_path / "index.db") as store:
        assert found(store, "passport") == ["a.txt"]
    database = sqlite3.connect(tmp_path / "index.db")
    assert database.execute("SELECT count(*) FROM later").fetchone() == (0,)
    database.close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_text("this is a letter to my aunt " * 100)
    with pytest.raises(StoreError, match="damaged"):
        Index(tmp_path / "index.db")
    with pytest.raises(StoreError, match="can't open"):
        Index(tmp_path)


def test_two_at_once_take_turns_and_a_long_wait_is_told(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.db"

    def work(name: str) -> None:
        with Index(path) as store:
            for number in range(20):
                store.put(IndexedFile(f"/{name}/{number}", 1, 1, "x"), [(1, 1, f"{name} text")])

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.setattr("engine.index.PATIENCE", 0.05)
    with Index(path) as store:
        assert len(store.files()) == 40
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="in use"):
            store.add_root("/x")
        assert len(store.match("text")) == 40  # reading never waits
        other.execute("ROLLBACK")
        other.close()


def test_vectors_are_made_once_and_again_for_another_model(index: Index, folder: Path, tiny_session: Session) -> None:
    states(index, folder)
    assert list(embed_missing(index, tiny_session, "tiny 1")) == [(0, 2), (2, 2)]
    assert list(embed_missing(index, tiny_session, "tiny 1")) == [(0, 0)]
    ids, vectors = index.vectors("tiny 1")
    texts = [stretch.text for stretch in map(index.stretch, ids) if stretch]
    assert numpy.allclose(vectors, tiny_session.embed(texts), atol=1e-3)
    assert list(embed_missing(index, tiny_session, "tiny 2"))[-1] == (2, 2)
    assert index.models() == {"tiny 2": 2}
    assert index.vectors("tiny 1")[0] == []


def test_a_changed_file_loses_its_vectors_and_no_other_does(index: Index, folder: Path, tiny_session: Session) -> None:
    states(index, folder)
    list(embed_missing(index, tiny_session, "tiny 1"))
    (folder / "a.txt").write_text("New words.")
    states(index, folder)
    assert [stretch.text for stretch in map(index.stretch, index.without_vector("tiny 1")) if stretch] == ["New words."]
    assert index.count("tiny 1") == (2, 1)


def test_a_vector_of_a_passage_that_is_gone_is_left_out(index: Index, folder: Path) -> None:
    states(index, folder)
    index.put_vectors("m", [(10_000, b"\0\0")])
    assert index.models() == {}


def test_thousands_of_paths_can_be_asked_about_at_once(index: Index, folder: Path) -> None:
    states(index, folder)
    others = [f"/nowhere/{number}" for number in range(12_000)]
    assert len(index.without_vector("m", [*others, str(folder / "a.txt")])) == 1
    assert index.count("m", [*others, f"{folder}/"]) == (2, 0)
    assert index.match("passport", others) == {}
    assert index.remove_below([*others, str(folder)]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_a_name_that_is_not_utf8_is_told_and_the_others_are_read(index: Index, folder: Path) -> None:
    named = folder / os.fsdecode(b"caf\xe9.txt")
    named.write_text("words")
    seen = list(add(index, [str(named), str(folder / "a.txt")], read))
    assert [one.state for one in seen] == ["failed", "read"]
    assert "UTF-8" in seen[0].reason
    assert seen[0].path.encode(), "it can be printed"
    assert index.without_vector("m", [str(named)]) == []


def test_errors_of_the_store_are_ours() -> None:
    assert issubclass(StoreError, EngineError)


def test_words_that_only_ask_are_left_out_unless_there_are_no_others() -> None:
    assert words.words_of("How do I delete the model?") == ["delete", "model"]
    assert words.words_of("护照是什么？") == ["护照", "照是"]
    assert words.words_of("what is it") == ["what", "is", "it"]
    assert words.words_of("什么") == ["什么"]


def test_mixed_texts_fall_into_words() -> None:
    assert words.words_of("用Python写代码") == ["用", "python", "写代", "代码"]
    assert words.spaced("写代码").split() == ["写", "代", "码", "写代", "代码"]
