"""What a task of the app tells, line by line, is in the order of the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from engine.schema import Document
from engine.tasks import sentiment
from tui.keymap import Keys
from tui.strings import Strings
from tui.task_words import judged

if TYPE_CHECKING:
    from engine.session import Session


@pytest.mark.parametrize("sure", [0.0, 0.9, 1.0])
def test_lines_are_judged_in_order_whatever_is_read_again(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch, sure: float
) -> None:
    monkeypatch.setattr(sentiment, "SURE", sure)
    lines = [f"row {at} was {'好' if at % 3 else 'bad'}" if at % 2 else f"第{at}行很好" for at in range(20)]
    said = "".join(
        chunk.text for chunk in judged(tiny_session, Document("x", "\n".join(lines)), Strings("en", Keys({})))
    )
    assert [int(found) for found in re.findall(r"` (?:row |第)(\d+)", said)] == list(range(20))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\n  One line. \n\n", [""]),
        (f"{'x' * 60}\n\n  {'y' * 61}\n", [f" {'x' * 60}", f" {'y' * 59}…"]),
    ],
)
def test_a_line_alone_is_not_said_again_and_of_several_each_is_cut(
    tiny_session: Session, text: str, shown: list[str]
) -> None:
    chunks = list(judged(tiny_session, Document("x", text), Strings("en", Keys({}))))
    assert [chunk.finish_reason for chunk in chunks[-1:]] == ["stop"]
    found = [
        re.fullmatch(r"(- )?\*\*\w+\*\* ([01]\.\d\d) `(█* *)`(.*)", line)
        for line in "".join(chunk.text for chunk in chunks).splitlines()
    ]
    assert [line and line[4] for line in found] == shown
    for line in found:
        assert line
        assert bool(line[1]) == (len(shown) > 1)
        assert len(line[3]) == 20
        assert abs(line[3].count("█") - 20 * float(line[2])) <= 0.6, "rounded twice"
