"""One SQLite file of the user's own: opened with mode 0600, brought up to date, changed in whole transactions."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class StoreError(EngineError):
    """The file can't be opened, read or written."""


class StoreBusy(StoreError):
    """Someone else writes: it can be done when they are done."""


class Database:
    """An open file. Threads may share it: `errors` and `change` hold a lock."""

    def __init__(self, path: Path, migrations: Sequence[str], *, name: str, mend: str, patience: float) -> None:
        """`migrations`: append-only; `PRAGMA user_version` says how many of them a file has had.

        `name`: what people call it. `mend`: what to do with a damaged one. `patience`: seconds to wait for another
        process that writes. Raises StoreError.
        """
        self.path, self._migrations, self._name, self._mend = path, migrations, name, mend
        self._lock = threading.RLock()
        self._patience = self._waits = patience
        self._hurried: dict[int, float] = {}
        """Seconds that a thread waits for others, where it is not as long as usual."""
        with self.errors():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self.connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            try:
                self._refuse_a_stranger()  # first of all: not a byte of it is changed
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = NORMAL")
                self.connection.execute("PRAGMA foreign_keys = ON")
                self._migrate()
            except BaseException:
                self.connection.close()
                raise

    def hurry(self, patience: float | None) -> None:
        """Let the calling thread wait so long for others at most, as one must that draws; None: as long as all do."""
        self._hurried.pop(threading.get_ident(), None)
        if patience is not None:
            self._hurried[threading.get_ident()] = patience

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self.connection.close()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """What SQLite raises, as StoreError with what to do next."""
        with self._alone():
            try:
                yield
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise self._busy() from error
                if str(error).startswith(("no such table", "no such column")):
                    raise self._not_ours() from error
                raise StoreError(
                    f"the {self._name} {self.path} can't be used: {error}", hint="check its folder and the space there"
                ) from error
            except (sqlite3.ProgrammingError, sqlite3.IntegrityError) as error:
                # It was closed in between, or another process took away what this belongs to.
                raise StoreError(
                    f"the {self._name} {self.path} can't be used: {error}", hint="run the command again"
                ) from error
            except (UnicodeError, OverflowError, sqlite3.DataError) as error:
                # Half a character; a number beyond 64 bits; a text beyond a gigabyte.
                raise StoreError(
                    f"the {self._name} can't hold this: {error}", hint="check the text or the number"
                ) from error
            except (sqlite3.DatabaseError, ValueError) as error:  # or a row that holds what we never wrote
                raise StoreError(f"{self.path} is damaged: {error}", hint=self._mend) from error
            except OSError as error:
                raise StoreError(f"can't open the {self._name} {self.path}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread of ours is at it; one that is in a hurry does not wait for that, nor for other processes."""
        patience = self._hurried.get(threading.get_ident())
        if not self._lock.acquire(timeout=-1 if patience is None else patience):
            raise self._busy()
        try:
            if (waits := self._patience if patience is None else patience) != self._waits:
                self.connection.execute(f"PRAGMA busy_timeout = {round(waits * 1000)}")
                self._waits = waits
            yield
        finally:
            self._lock.release()

    def _busy(self) -> StoreBusy:
        return StoreBusy(f"{self.path} is in use by another process", hint="try again when it is done")

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """One transaction: all of it or, whatever happens, nothing. Inside another it is a part of that."""
        with self.errors():
            if self.connection.in_transaction:  # ours: others wait for the lock
                yield
                return
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                # One left open, by a full disk or a Ctrl-C at its end, would take all that follows for parts of itself.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _refuse_a_stranger(self) -> None:
        """A file of somebody's tables that no migration of ours has seen is no place for ours. Raises StoreError."""
        query = "SELECT EXISTS (SELECT 1 FROM sqlite_master), user_version FROM pragma_user_version"
        holds_tables, version = self.connection.execute(query).fetchone()
        if holds_tables and version == 0:
            raise self._not_ours()

    def _not_ours(self) -> StoreError:
        return StoreError(f"{self.path} is another program's database, expected the {self._name}", hint=self._mend)

    def _version(self) -> int:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self) -> None:
        known = len(self._migrations)
        if self._version() == known:
            return
        with self.change():  # and looked at again under the lock: two processes may have opened a new file
            version = self._version()
            if version > known:
                raise StoreError(
                    f"{self.path} was made by a newer version of this program (format {version}, known up to {known})",
                    hint=f"update this program, or {self._mend}",
                )
            for script in self._migrations[version:]:
                for statement in script.split(";"):
                    self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {known}")
