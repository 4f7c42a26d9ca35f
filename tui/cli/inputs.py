"""Texts and documents from arguments, files and stdin, by the join rule; nothing is guessed, cut or half read."""

from __future__ import annotations

import codecs
import io
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import InputError, UsageError
from engine.schema import Document
from tui.cli.console import is_terminal

MAX_BYTES = 64 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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
    return Document("stdin", decode(data, "stdin", encoding, errors))


def read_file(path: str, encoding: str | None = None, errors: str | None = None) -> Document:
    """A file's text, named by its path. Raises InputError that names the file."""
    try:
        if Path(path).is_dir():
            raise InputError(f"{path} is a folder, expected a text file", hint=f"name files: {path.rstrip('/')}/*")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"can't read {path}: {reason}") from error
    return Document(path, decode(data, path, encoding, errors))


def decode(data: bytes, name: str, encoding: str | None = None, errors: str | None = None) -> str:
    """Bytes as text, a byte-order mark obeyed and dropped. Raises InputError with the byte offset."""
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES >> 20} MiB", hint="split it, and give the parts one by one")
    marked = next((codec for mark, codec in _MARKS if data.startswith(mark)), None)
    chosen = encoding or marked or "utf-8"
    try:
        codec = codecs.lookup("utf-8-sig" if codecs.lookup(chosen).name == "utf-8" else chosen)
        if not getattr(codec, "_is_text_encoding", True):
            raise LookupError(chosen)
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"unknown encoding {chosen!r}", hint="such as utf-8, utf-16, gb18030, big5, latin-1"
        ) from error
    if not encoding and not marked and (nul := data.find(0)) >= 0:
        raise InputError(
            f"{name} is binary, expected text (a NUL at byte {nul})", hint="a text in UTF-16 needs --encoding utf-16"
        )
    try:
        text = data.decode(codec.name, errors or "strict")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: not valid {chosen.upper()} at byte {error.start}",
            hint="--encoding names another encoding (gb18030, latin-1), --errors replace goes on",
        ) from error
    return text.replace("\r\n", "\n")


def documents(paths: Sequence[str] | None, *, encoding: str | None = None, errors: str | None = None) -> list[Document]:
    """The files in the order given, then stdin if it holds anything; `-` puts stdin where it stands.

    Empty stdin is no document; an empty file is an InputError. Raises InputError, UsageError.
    """
    paths = list(paths or [])
    if paths.count("-") > 1:
        raise UsageError("- (stdin) can be named only once")
    found = []
    for path in paths:
        document = read_stdin(encoding, errors) if path == "-" else read_file(path, encoding, errors)
        if document.text.strip():
            found.append(document)
        elif path != "-":
            raise InputError(f"{path} is empty")
    if "-" not in paths and stdin_has_input():
        document = read_stdin(encoding, errors)
        if document.text.strip():
            found.append(document)
    return found
