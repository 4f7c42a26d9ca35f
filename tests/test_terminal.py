"""The terminal that tests look at: what full-screen programs send stands where a person would see it."""

from __future__ import annotations

import os

import pytest

if os.name != "posix":
    pytest.skip("pseudo-terminals are Unix's", allow_module_level=True)
pytest.importorskip("pexpect")

from terminal import Screen


def test_places_wide_letters_and_erasing() -> None:
    screen = Screen(10, 3)
    screen.feed("\x1b[2;3H中文\x1b[1;31mab\x1b[0m\x1b[1;1Hxy\r\nz")
    assert screen.text == "xy\nz 中文ab\n"
    screen.feed("\x1b[2;5H\x1b[K\x1b[3;1Hlast\x1b[2D!")
    assert screen.text == "xy\nz 中\nla!t"
    screen.feed("\x1b[2J")
    assert screen.text == "\n\n"
    assert screen.clears == 1


def test_a_sequence_may_come_in_pieces() -> None:
    screen = Screen(10, 2)
    for piece in ("a\x1b", "[2", ";2Hb\x1b]52;c;aGk", "=\x07c"):
        screen.feed(piece)
    assert screen.text == "a\n bc"


def test_modes_are_known_and_questions_answered() -> None:
    screen = Screen(10, 2)
    assert screen.restored
    screen.feed("\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[>1u\x1b[?2026$p\x1b[?2026hhello\x1b[?2026l")
    assert not screen.restored
    assert screen.answers == ["\x1b[?2026;2$y"]
    assert screen.frames == ["hello\n"]
    screen.feed("\x1b[<u\x1b[?1000l\x1b[?25h\x1b[?1049l")
    assert screen.restored
