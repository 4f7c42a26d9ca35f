"""What comes from the terminal as text, in whatever pieces it comes."""

from __future__ import annotations

import pytest

from tui.keyboard import Keyboard

CASES = [
    (b"abc\x1b[A\x1b", "abc\x1b[A\x1b"),
    (b"caf\xe9 \xc3\xa9", "caf� é"),
    (b"\x1b[200~a \x1b[31mred\x1b[0m \x1b]0;t\x07\x1b b\r\x1b[201~\x1b[B", "\x1b[200~a red  b\r\x1b[201~\x1b[B"),
    (b"\x1b[200~one\x1b[201~\x1b[200~\x1b[1mtwo\x1b[201~x", "\x1b[200~one\x1b[201~\x1b[200~two\x1b[201~x"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize(("data", "expected"), CASES)
def test_pieces_of_any_size_say_the_same(data: bytes, expected: str, size: int) -> None:
    decode = Keyboard().decode
    said = [decode(data[at : at + size]) for at in range(0, len(data), size)]
    assert "".join(said) == expected


def test_the_escape_key_waits_for_nothing() -> None:
    assert Keyboard().decode(b"\x1b") == "\x1b"
