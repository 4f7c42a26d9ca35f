"""Rows out: text, CSV, TSV or JSONL, in the order of the input, each written as soon as it is complete.

With `--resume FILE` rows go to a file that a later run goes on with: what it holds is not done again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from engine.errors import InputError, UsageError
from tui.cli.console import Console, counted
from tui.cli.row_journal import Journal
from tui.cli.row_settings import RENAME
from tui.cli.rows import Row, reader_of

OutFormat = Literal["text", "csv", "tsv", "jsonl"]
Result = dict[str, Any]
"""The columns that a task adds to a row."""


class RowOutput:
    """Formats rows and keeps their order."""

    def __init__(
        self,
        kind: OutFormat,
        rows: Sequence[Row],
        columns: Sequence[str],
        write: Callable[[str], object],
        as_text: Callable[[Row, Result], str],
    ) -> None:
        """`columns`: what the task adds in tables, `error` last, and before it what no other task adds.

        `as_text`: a row in the text format.
        """
        self.kind, self._rows, self._write, self._as_text = kind, rows, write, as_text
        self.given = list(dict.fromkeys(name for row in rows for name in row.fields))
        # An input that has a column `label` keeps it.
        self._names: dict[str, str] = {}
        for name in columns:
            self._names[name] = self._free(name)
        self._done: dict[int, Result] = {}
        self._journal: Journal | None = None
        self.total, self.written = len(rows), 0
        """Rows in all, and those that are out."""
        self.failed = 0
        """Rows with an error, those of earlier runs among them."""

    def _free(self, name: str) -> str:
        while name in self.given or name in self._names.values():  # what was judged twice has `llm_label` as well
            name = f"llm_{name}"
        return name

    def to(self, write: Callable[[str], object], journal: Journal) -> None:
        """Write elsewhere, and keep in the journal what waits."""
        self._write, self._journal = write, journal

    def has(self, index: int) -> bool:
        """Whether a row is done, written or waiting."""
        return index < self.written or index in self._done

    def begin(self) -> None:
        """Write the header of a table."""
        if self.kind in {"csv", "tsv"}:
            self._write(self._line([*self.given, *self._names.values()]))

    def put(self, index: int, result: Result) -> None:
        """Take in the result of a row; writes it and those that waited for it."""
        self.failed += "error" in result
        self._done[index] = result
        self._write_ready()
        if self._journal and index >= self.written:
            self._journal.keep(index, result)
        elif self._journal and not self._done:
            self._journal.clear()

    def _write_ready(self) -> None:
        while self.written in self._done:
            self._write(self.format(self._rows[self.written], self._done.pop(self.written)))
            self.written += 1

    def restore(self) -> int:
        """Take in what the journal of an earlier run holds; returns how many rows that were."""
        assert self._journal is not None
        kept = {index: result for index, result in self._journal.read() if not self.has(index)}
        self.failed += sum("error" in result for result in kept.values())
        self._done |= kept
        self._write_ready()
        if kept and not self._done:
            self._journal.clear()
        return len(kept)

    def format(self, row: Row, result: Result) -> str:
        """One row with its line ending; empty where the text format has nothing to say."""
        if self.kind == "jsonl":
            added = {self._names.get(name) or self._free(name): value for name, value in result.items()}
            return _writable(json.dumps(row.fields | added, ensure_ascii=False)) + "\n"
        if self.kind == "text":
            return "" if "error" in result else self._as_text(row, result) + "\n"
        return self._line([*self._cells(row), *(_short(result.get(name, "")) for name in self._names)])

    def _cells(self, row: Row) -> list[str]:
        """What a table row begins with."""
        return [_cell(row.fields.get(name, "")) for name in self.given]

    def _line(self, values: Sequence[str]) -> str:
        text = io.StringIO()
        # Python quotes the characters of the line ending alone: \r must be among them.
        csv.writer(text, delimiter="," if self.kind == "csv" else "\t", lineterminator="\r\n").writerow(
            map(_writable, values)
        )
        return text.getvalue().removesuffix("\r\n") + "\n"

    def resume(self, path: Path) -> tuple[int, int]:
        """What a file of an earlier run holds: complete rows, and their bytes. Raises UsageError if it is another's."""
        if path.exists() and not (path.is_file() or path.is_dir()):  # it may have no end
            raise InputError(f"{path} is a pipe or a device, expected a file")
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return 0, 0
        except OSError as error:
            raise InputError(f"can't read {path}: {error.strerror}") from error
        text = data.decode("utf-8", errors="surrogateescape")
        records = list(_records(text) if self.kind != "jsonl" else _lines(text))
        if records and not records[-1].endswith("\n"):
            records.pop()
        size = sum(len(record.encode("utf-8", errors="surrogateescape")) for record in records)
        header = "" if self.kind == "jsonl" else self._line([*self.given, *self._names.values()])
        if header and records and records.pop(0) != header:
            raise _other(path, "its header differs")
        if len(records) > len(self._rows):
            raise _other(path, f"it has {counted(len(records), 'row')}, the input {len(self._rows)}")
        *_, own, wrong = self._names.values()
        for number, (record, row) in enumerate(zip(records, self._rows, strict=False), 1):
            if (added := self._added(record, row)) is None:
                raise _other(path, f"its row {number} is not the input's")
            if added.keys().isdisjoint({own, wrong}):
                raise UsageError(f"{path} was made by another command: its row {number} has no {own!r}", hint=RENAME)
            self.failed += bool(added.get(wrong))
        self.written = len(records)
        # What a kill left of a record is written again; another's text is not.
        torn = data[size:].rstrip(b"\0")  # as disks leave where their power fails
        begins = (self._beginning() if size or not header else header).encode()[: len(torn)]
        if torn and not (begins and torn.startswith(begins)):
            raise _other(path, "it ends with something else")
        return len(records), size

    def _beginning(self) -> str:
        """What the next row's record begins with, whatever its result; empty where there is none."""
        if self.written == len(self._rows):
            return ""
        row = self._rows[self.written]
        if self.kind == "jsonl":
            return _writable(json.dumps(row.fields, ensure_ascii=False)).removesuffix("}")
        return self._line([*self._cells(row), "."]).removesuffix(".\n")

    def _added(self, record: str, row: Row) -> Result | None:
        """What a written record adds to this row's fields; None for another row's."""
        if self.kind == "jsonl":
            try:
                written = json.loads(record)
            except ValueError:
                return None
            # As text: NaN, which Python takes for JSON, is not equal to itself.
            if not isinstance(written, dict) or json.dumps(row.fields) != json.dumps(
                {name: written.get(name) for name in row.fields}
            ):
                return None
            return {name: value for name, value in written.items() if name not in row.fields}
        values = next(reader_of(record, "," if self.kind == "csv" else "\t"), [])
        if values[: len(self.given)] != list(map(_writable, self._cells(row))):
            return None
        return dict(zip(self._names.values(), values[len(self.given) :], strict=False))


