"""Rows in: the texts of a file line by line, a CSV or TSV column, a JSONL field, or whole files, each one row.

A row that can't be read is a row with an error: the others go on.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine.errors import InputError, UsageError
from engine.schema import Document
from engine.tasks.breaks import numbered, shown
from tui.cli.console import counted
from tui.cli.inputs import as_read, read_path, stdin_has_input, stdin_once, with_text
from tui.cli.options import Options
from tui.files import MAX_BYTES

if TYPE_CHECKING:
    from _csv import Reader

SPEC = re.compile(r"lines|(csv|tsv|jsonl):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One text to work on, and what stood beside it."""

    text: str
    name: str = ""
    """What it is called in messages: a file, or a file and a line."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What an output row begins with: the columns of the input."""
    error: str = ""
    """Why there is no text; empty when there is."""


def read_rows(options: Options, paths: Sequence[str], spec: str | None, *, by_line: bool = False) -> list[Row]:
    """The rows of files (or of stdin without any), each file a row unless `spec` (`--in`) says otherwise.

    `by_line`: whole files keep the line numbers that they have, for what tells lines.

    Raises UsageError for a wrong spec or no input, InputError for a single file that can't be read or is empty.
    """
    check_spec(spec)
    paths = stdin_once(paths)
    if not paths and stdin_has_input():
        paths = ["-"]
    if not paths:
        raise UsageError("no input", hint="name files, or pipe text in (more: --help)")
    if spec is None:
        rows = [_whole(options, path, alone=len(paths) == 1) for path in paths]
        return rows if by_line else [replace(row, text=shown(row.text)) for row in rows]
    rows = []
    for path in paths:
        document = read_path(path, options.encoding, options.errors)
        rows += _split(as_read(document, options.html) if spec == "lines" else document, spec)
    if not rows:
        if paths == ["-"]:
            raise UsageError("no rows in the input", hint="pipe rows into it, or name a file")
        raise InputError(f"no rows in {', '.join(paths)}", hint="save its text first, or name another file")
    return rows


def check_spec(spec: str | None) -> None:
    """Raises UsageError for what `--in` does not take."""
    if spec is not None and not SPEC.fullmatch(spec):
        raise UsageError(f"--in expects lines, csv:COLUMN, tsv:COLUMN or jsonl:FIELD, got {spec!r}")


def _whole(options: Options, path: str, *, alone: bool) -> Row:
    try:
        document = as_read(read_path(path, options.encoding, options.errors), options.html)
    except InputError as error:
        if alone:
            raise
        return Row("", path, {"name": path}, error.message)
    if alone:
        with_text(document, path)
    empty = "" if document.text.strip() else "the text is empty"
    return Row(document.text, document.name, {"name": document.name}, empty)


def _split(document: Document, spec: str) -> Iterator[Row]:
    if not document.text.strip():
        return iter(())
    if spec == "lines":
        lines = numbered(document.text)
        return (Row(line.strip(), f"{document.name}:{n}", {"text": line.strip()}) for n, line in lines if line.strip())
    kind, _, column = spec.partition(":")
    if kind == "jsonl":
        return _json_rows(document, column)
    return _table_rows(document, column, ",;\t" if kind == "csv" else "\t")


def _table_rows(document: Document, column: str, delimiters: str) -> Iterator[Row]:
    reader = reader_of(document.text, _delimiter(document.text, column, delimiters), strict=True)
    try:
        header = _header(reader)
        if column not in header:
            known = ", ".join(header) or "none"
            raise UsageError(f"{document.name} has no column {column!r}", hint=f"its columns: {known}")
        at, last = header.index(column), len(header) - 1
        for values in reader:
            if not values:
                continue
            # Cells without a column stand in the last one: none is lost.
            cells = [*values[:last], reader.dialect.delimiter.join(values[last:])]
            fields = dict(zip(header, cells + [""] * last, strict=False))
            name = f"{document.name}:{reader.line_num}"
            count = counted(len(values), "value")
            wrong = f"{count}, expected {len(header)}" if len(values) != len(header) else ""
            text = "" if wrong else values[at]
            yield Row(text, name, fields, wrong or ("" if text.strip() else "the text is empty"))
    except csv.Error as error:
        raise InputError(f"{document.name}:{reader.line_num}: not valid CSV: {error}") from error


def _delimiter(text: str, column: str, delimiters: str) -> str:
    """What parts the cells: the first of these by which the header has the column, as spreadsheets write `;` for `,`
    where that is the decimal point; the first of all where it has it by none.
    """
    for delimiter in delimiters:
        with contextlib.suppress(csv.Error):
            if column in _header(reader_of(text, delimiter, strict=True)):
                return delimiter
    return delimiters[0]


def _header(reader: Reader) -> list[str]:
    """The names of the columns; a blank line before them is no header."""
    return _told_apart(next(filter(None, reader), []))


def reader_of(text: str, delimiter: str, *, strict: bool = False) -> Reader:
    """The records of a table; a cell may be a whole article, for which Python's own limit is too low."""
    csv.field_size_limit(MAX_BYTES)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)


def _told_apart(header: list[str]) -> list[str]:
    """The names of columns; one that stood before, as names that are empty often do, gets a number: `note_2`."""
    names: list[str] = []
    for name in header:
        free = (f"{name}_{number}" for number in itertools.count(2) if f"{name}_{number}" not in [*header, *names])
        names.append(next(free) if name in names else name)
    return names


def _json_rows(document: Document, column: str) -> Iterator[Row]:
    for number, line in enumerate(document.text.split("\n"), 1):
        if not line.strip():
            continue
        name = f"{document.name}:{number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            yield Row("", name, {"name": name}, "not valid JSON")
            continue
        if not isinstance(fields, dict):
            yield Row("", name, {"name": name}, "expected a JSON object")
        elif not isinstance(fields.get(column), str):
            yield Row("", name, fields, f"no text in field {column!r}")
        else:
            yield Row(fields[column], name, fields, _wrong(fields[column]))


def _wrong(text: str) -> str:
    """What is wrong with a text that JSON holds; empty if nothing is."""
    if half := re.search("[\ud800-\udfff]", text):
        return f"the text holds half a surrogate pair (U+{ord(half[0]):X}) at {half.start()}"
    return "" if text.strip() else "the text is empty"
