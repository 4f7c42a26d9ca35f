"""The history: conversations as trees of messages, in one SQLite file of the user's own. No model, no terminal.

Edits, retries and forks are siblings; each message knows which of its children the shown path goes on with. Each
change is one short transaction, so that processes may share the file and a killed one leaves nothing half there.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from engine import words
from engine.database import Database
from engine.errors import UsageError
from tui.paths import ensure
from tui.records import ENTRY, KEPT, Entry, Kept, entry_of, kept_of, whole
from tui.searching import LARGEST, Searchable

MIGRATIONS = (
    f"""
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, named INTEGER NOT NULL DEFAULT 0, system TEXT,
        model TEXT NOT NULL DEFAULT '', pinned INTEGER NOT NULL DEFAULT 0, messages INTEGER NOT NULL DEFAULT 0,
        chosen INTEGER, created REAL NOT NULL, updated REAL NOT NULL
    );
    CREATE INDEX conversations_by_time ON conversations (pinned, updated, id);
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
        parent INTEGER REFERENCES messages ON DELETE CASCADE, role TEXT NOT NULL, text TEXT NOT NULL,
        documents TEXT NOT NULL DEFAULT '[]', finish TEXT, facts TEXT NOT NULL DEFAULT '{{}}', ids BLOB, logprobs BLOB,
        chosen INTEGER, indexed INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, updated REAL NOT NULL
    );
    CREATE INDEX messages_of_conversation ON messages (conversation, id);
    CREATE INDEX messages_of_parent ON messages (parent);
    CREATE INDEX messages_not_indexed ON messages (indexed) WHERE indexed = 0;
    CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='{words.TOKENIZER}');
    CREATE TABLE vectors (
        message INTEGER PRIMARY KEY REFERENCES messages ON DELETE CASCADE, model TEXT NOT NULL, vector BLOB NOT NULL
    );
    """,
)
"""Append-only."""
BELOW = (
    "WITH RECURSIVE below (id) AS (VALUES (?) UNION ALL "
    "SELECT messages.id FROM messages JOIN below ON messages.parent = below.id) SELECT id FROM below"
)
"""The ids of a message and of all that hang below it."""
PATIENCE = 10
"""Seconds to wait for another process that writes."""
SETTLED = 60
"""Seconds without a change after which an answer without an end is one that was killed."""


class Store(Searchable):
    """The open file. Threads may share it: each call holds a lock."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, mode 0600 in a folder of 0700, and bring it up to date. Raises StoreError."""
        self.path = path
        ensure(path.parent)
        mend = "move it away; a new one is made"
        super().__init__(Database(path, MIGRATIONS, name="history", mend=mend, patience=PATIENCE))
        self._db.execute("PRAGMA secure_delete = ON")
        self._index_the_killed()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def hurry(self, patience: float | None) -> None:
        """Let the calling thread wait so long at most for others that write; None: as long as all do."""
        self._file.hurry(patience)

    def together(self) -> AbstractContextManager[None]:
        """Several changes as one: all of them or, whatever happens, none; others wait for its end."""
        return self._change()

    # Conversations

    def create(self, title: str, *, system: str | None = None, model: str = "", at: float | None = None) -> int:
        """A conversation without messages; returns its id."""
        now = time.time() if at is None else at
        with self._change():
            row = self._db.execute(
                "INSERT INTO conversations (title, system, model, created, updated) VALUES (?, ?, ?, ?, ?)",
                (title, system, model, now, now),
            )
        assert row.lastrowid is not None
        return row.lastrowid

    def kept(self, conversation: int) -> Kept:
        """A conversation. Raises UsageError if there is none of that id."""
        row = None
        if 0 < conversation <= LARGEST:
            with self._errors():
                row = self._db.execute(f"SELECT {KEPT} FROM conversations WHERE id = ?", (conversation,)).fetchone()
        if row is None:
            raise UsageError(f"no conversation {conversation} is kept", hint="llm history list names them")
        return kept_of(row)

    def recent(self, limit: int = 50, *, after: Kept | None = None) -> list[Kept]:
        """Conversations with messages, pinned ones first, then the newest; `after`: those that follow in that order."""
        where, values = "messages > 0", []
        if after:
            where += " AND (pinned, updated, id) < (?, ?, ?)"
            values = [int(after.pinned), after.updated, after.id]
        query = f"SELECT {KEPT} FROM conversations WHERE {where} ORDER BY pinned DESC, updated DESC, id DESC LIMIT ?"
        with self._errors():
            return [kept_of(row) for row in self._db.execute(query, (*values, min(limit, LARGEST)))]

    def latest(self) -> Kept | None:
        """The conversation that was changed last."""
        query = f"SELECT {KEPT} FROM conversations WHERE messages > 0 ORDER BY updated DESC, id DESC LIMIT 1"
        with self._errors():
            row = self._db.execute(query).fetchone()
        return kept_of(row) if row else None

    def rename(self, conversation: int, title: str) -> None:
        """Give a title. Raises UsageError for an empty one."""
        title = " ".join(title.split())
        if not title:
            raise UsageError("the title is empty")
        self._set(conversation, title=title, named=1)

    def pin(self, conversation: int, pinned: bool = True) -> None:
        """Keep a conversation at the head of the list, and from being deleted by age."""
        self._set(conversation, pinned=int(pinned))

    def set_system(self, conversation: int, system: str | None) -> None:
        """Note another system prompt."""
        self._set(conversation, system=system)

    def set_model(self, conversation: int, model: str) -> None:
        """Note which model it began with."""
        self._set(conversation, model=model)

    def _set(self, conversation: int, **columns: Any) -> None:
        self.kept(conversation)
        named = ", ".join(f"{name} = ?" for name in columns)
        with self._change():
            self._db.execute(f"UPDATE conversations SET {named} WHERE id = ?", (*columns.values(), conversation))

    # Messages

    def add(
        self,
        conversation: int,
        parent: int | None,
        role: str,
        text: str,
        *,
        documents: Sequence[tuple[str, str]] = (),
        finish: str | None = None,
        facts: dict[str, Any] | None = None,
        at: float | None = None,
    ) -> int:
        """Hang a message below another (or None: at the beginning), and show it; returns its id.

        An answer without `finish` is still written: `update` it as it grows, and `finish` it at the end.
        """
        now = time.time() if at is None else at
        settled = role != "assistant" or finish is not None
        with self._change():
            self._require_parent(conversation, parent)
            row = self._db.execute(
                "INSERT INTO messages (conversation, parent, role, text, documents, finish, facts, created, updated) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (conversation, parent, role, text, _json([list(pair) for pair in documents]), finish,
                 _json(facts or {}), now, now),
            )  # fmt: skip
            message = row.lastrowid
            assert message is not None
            self._choose(conversation, parent, message)
            self._db.execute(
                "UPDATE conversations SET messages = messages + 1, updated = max(updated, ?) WHERE id = ?",
                (now, conversation),
            )
            if settled:
                self._index(message, text)
        return message

    def _require_parent(self, conversation: int, parent: int | None) -> None:
        query, value = "SELECT 1 FROM conversations WHERE id = ?", conversation
        if parent is not None:
            query, value = f"SELECT 1 FROM messages WHERE conversation = {int(conversation)} AND id = ?", parent
        if self._db.execute(query, (value,)).fetchone() is None:
            raise UsageError("the conversation was deleted meanwhile", hint="what is written now is not kept")

    def update(
        self,
        message: int,
        text: str,
        *,
        facts: dict[str, Any] | None = None,
        ids: Sequence[int] = (),
        logprobs: Sequence[float] = (),
    ) -> None:
        """What an answer says so far. One that another process deleted stays deleted."""
        with self._change():
            self._rewrite(message, text, facts, ids, logprobs)

    def touch(self, message: int) -> None:
        """Note that a message is still being worked on: its answer is awaited, or does not grow for a while."""
        with self._change():
            self._db.execute("UPDATE messages SET updated = ? WHERE id = ?", (time.time(), message))

    def finish(
        self,
        message: int,
        text: str,
        finish: str,
        *,
        facts: dict[str, Any] | None = None,
        ids: Sequence[int] = (),
        logprobs: Sequence[float] = (),
    ) -> None:
        """The end of an answer, or of what continues it; it can be searched from then on."""
        with self._change():
            if not self._rewrite(message, text, facts, ids, logprobs):
                return
            self._db.execute("UPDATE messages SET finish = ? WHERE id = ?", (finish, message))
            self._index(message, text)
            self._db.execute(
                "UPDATE conversations SET updated = ? WHERE id = (SELECT conversation FROM messages WHERE id = ?)",
                (time.time(), message),
            )

    def _rewrite(
        self, message: int, text: str, facts: dict[str, Any] | None, ids: Sequence[int], logprobs: Sequence[float]
    ) -> bool:
        """Another text, out of the index until it is settled; False if the message was deleted meanwhile."""
        known = self._db.execute("SELECT text, indexed FROM messages WHERE id = ?", (message,)).fetchone()
        if known is None:
            return False
        before, indexed = known
        if indexed:
            self._unindex(message, before)
            self._db.execute("DELETE FROM vectors WHERE message = ?", (message,))
        self._db.execute(
            "UPDATE messages SET text = ?, facts = ?, ids = ?, logprobs = ?, updated = ? WHERE id = ?",
            (text, _json(facts or {}), array("i", ids).tobytes(), array("f", logprobs).tobytes(), time.time(), message),
        )
        return True

    def choose(self, conversation: int, parent: int | None, child: int | None) -> None:
        """Let the shown path go on with a child of `parent` (None: the beginning), or end there."""
        with self._change():
            self._choose(conversation, parent, child)

    def _choose(self, conversation: int, parent: int | None, child: int | None) -> None:
        if parent is None:
            self._db.execute("UPDATE conversations SET chosen = ? WHERE id = ?", (child, conversation))
        else:
            self._db.execute("UPDATE messages SET chosen = ? WHERE id = ?", (child, parent))

    def messages(self, conversation: int) -> list[Entry]:
        """All messages of the tree, parents before children, siblings in the order they came."""
        query = f"SELECT {ENTRY} FROM messages WHERE conversation = ? ORDER BY id"
        with self._errors():
            return [entry_of(row) for row in self._db.execute(query, (conversation,))]

    def shown(self, conversation: int) -> list[Entry]:
        """The messages shown, from the first on."""
        entries = {entry.id: entry for entry in self.messages(conversation)}
        found, at = [], self.kept(conversation).chosen
        while at is not None and at in entries:
            found.append(entries[at])
            at = entries[at].chosen
        return found

    # Deleting

    def delete_message(self, message: int) -> None:
        """Forget a message and everything below it; the nearest sibling is shown instead. `scrub` when done."""
        with self._change():
            row = self._db.execute("SELECT conversation, parent FROM messages WHERE id = ?", (message,)).fetchone()
            if row is None:
                return
            conversation, parent = row
            shown = self._nearest_sibling(conversation, parent, message)
            gone = self._unindex_all(BELOW, message)
            self._db.execute("DELETE FROM messages WHERE id = ?", (message,))
            self._choose(conversation, parent, shown)
            self._db.execute(
                "UPDATE conversations SET messages = messages - ?, updated = ? WHERE id = ?",
                (gone, time.time(), conversation),
            )

    def _nearest_sibling(self, conversation: int, parent: int | None, message: int) -> int | None:
        """The one after a message, else the one before it; None where it is alone."""
        query = "SELECT id FROM messages WHERE conversation = ? AND parent IS ? ORDER BY id"
        siblings = [id_ for (id_,) in self._db.execute(query, (conversation, parent))]
        at = siblings.index(message)
        return next(iter([*siblings[at + 1 :], *reversed(siblings[:at])]), None)

    def delete(self, conversations: Sequence[int]) -> int:
        """Forget conversations; returns how many there were. `scrub` when done."""
        deleted = 0
        for conversation in conversations:
            with self._change():
                self._unindex_all("SELECT id FROM messages WHERE conversation = ?", conversation)
                deleted += self._db.execute("DELETE FROM conversations WHERE id = ?", (conversation,)).rowcount
        return deleted

    def expire(self, days: float) -> int:
        """Forget what was not changed for so many days and is not pinned; returns how many conversations."""
        with self._errors():
            rows = self._db.execute(
                "SELECT id FROM conversations WHERE pinned = 0 AND updated < ?", (time.time() - days * 86400,)
            ).fetchall()
        return self.delete([conversation for (conversation,) in rows])

    def scrub(self) -> None:
        """Take what was deleted off the disk: out of the words' segments and out of the write-ahead log.

        The file itself becomes smaller where more than half of it would stay empty.
        """
        with self._errors():
            self._db.execute("INSERT INTO words (words) VALUES ('optimize')")
            query = "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count"
            empty, pages = self._db.execute(query).fetchone()
            if 2 * empty > pages:
                # No room for the copy, or another process writes: the empty pages, which are zeros, wait for the next.
                with contextlib.suppress(sqlite3.OperationalError):
                    self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _unindex_all(self, query: str, value: int) -> int:
        """Take messages out of the index, as their texts are about to go; `query`: for their ids. Returns how many."""
        rows = self._db.execute(f"SELECT id, text, indexed FROM messages WHERE id IN ({query})", (value,)).fetchall()
        for message, text, indexed in rows:
            if indexed:
                self._unindex(message, text)
        return len(rows)

    # What a killed process left

    def _index_the_killed(self) -> None:
        """Answers whose process died before their end can be found as well."""
        long_ago = "indexed = 0 AND updated < ?"
        with self._errors():
            if not self._db.execute(f"SELECT 1 FROM messages WHERE {long_ago}", (time.time() - SETTLED,)).fetchone():
                return
        with self._change():
            query = f"SELECT id, text FROM messages WHERE {long_ago}"
            for message, text in self._db.execute(query, (time.time() - SETTLED,)).fetchall():
                self._index(message, text)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if whole(text) == text else json.dumps(value)  # a file's name may be no UTF-8