def _other(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} was made from another input: {why}", hint=RENAME)


def _short(value: Any) -> str:
    """The cell of a result, whose probabilities are told to six digits."""
    return f"{value:.6g}" if isinstance(value, float) else _cell(value)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _writable(text: str) -> str:
    """The text with escapes, as JSON has them, for half a character and for bytes of a name that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends; only a line feed ends one, whatever else Unicode would break at."""
    return (match[0] for match in re.finditer(r"[^\n]*\n|[^\n]+$", text))


def _records(text: str) -> Iterator[str]:
    """The records of a table; a quoted value may hold line breaks, and one that does not end is left out."""
    lines, quotes = list[str](), 0
    for line in _lines(text):
        lines.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            yield "".join(lines)
            lines, quotes = [], 0


@contextmanager
def appending(path: Path, keep: int, console: Console) -> Iterator[Callable[[str], None]]:
    """A file to add rows to after its first `keep` bytes; every row is out before the next one starts.

    Raises InputError.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise InputError(f"can't write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b") as file:
        file.truncate(keep)
        file.seek(keep)

        def write(text: str) -> None:
            try:
                file.write(text.encode())
                file.flush()
            except OSError as error:
                with suppress(OSError):  # what could not be written is not tried again
                    file.close()
                raise InputError(f"can't write {path}: {error.strerror}") from error

        yield write
    console.note(f"wrote {path}")
