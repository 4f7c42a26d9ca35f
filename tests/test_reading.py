"""What was read of an input, and what was not, as people are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.schema import Citation, Coverage
from tui.cli.console import Console
from tui.cli.reading import tell_citations, tell_coverage
from tui.strings import Strings
from tui.task_words import read_note

if TYPE_CHECKING:
    import pytest

READ = Coverage(2, 9, 4, 9, 20, 90, ((2, 3), (7, 9)), ((1, 1),))


def test_lines_that_were_not_read_and_those_read_in_part_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    tell_coverage(Console(language="en"), READ, "a.txt")
    tell_coverage(Console(language="zh"), READ, "a.txt")
    english, chinese = capsys.readouterr().err.splitlines()
    assert english.endswith("lines 4/9, tokens 20/90; not read: lines 2–3, 7–9; read in part: line 1")
    assert chinese.endswith("4/9 行，20/90 词元；没有读：第 2–3, 7–9 行；只读了一部分：第 1 行")


def test_the_app_tells_them_apart_as_well() -> None:
    assert read_note(READ, Strings("en")).endswith("; not read: lines 2–3, 7–9; read in part: lines 1")
    assert read_note(READ, Strings("zh")).endswith("；没有读：第 2–3, 7–9 行；只读了一部分：第 1 行")


def test_of_a_long_line_the_part_is_shown_that_bears_the_answer_out(capsys: pytest.CaptureFixture[str]) -> None:
    line = f"{'The tower stands. ' * 30}Its secret code is 7731. {'The sea is calm. ' * 30}"
    tell_citations(Console(), [Citation("a.txt", 1, line), Citation("b.txt", 2, "7731 it is")], "7731")
    long, short = capsys.readouterr().err.splitlines()
    assert long.startswith("a.txt:1: …")
    assert "code is 7731" in long
    assert short == "b.txt:2: 7731 it is"
