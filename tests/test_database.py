"""A file of the user's own: a change is all there or not at all, and what fails leaves nothing open behind it."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING

import pytest
from interrupts import interrupted

from engine.database import Database, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIGRATIONS = (
    "CREATE TABLE shelves (id INTEGER PRIMARY KEY);"
    "CREATE TABLE books (title TEXT, shelf INTEGER REFERENCES shelves DEFERRABLE INITIALLY DEFERRED)",
)


def opened(path: Path) -> Database:
    return Database(path, MIGRATIONS, name="library", mend="delete it", patience=1)


def titles(path: Path) -> list[str]:
    """As another process finds them."""
    database = opened(path)
    try:
        return [title for (title,) in database.connection.execute("SELECT title FROM books ORDER BY title")]
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = opened(path)
    yield database
    database.close()


def put(database: Database, title: str, shelf: int | None = None) -> None:
    with database.change():
        database.connection.execute("INSERT INTO books VALUES (?, ?)", (title, shelf))


def test_a_change_that_fails_at_its_very_end_takes_no_later_one_with_it(database: Database, path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        put(database, "on no shelf", shelf=7)  # looked at when the transaction ends
    assert "damaged" not in caught.value.message
    assert "delete" not in caught.value.hint
    put(database, "kept")
    assert titles(path) == ["kept"]


def test_a_ctrl_c_at_any_line_of_a_change_takes_no_later_one_with_it(database: Database, path: Path) -> None:
    for stop in range(100):
        if interrupted("database.py", stop, partial(put, database, f"cut {stop}")):
            put(database, f"kept {stop:02}")
            continue
        break
    assert stop > 5
    assert [title for title in titles(path) if title.startswith("kept")] == [f"kept {n:02}" for n in range(stop)]


def test_a_file_that_another_thread_has_closed_is_not_called_damaged(database: Database) -> None:
    database.close()
    for use in (database.errors, database.change):
        with pytest.raises(StoreError, match="closed") as caught, use():
            database.connection.execute("SELECT 1")
        assert "damaged" not in caught.value.message
        assert "delete" not in caught.value.hint


@pytest.mark.parametrize("version", [0, 1])
def test_another_programs_database_is_refused_and_left_as_it_was(path: Path, version: int) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.execute(f"PRAGMA user_version = {version}")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database, expected the library") as caught:
        put(opened(path), "of ours")
    assert caught.value.hint == "delete it"
    if not version:  # of a version that looks like ours only its missing tables tell
        assert path.read_bytes() == before


@pytest.mark.parametrize("lacking", ["SELECT no_such_function(1)", "CREATE VIRTUAL TABLE t USING no_such_module"])
def test_what_sqlite_itself_lacks_makes_the_file_no_strangers(path: Path, lacking: str) -> None:
    database = opened(path)
    with pytest.raises(StoreError, match="can't be used: no such") as caught, database.errors():
        database.connection.execute(lacking)
    assert "delete" not in caught.value.hint
    database.close()
