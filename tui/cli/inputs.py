"""Texts and documents from arguments, files and stdin, by the join rule; nothing is guessed, cut or half read."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Sequence

from engine.errors import InputError, UsageError
from engine.schema import Document
from tui.cli.console import current, is_terminal
from tui.files import MAX_BYTES, as_document, empty_file, read_file
from tui.pages import HtmlChoice, page_of

__all__ = [
    "argument_text",
    "as_read",
    "documents",
    "read_file",
    "read_path",
    "read_stdin",
    "stdin_has_input",
    "stdin_once",
    "text_or_file",
    "with_text",
]


def argument_text(text: str, what: str = "the argument") -> str:
    """An argument that is real text. Raises InputError for bytes that were no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} is not valid UTF-8 (at character {error.start})") from error
    return text


def text_or_file(value: str, what: str) -> str:
    """The text of an option that takes text or @FILE. Raises InputError."""
    if value.startswith("@") and len(value) > 1:
        return read_file(value[1:]).text.strip()
    return argument_text(value, what)


def stdin_has_input() -> bool:
    """Whether stdin is a pipe, a file or a socket: something that ends. Closed, a device or a terminal is not."""
    if sys.stdin is None or is_terminal(sys.stdin):
        return False
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except io.UnsupportedOperation:  # a stream in memory
        return True
    except (OSError, ValueError):  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def read_stdin(encoding: str | None = None, errors: str | None = None) -> Document:
    """All of stdin. Raises InputError, UsageError where a person would have to type it."""
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("stdin is closed", hint="pipe a text into it, or name a file")
    source = getattr(sys.stdin, "buffer", None)
    data = source.read(MAX_BYTES + 1) if source else sys.stdin.read().encode()
    return as_document(data, "stdin", encoding, errors)


def read_path(path: str, encoding: str | None = None, errors: str | None = None) -> Document:
    """A file, or stdin for `-`. Raises InputError."""
    return read_stdin(encoding, errors) if path == "-" else read_file(path, encoding, errors)


def as_read(document: Document, html: HtmlChoice | None = None) -> Document:
    """A web page as its text, and said so; any other document as it is. Raises InputError for a page without text."""
    page = page_of(document, html)
    if page is None:
        return document
    if html is None:
        current()[0].note(f"{document.name}: a web page, read as its text; --html source reads it as it is")
    return page


def stdin_once(paths: Sequence[str]) -> list[str]:
    """The paths. Raises UsageError where they name stdin twice."""
    if paths.count("-") > 1:
        raise UsageError("- (stdin) can be named only once", hint="leave one - out")
    return list(paths)


def with_text(document: Document, path: str, purpose: str = "") -> Document:
    """What was read of a path, if it says anything: an empty file can't be read, and empty stdin is no document.

    Raises InputError for the one, UsageError for the other.
    """
    if document.text.strip():
        return document
    error = empty_file(document.name, purpose)
    raise UsageError(error.message, hint="pipe a text into it, or name a file") if path == "-" else error


def documents(
    paths: Sequence[str] | None,
    *,
    encoding: str | None = None,
    errors: str | None = None,
    html: HtmlChoice | None = None,
) -> list[Document]:
    """The files in the order given, then stdin if it holds anything; `-` puts stdin where it stands.

    Empty stdin is no document; an empty file is an InputError. Raises InputError, UsageError.
    """
    paths = stdin_once(paths or [])
    found = []
    for path in paths:
        document = read_path(path, encoding, errors)
        if path != "-" or document.text.strip():
            found.append(as_read(with_text(document, path), html))
    if "-" not in paths and stdin_has_input():
        document = read_stdin(encoding, errors)
        if document.text.strip():
            found.append(as_read(document, html))
    return found
