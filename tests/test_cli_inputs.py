"""Texts from files and pipes: every bad one is named, nothing is guessed."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from engine.errors import InputError, UsageError
from engine.schema import Document
from tui import files
from tui.cli.inputs import argument_text, documents, read_file, stdin_has_input, text_or_file
from tui.files import as_document, decode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def no_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_files_come_in_the_order_given_and_stdin_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for name in ("b", "a"):
        (tmp_path / name).write_text(f"text {name}")
        paths.append(str(tmp_path / name))
    piped(monkeypatch, b"piped")
    assert [document.text for document in documents(paths)] == ["text b", "text a", "piped"]
    piped(monkeypatch, b"piped")
    assert [document.name for document in documents(["-", *paths])] == ["stdin", *paths]


def test_empty_stdin_is_no_document(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, b" \n")
    assert documents([]) == []


@pytest.mark.usefixtures("no_stdin")
def test_closed_stdin_is_no_document() -> None:
    assert not stdin_has_input()
    assert documents([]) == []
    with pytest.raises(InputError, match="stdin is closed"):
        documents(["-"])


def test_stdin_can_be_named_only_once() -> None:
    with pytest.raises(UsageError, match="only once"):
        documents(["-", "-"])


@pytest.mark.parametrize(
    ("declared", "codec"),
    [('<meta charset="gb2312">', "gb18030"), ("<meta http-equiv=x content='text/html; charset=big5'>", "big5"),
     ("<meta charset=ISO-8859-1>", "cp1252"), ('<?xml version="1.0" encoding="Shift_JIS"?>', "cp932")],
)  # fmt: skip
def test_a_page_that_is_not_utf8_may_say_what_it_is(declared: str, codec: str) -> None:
    text = "“naïve”" if codec == "cp1252" else "春天"
    assert decode(f"{declared}{text}".encode(codec), "page.html") == declared + text


def test_what_a_page_says_of_its_encoding_is_believed_only_where_it_must_be() -> None:
    assert decode('<meta charset="gb2312">春天'.encode(), "page.html").endswith("春天")
    for wrong in ("utf-8", "base64", "nonsense", "ascii"):
        with pytest.raises(InputError, match="not valid UTF-8 at byte"):
            decode(f'<meta charset="{wrong}">'.encode() + b"\xff\xfe\xfa", "page.html")
    with pytest.raises(InputError, match="is binary"):
        decode(b"<html>\0", "page.html")


def test_a_file_that_has_its_text_inside_is_told_how_to_get_at_it() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("conversations.json", "[]")
    kinds = {b"%PDF-1.7\n%\xe2\xe3": "pdftotext", packed.getvalue(): "unpack", gzip.compress(b"a text"): "unpack"}
    for data, way in kinds.items():
        with pytest.raises(InputError) as caught:
            decode(data, "given")
        assert way in caught.value.hint
        assert "--encoding" not in caught.value.hint


def test_invalid_utf8_names_the_file_and_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"abc\xffdef")
    with pytest.raises(InputError, match=r"bad\.txt.*UTF-8 at byte 3") as caught:
        read_file(str(path))
    assert "--encoding" in caught.value.hint
    assert read_file(str(path), errors="replace").text == "abc\ufffddef"


def test_binary_files_are_refused_with_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\x00")
    with pytest.raises(InputError, match=r"binary.*byte 4"):
        read_file(str(path))
    with pytest.raises(InputError, match=r"binary.*byte 0"):
        decode(b"\0\0", "x")


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_obeyed_and_dropped(codec: str) -> None:
    assert decode("你好\n".encode(codec), "x") == "你好\n"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "gb18030"])
def test_a_mark_is_dropped_where_the_encoding_is_named_as_well(codec: str) -> None:
    marked = "你好" if codec == "utf-8-sig" else "\ufeff你好"
    assert decode(marked.encode(codec), "x", codec) == "你好"


def test_the_byte_that_is_wrong_is_counted_from_the_mark() -> None:
    with pytest.raises(InputError, match="not valid UTF-8 at byte 4"):
        decode(b"\xef\xbb\xbfa\xff", "x")


def test_other_encodings_are_read_when_named() -> None:
    assert decode("你好".encode("gb18030"), "x", "gb18030") == "你好"
    assert decode("你好".encode("utf-16-le"), "x", "utf-16-le") == "你好"


@pytest.mark.parametrize("name", ["klingon", "rot13", "hex", "a\0b"])
def test_an_unknown_encoding_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="unknown encoding"):
        decode(b"x", "x", name)


def test_windows_line_ends_become_newlines() -> None:
    assert as_document(b"a\r\nb\r\n", "x") == Document("x", "a\nb\n", crlf=True)
    assert as_document(b"a\nb\r\n", "x") == Document("x", "a\nb\n")


def test_folders_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read_file(str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        read_file(str(tmp_path / "none"))
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="empty is empty"):
        documents([str(tmp_path / "empty")])


def test_a_name_that_no_file_can_have_is_an_error() -> None:
    for name, hint in (("a\0b", "check the path"), ("x" * 5000, "a text itself is piped in")):
        with pytest.raises(InputError) as caught:
            read_file(name)
        assert caught.value.hint.startswith(hint)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are Unix's")
def test_what_a_person_would_wait_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "a.txt", tmp_path, tmp_path / "none", "a\0b"):
        assert files.ends(str(path)) == str(path)
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(InputError, match="is a pipe or a device"):
            files.ends(str(path))


def test_an_empty_file_is_said_to_be_good_for_nothing() -> None:
    assert files.empty_file("a").message == "a is empty"
    assert files.empty_file("a", "translate").message == "a is empty: nothing to translate"


def test_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    (tmp_path / "big").write_bytes(b"x" * 10)
    assert read_file(str(tmp_path / "big")).text == "x" * 10
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="larger than"):
        read_file(str(tmp_path / "big"))


def test_an_argument_of_invalid_bytes_is_an_error() -> None:
    with pytest.raises(InputError, match="not valid UTF-8"):
        argument_text(os.fsdecode(b"a\xff"))


def test_an_option_takes_text_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").write_text("be brief\n")
    monkeypatch.chdir(tmp_path)
    for name in ("@p", f"@{tmp_path}/p"):
        assert text_or_file(name, "--system") == "be brief"
    assert text_or_file("@", "--system") == "@"


def test_what_is_wrong_with_a_file_comes_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError) as empty:
        documents([str(tmp_path / "notes.txt")])
    assert "another file" in (empty.value.hint or "")
    with pytest.raises(InputError) as misspelt:
        read_file(str(tmp_path / "note.txt"))
    assert misspelt.value.hint == f"did you mean {tmp_path / 'notes.txt'}?"
    with pytest.raises(InputError) as missing:
        read_file(str(tmp_path / "qzqzqz"))
    assert str(tmp_path) in (missing.value.hint or "")
    with pytest.raises(InputError) as nowhere:
        read_file(str(tmp_path / "gone" / "x.txt"))
    assert f"no folder {tmp_path / 'gone'}" in (nowhere.value.hint or "")
