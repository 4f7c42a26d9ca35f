"""Rows that are done and wait for a slower one before them, kept beside the output file so that no kill loses them.

The output holds rows in order and nothing else; FILE.pending holds the rest, a JSON line each, while there is any.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from engine.errors import InputError
from tui.cli.row_settings import Asked
from tui.cli.rows import Row


class Journal:
    """The waiting rows of one output file. A context manager; only the process that holds the file's lock has one."""

    def __init__(self, output: Path, rows: Sequence[Row], columns: Sequence[str], asked: Asked) -> None:
        """`columns` and `asked`: what the task adds to a row, and what that depends on, which tell runs apart."""
        self.path = Path(f"{output}.pending")  # a folder may have no name of its own: `.`
        self._rows, self._made = rows, [list(columns), asked]
        self._file: IO[str] | None = None
        self._holds = self.path.exists()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows that an earlier run kept, each with its number; damaged lines and those of other rows are not."""
        try:
            text = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"can't read {self.path}: {error.strerror}") from error
        for line in text.split("\n"):
            # A killed process leaves half a line.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                kept = json.loads(line)
                index, result = kept["row"], kept["result"]
                if 0 <= index < len(self._rows) and isinstance(result, dict) and kept["of"] == self._key(index):
                    yield index, result

    def keep(self, index: int, result: dict[str, Any]) -> None:
        """Add a row. Raises InputError if it can't be written."""
        line = json.dumps({"row": index, "of": self._key(index), "result": result})
        self._write(line + "\n")
        self._holds = True

    def clear(self) -> None:
        """Nothing waits any longer."""
        if self._holds:
            self._write(None)
            self._holds = False

    def remove(self) -> None:
        """The output is complete."""
        if self._file:
            self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)

    def _write(self, text: str | None) -> None:
        """Add to the file; None empties it."""
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="ascii", newline="\n")
                self._file.write("\n")  # a killed process may have left half a line
            if text is None:
                self._file.flush()
                self._file.truncate(0)
            else:
                self._file.write(text)
                self._file.flush()
        except OSError as error:
            if self._file:
                with contextlib.suppress(OSError):  # what could not be written is not tried again
                    self._file.close()
            raise InputError(f"can't write {self.path}: {error.strerror}") from error

    def _key(self, index: int) -> str:
        row = self._rows[index]
        known = json.dumps([*self._made, row.text, row.fields])
        return hashlib.sha256(known.encode()).hexdigest()[:16]
