"""The store of search: files, their passages, words (FTS5) and vectors, in one SQLite file of the user's own.

It reads no files and runs no model. Each change of a file is one transaction, so that nothing is ever half there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import words
from engine.database import Database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

MIGRATIONS = (
    f"""
    CREATE TABLE roots (path TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE files (
        id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL
    );
    CREATE TABLE passages (
        id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
        first_line INTEGER NOT NULL, last_line INTEGER NOT NULL, text TEXT NOT NULL
    );
    CREATE INDEX passages_of_file ON passages (file);
    CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='{words.TOKENIZER}');
    CREATE TABLE models (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
    CREATE TABLE vectors (
        passage INTEGER PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES models, vector BLOB NOT NULL
    );
    CREATE INDEX vectors_of_model ON vectors (model);
    """,
    # Web pages are read as their text from here on: what was made of their marks is made anew.
    "UPDATE files SET mtime_ns = -1 WHERE path LIKE '%.htm' OR path LIKE '%.html' OR path LIKE '%.xht%'",
)
"""Append-only."""
PATIENCE = 30
"""Seconds to wait for another process that writes: it does so for a moment, a file at a time."""


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file as it was when it was last read."""

    path: str
    size: int
    """Bytes."""
    mtime_ns: int
    sha256: str
    passages: int = 0
    vectors: int = 0
    """Passages with a vector of whichever model."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A passage of an indexed file."""

    path: str
    first_line: int
    """From 1."""
    last_line: int
    text: str
    size: int
    """Of the file when it was read, in bytes."""
    mtime_ns: int


class Index:
    """An open store. Use as a context manager; one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, mode 0600, and bring it up to date. Raises StoreError."""
        self.path = path
        mend = "move it away, and add the files again: llm index add PATH"
        self._file = Database(path, MIGRATIONS, name="index", mend=mend, patience=PATIENCE)
        self._db, self._errors, self._change = self._file.connection, self._file.errors, self._file.change

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def add_root(self, path: str) -> None:
        """Remember a folder or file that was asked for, so that it can be looked through again."""
        with self._change():
            self._db.execute("INSERT OR IGNORE INTO roots VALUES (?)", (path,))

    def roots(self) -> list[str]:
        """What was asked to be indexed, sorted."""
        with self._errors():
            return [path for (path,) in self._db.execute("SELECT path FROM roots ORDER BY path")]

    def files(self, under: Sequence[str] = ()) -> list[IndexedFile]:
        """The files, or those at or below some paths, sorted by path."""
        where, values = _below("path", under)
        query = (
            "SELECT path, size, mtime_ns, sha256, count(passages.id), count(vectors.passage) FROM files "
            "LEFT JOIN passages ON passages.file = files.id LEFT JOIN vectors ON vectors.passage = passages.id "
            f"{where} GROUP BY files.id ORDER BY path"
        )
        with self._errors():
            return [IndexedFile(*row) for row in self._db.execute(query, values)]

    def file(self, path: str) -> IndexedFile | None:
        """What is known of one file, its passages not counted."""
        with self._errors():
            row = self._db.execute("SELECT path, size, mtime_ns, sha256 FROM files WHERE path = ?", (path,)).fetchone()
        return IndexedFile(*row) if row else None

    def put(self, file: IndexedFile, stretches: Sequence[tuple[int, int, str]]) -> None:
        """A file's passages (first line, last line, text) in place of what was there."""
        with self._change():
            self._forget(file.path)
            record = (file.path, file.size, file.mtime_ns, file.sha256)
            number = self._db.execute(
                "INSERT INTO files (path, size, mtime_ns, sha256) VALUES (?, ?, ?, ?)", record
            ).lastrowid
            for first, last, text in stretches:
                row = self._db.execute(
                    "INSERT INTO passages (file, first_line, last_line, text) VALUES (?, ?, ?, ?)",
                    (number, first, last, text),
                ).lastrowid
                self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, words.spaced(text)))

    def touch(self, file: IndexedFile) -> None:
        """A file's new time, when it still says the same."""
        with self._change():
            self._db.execute(
                "UPDATE files SET size = ?, mtime_ns = ? WHERE path = ?", (file.size, file.mtime_ns, file.path)
            )

    def remove(self, paths: Sequence[str]) -> int:
        """Forget these files, in one transaction; returns how many there were."""
        with self._change():
            return sum(self._forget(path) for path in paths)

    def remove_below(self, under: Sequence[str]) -> int:
        """Forget the files at or below some paths, and that they were asked for; all of them without a path."""
        where, values = _below("path", under)
        with self._change():
            self._db.execute(f"DELETE FROM roots {where}", values)
            found = [path for (path,) in self._db.execute(f"SELECT path FROM files {where}", values)]
            removed = sum(self._forget(path) for path in found)
        with contextlib.suppress(sqlite3.OperationalError):  # another process is at work: the next removal does it
            self._db.execute("INSERT INTO words (words) VALUES ('optimize')")
            self._db.execute("VACUUM")  # what is removed leaves the disk as well
        return removed

    def _forget(self, path: str) -> int:
        rows = self._db.execute(
            "SELECT passages.id, text FROM passages JOIN files ON files.id = file WHERE path = ?", (path,)
        ).fetchall()
        for row, text in rows:
            # The words themselves keep no text: what is deleted has to be said once more.
            self._db.execute(
                "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (row, words.spaced(text))
            )
        return self._db.execute("DELETE FROM files WHERE path = ?", (path,)).rowcount

    def without_vector(self, model: str, under: Sequence[str] = ()) -> list[int]:
        """Passages that have no vector of this model, file by file."""
        where, values = _below("path", under, "(models.identity IS NULL OR models.identity != ?)")
        query = (
            "SELECT passages.id FROM passages JOIN files ON files.id = file "
            "LEFT JOIN vectors ON vectors.passage = passages.id LEFT JOIN models ON models.id = vectors.model "
            f"{where} ORDER BY path, passages.id"
        )
        with self._errors():
            return [passage for (passage,) in self._db.execute(query, (model, *values))]

    def count(self, model: str = "", under: Sequence[str] = ()) -> tuple[int, int]:
        """How many passages there are, and how many of them have a vector of this model."""
        where, values = _below("path", under)
        query = (
            "SELECT count(*), count(CASE WHEN models.identity = ? THEN 1 END) FROM passages "
            "JOIN files ON files.id = file LEFT JOIN vectors ON vectors.passage = passages.id "
            f"LEFT JOIN models ON models.id = vectors.model {where}"
        )
        with self._errors():
            passages, vectors = self._db.execute(query, (model, *values)).fetchone()
        return passages, vectors

    def put_vectors(self, model: str, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Vectors by passage id, float16; what another process removed meanwhile is left out."""
        with self._change():
            self._db.execute("INSERT OR IGNORE INTO models (identity) VALUES (?)", (model,))
            (number,) = self._db.execute("SELECT id FROM models WHERE identity = ?", (model,)).fetchone()
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors SELECT id, ?, ? FROM passages WHERE id = ?",
                ((number, vector, passage) for passage, vector in vectors),
            )

    def models(self) -> dict[str, int]:
        """How many vectors there are of each model's identity."""
        query = "SELECT identity, count(*) FROM vectors JOIN models ON models.id = model GROUP BY identity"
        with self._errors():
            return dict(self._db.execute(query).fetchall())

    def vectors(self, model: str, under: Sequence[str] = ()) -> tuple[list[int], NDArray[float32]]:
        """Passage ids, and their vectors (N, C) of this model."""
        import numpy

        where, values = _below("path", under, "models.identity = ?")
        query = (
            "SELECT passages.id, vector FROM vectors JOIN models ON models.id = model "
            f"JOIN passages ON passages.id = vectors.passage JOIN files ON files.id = file {where} ORDER BY passages.id"
        )
        with self._errors():
            rows = self._db.execute(query, (model, *values)).fetchall()
        matrix = numpy.frombuffer(b"".join(vector for _, vector in rows), numpy.float16).astype(numpy.float32)
        return [row for row, _ in rows], matrix.reshape(len(rows), -1) if rows else matrix.reshape(0, 0)

    def match(self, query: str, under: Sequence[str] = ()) -> dict[int, float]:
        """BM25 as a share of the full score (`words.full_score`), of the passages that hold a word of the query."""
        if not (expression := words.any_of(query)):
            return {}
        where, values = _below("path", under, "words MATCH ?")
        statement = (
            "SELECT words.rowid, -bm25(words) FROM words JOIN passages ON passages.id = words.rowid "
            f"JOIN files ON files.id = file {where}"
        )
        with self._errors():
            full = words.full_score(self._db, query)
            found = self._db.execute(statement, (expression, *values))
            return {passage: score / full for passage, score in found}

    def stretch(self, passage: int) -> Stretch | None:
        """A passage and where it stands; None if another process removed it."""
        query = (
            "SELECT path, first_line, last_line, text, size, mtime_ns FROM passages "
            "JOIN files ON files.id = file WHERE passages.id = ?"
        )
        with self._errors():
            row = self._db.execute(query, (passage,)).fetchone()
        return Stretch(*row) if row else None


def _below(column: str, under: Sequence[str], condition: str = "") -> tuple[str, tuple[str, ...]]:
    """A WHERE clause for a condition and for being at or below one of some paths, and its values for the paths.

    The paths are two values however many they are: SQLite takes no chain of a thousand conditions.
    """
    parts = [condition] if condition else []
    values: tuple[str, ...] = ()
    if under:
        folders = "(SELECT value AS folder FROM json_each(?))"  # which has a column `path` as well
        below = f"EXISTS (SELECT 1 FROM {folders} WHERE substr({column}, 1, length(folder)) = folder)"
        parts.append(f"({column} IN (SELECT value FROM json_each(?)) OR {below})")
        values = (json.dumps(list(under)), json.dumps([path.rstrip(os.sep) + os.sep for path in under]))
    return f"WHERE {' AND '.join(parts)}" if parts else "", values
