"""What the model wrote about passages that were read before, kept by a digest of model, prompt and sampling.

Safe to delete; one SQLite file, mode 0600, since it holds what users' texts say. Several processes may share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

MOST = 20_000
"""Results kept; the oldest go first."""
PATIENCE = 5.0
"""Seconds to wait for another process that writes."""


class ResultCache:
    """A `Memory` on disk. Where the disk can't be used it forgets, and the work is simply done again."""

    def __init__(self, path: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.Error):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, text TEXT, at REAL)")
            except sqlite3.DatabaseError as error:
                connection.close()
                if not isinstance(error, sqlite3.OperationalError):  # that one says: in use, or no room
                    path.unlink()  # damaged; the next run makes a new one
                raise
            self._connection = connection

    def get(self, key: str) -> str | None:
        """What was kept under a key of any length."""
        if self._connection is None:
            return None
        with contextlib.suppress(sqlite3.Error):
            row = self._connection.execute("SELECT text FROM results WHERE key = ?", (_digest(key),)).fetchone()
            return row[0] if row else None
        return None

    def put(self, key: str, text: str) -> None:
        """Keep a result."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute(
                    "INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (_digest(key), text, time.time())
                )

    def close(self) -> None:
        """Drop the oldest results above the limit, and close."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute(
                    "DELETE FROM results WHERE key IN (SELECT key FROM results ORDER BY at DESC LIMIT -1 OFFSET ?)",
                    (MOST,),
                )
            self._connection.close()
            self._connection = None

    def __enter__(self) -> ResultCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()
