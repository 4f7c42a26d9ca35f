"""The words with a slash: one table, no word without its deed."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from tui import commands
from tui.cli import slash
from tui.strings.sentences import translated


def test_aliases_lead_to_their_word() -> None:
    pairs = {"?": "help", "quit": "exit", "bye": "exit", "new": "clear", "retry": "regen", "read": "file"}
    assert {word: commands.find(word).name for word in pairs} == pairs
    assert commands.find("/EXIT").name == "exit"


def test_no_word_has_two_meanings() -> None:
    assert len(commands.words()) == len(set(commands.words()))
    assert len(commands.words()) == sum(1 + len(command.aliases) for command in commands.COMMANDS)


def test_an_unknown_word_is_an_error_that_names_the_nearest_and_the_escape() -> None:
    with pytest.raises(UsageError, match="/regne") as caught:
        commands.parse("/regne now")
    assert "/regen" in caught.value.hint
    assert "//regne" in caught.value.hint


@pytest.mark.parametrize("line", ["/", "/ text", "/regne", "/xyz"])
def test_an_unknown_word_is_told_in_chinese_too(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        commands.parse(line)
    for said in (caught.value.message, caught.value.hint or ""):
        assert translated(said).startswith(("没有命令 /", "是不是 /", "/help 列出命令"))


def test_a_line_is_split_into_word_and_rest() -> None:
    found = commands.parse("/set top_k  40 ")
    assert found is not None
    assert (found[0].name, found[1]) == ("set", "top_k  40")


@pytest.mark.parametrize("line", ["hello", " /help", "//help", "1/2"])
def test_other_lines_go_to_the_model(line: str) -> None:
    assert commands.parse(line) is None


def test_two_slashes_send_one() -> None:
    assert commands.unescaped("//help") == "/help"
    for text in ("/help", "//help", "help /", ""):
        assert commands.unescaped(commands.escaped(text)) == text
        assert commands.parse(commands.escaped(text)) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("007", 7), ("２", 2), ("0", None), ("-1", None), ("", None), ("²", None), ("1.5", None), ("two", None),
     ("9" * 18, 10**18 - 1), ("9" * 5000, None)],
)  # fmt: skip
def test_a_number_counts_from_one(text: str, number: int | None) -> None:
    assert commands.number_of(text) == number


def test_every_word_does_something() -> None:
    assert set(slash._HANDLERS) == {command.name for command in commands.COMMANDS}
