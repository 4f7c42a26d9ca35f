"""Search of the kept messages: by their words, through an index that holds no text, and by the model's vectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from engine import words
from engine.database import Database
from tui.records import Hit

LARGEST = 2**63 - 1
"""What SQLite can count to."""
_SAID = (
    "SELECT conversations.id, title, messages.id, role, text, score FROM "
    "(SELECT rowid AS found, -rank AS score FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) "
    "JOIN messages ON messages.id = found JOIN conversations ON conversations.id = conversation "
    "ORDER BY score DESC"
)
_TITLED = (
    "SELECT conversations.id, title, messages.id, role, text, 0.0 FROM conversations JOIN messages ON messages.id = "
    "(SELECT min(id) FROM messages WHERE conversation = conversations.id) "
    "WHERE instr(lower(title), lower(?)) ORDER BY conversations.updated DESC LIMIT ?"
)


class Searchable:
    """The part of the store that finds."""

    def __init__(self, file: Database) -> None:
        self._file = file
        self._db, self._errors, self._change = file.connection, file.errors, file.change

    def search(self, query: str, limit: int = 50) -> list[Hit]:
        """Messages that hold every word of a query, the last one as far as it is typed, and the first messages of
        conversations that only their title names; else messages that hold any word.
        """
        if not (query := " ".join(query.split())):
            return []
        asked, limit = words.words_of(query), min(limit, LARGEST)
        every = " AND ".join(f'"{word}"' for word in asked) + ("*" if asked and asked[-1].isascii() else "")
        with self._errors():
            rows = self._db.execute(_SAID, (every, limit)).fetchall() if asked else []
            said = {conversation for conversation, *_ in rows}
            titled = self._db.execute(_TITLED, (query, limit)).fetchall()
            rows += [row for row in titled if row[0] not in said][: limit - len(rows)]
            if asked and not rows:
                rows = self._db.execute(_SAID, (words.any_of(query), limit)).fetchall()
        return [Hit(a, title, b, role, words.excerpt(text, asked), score) for a, title, b, role, text, score in rows]

    def without_vector(self, model: str, limit: int = 256) -> list[tuple[int, str]]:
        """Ids and texts of messages, the newest first, that have no vector of this model's identity."""
        query = (
            "SELECT id, text FROM messages LEFT JOIN vectors ON vectors.message = id AND model = ? "
            "WHERE vectors.message IS NULL AND indexed = 1 AND trim(text) != '' ORDER BY id DESC LIMIT ?"
        )
        with self._errors():
            return self._db.execute(query, (model, limit)).fetchall()

    def put_vectors(self, model: str, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Vectors by message, float16; what was deleted meanwhile is left out."""
        with self._change():
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors SELECT id, ?, ? FROM messages WHERE id = ?",
                ((model, vector, message) for message, vector in vectors),
            )

    def vectors(self, model: str) -> tuple[list[int], bytes]:
        """Message ids, and their vectors of this model's identity one after the other, float16."""
        with self._errors():
            rows = self._db.execute("SELECT message, vector FROM vectors WHERE model = ?", (model,)).fetchall()
        return [message for message, _ in rows], b"".join(vector for _, vector in rows)

    def hit(self, message: int, score: float) -> Hit | None:
        """A message found by its vector; None if it was deleted meanwhile."""
        query = (
            "SELECT conversations.id, title, role, text FROM messages "
            "JOIN conversations ON conversations.id = conversation WHERE messages.id = ?"
        )
        with self._errors():
            row = self._db.execute(query, (message,)).fetchone()
        return Hit(row[0], row[1], message, row[2], words.excerpt(row[3], ()), score) if row else None

    def _index(self, message: int, text: str) -> None:
        self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (message, words.spaced(text)))
        self._db.execute("UPDATE messages SET indexed = 1 WHERE id = ?", (message,))

    def _unindex(self, message: int, text: str) -> None:
        self._db.execute("UPDATE messages SET indexed = 0 WHERE id = ?", (message,))
        try:  # The words themselves keep no text: what is deleted has to be said once more.
            self._db.execute(
                "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (message, words.spaced(text))
            )
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT_VTAB:
                raise
            self._index_anew()

    def _index_anew(self) -> None:
        """An index that is damaged must cost nobody a message: it is made again from the texts."""
        self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
        for message, text in self._db.execute("SELECT id, text FROM messages WHERE indexed = 1").fetchall():
            self._index(message, text)
