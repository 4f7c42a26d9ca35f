"""Texts in columns of a terminal, where a Chinese character takes two."""

from __future__ import annotations

import pytest

from tui.cli.widths import columns, cut, left, right, wrapped


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("词元", 4), ("ａ，", 4), ("…", 1), ("한국", 4), ("é·", 2)]
)
def test_wide_characters_take_two_columns(text: str, width: int) -> None:
    assert columns(text) == width
    assert (left(text, 9), right(text, 9)) == (text + " " * (9 - width), " " * (9 - width) + text)
    assert (left(text, width), right(text, width - 1)) == (text, text)


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("one two  three", 7, ["one two", "three"]),
        ("one two three", 6, ["one", "two", "three"]),
        ("  indented, then unbrokenword at", 9, ["indented,", "then", "unbrokenword", "at"]),
        ("保留最可能的词元", 7, ["保留最", "可能的", "词元"]),
        ("保留（最可能的）词元，其他不要。", 8, ["保留（最", "可能的）", "词元，其", "他不要。"]),
        ("运行 llm 命令", 8, ["运行 llm", "命令"]),
        ("", 5, []),
        (" \n ", 5, []),
    ],
)
def test_a_text_is_wrapped_at_blanks_and_between_chinese_characters(text: str, room: int, lines: list[str]) -> None:
    assert wrapped(text, room) == lines


@pytest.mark.parametrize("text", ["plain text", "你好世界你好", "a你b好c"])
def test_what_is_cut_is_the_longest_beginning_that_fits(text: str) -> None:
    for room in range(columns(text) + 2):
        beginnings = (text[:length] for length in range(len(text), -1, -1))
        assert cut(text, room) == next(one for one in beginnings if columns(one) <= room)
