"""Text files as documents: whole or not at all, byte-order marks obeyed, errors that name the file and the byte."""

from __future__ import annotations

import codecs
import difflib
import errno
import os
import re
import stat
from pathlib import Path

from engine.errors import InputError, UsageError
from engine.schema import Document
from tui.paths import at_home

MAX_BYTES = 64 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"<(?:meta\b[^>]*?charset|\?xml\b[^>]*?encoding)\s*=\s*[\"']?\s*([\w-]{2,20})", re.IGNORECASE)
_MEANT = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "shift_jis": "cp932", "euc-kr": "cp949"}
"""What pages mean by the names of smaller encodings."""


def read_file(path: str, encoding: str | None = None, errors: str | None = None) -> Document:
    """A file's text, named by its path. Raises InputError that names the file."""
    if not path:
        raise InputError("a file's name is empty", hint="check the quotes, and the variable that holds it")
    try:
        if Path(path).is_dir():
            raise InputError(f"{path} is a folder, expected a text file", hint=f"name files: {path.rstrip('/')}/*")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}", hint=_elsewhere(Path(path))) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"can't read {path}: {reason}", hint=_way_on(error)) from error
    return as_document(data, path, encoding, errors)


def as_document(data: bytes, name: str, encoding: str | None = None, errors: str | None = None) -> Document:
    """Bytes as a document whose lines end with a newline alone. Raises InputError with the byte offset."""
    text = decode(data, name, encoding, errors)
    first, newline, _ = text.partition("\n")
    return Document(name, text.replace("\r\n", "\n"), crlf=bool(newline) and first.endswith("\r"))


def _way_on(error: Exception) -> str:
    """What to do about a file that is no use as it is."""
    if isinstance(error, PermissionError):
        return "ask its owner for leave to read it, or name another file"
    if getattr(error, "errno", 0) == errno.ENAMETOOLONG:
        return "a text itself is piped in; a file is named by its path"
    return "check the path, or name another file"


def is_file(path: str) -> bool:
    """Whether a text names a file that is there; no text is too long or too odd to ask that of."""
    try:
        return at_home(path).is_file()
    except (OSError, ValueError):  # too long for a name; a NUL
        return False


def ends(path: str) -> str:
    """The path of something that can be read while a person waits. Raises InputError for a pipe or a device."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # who reads it says so
        return path
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is a pipe or a device, expected a file", hint="save its text first, and name that")
    return path


def empty_file(name: str, purpose: str = "") -> InputError:
    """What is wrong with a file that says nothing, and what to do."""
    why = f"{name} is empty" + (f": nothing to {purpose}" if purpose else "")
    return InputError(why, hint="save its text first, or name another file")


def _elsewhere(path: Path) -> str:
    """Where a file that is not there may be: under a name like it, else in another folder."""
    folder = path.parent
    try:
        names, whole = os.listdir(folder), folder.absolute()
    except OSError:  # also where the working folder itself was deleted
        return f"there is no folder {folder}: check the path"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / near[0]}?" if near else f"looked in {whole}: check the name"


def decode(data: bytes, name: str, encoding: str | None = None, errors: str | None = None) -> str:
    """Bytes as text, a byte-order mark obeyed and dropped; a page that is not UTF-8 may say what it is.

    Raises InputError with the byte offset.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES >> 20} MiB", hint="split it, and give the parts one by one")
    marked = next((codec for mark, codec in _MARKS if data.startswith(mark)), None)
    chosen = encoding or marked or _declared(data) or "utf-8"
    try:
        codec = codecs.lookup(chosen)
        if not getattr(codec, "_is_text_encoding", True):
            raise LookupError(chosen)
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"unknown encoding {chosen!r}", hint="such as utf-8, utf-16, gb18030, big5, latin-1"
        ) from error
    if not encoding and not marked and (nul := data.find(0)) >= 0:
        raise InputError(
            f"{name} is binary, expected text (a NUL at byte {nul})",
            hint=_way_to_text(data) or "a text in UTF-16 needs --encoding utf-16",
        )
    try:
        return data.decode(codec.name, errors or "strict").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: not valid {chosen.upper()} at byte {error.start}",
            hint=_way_to_text(data) or "--encoding names another encoding (gb18030, latin-1), --errors replace goes on",
        ) from error


def _way_to_text(data: bytes) -> str:
    """What to do about a file whose kind has a text inside; empty for another."""
    if data.startswith(b"%PDF-"):
        return "it is a PDF: save its text first, such as with pdftotext"
    if data.startswith(b"PK\x03\x04"):
        return "it is an archive or an office document: unpack it, or save its text first"
    if data.startswith(b"\x1f\x8b"):
        return "it is compressed: unpack it first"
    return ""


def _declared(data: bytes) -> str:
    """The encoding that a page names in its beginning, if it is not UTF-8 and can be told by it."""
    if (found := _DECLARED.search(data[:2048])) is None:
        return ""
    try:
        data.decode()
    except UnicodeDecodeError:
        name = found[1].decode().lower()
        try:
            meant = codecs.lookup(_MEANT.get(name, name))
            data.decode(meant.name)
        except (LookupError, ValueError):
            return ""
        return meant.name if getattr(meant, "_is_text_encoding", True) else ""
    return ""
