"""What the app sends to the terminal while an answer streams: nothing is cleared, nothing is drawn outside of a frame,
and a block that has settled is drawn again only where a new line is about to move it."""

from __future__ import annotations

import itertools
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if os.name != "posix":
    pytest.skip("pseudo-terminals are Unix's", allow_module_level=True)
pytest.importorskip("pexpect")

from terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)
TOLD = """
# The program itself; what the model says is a text of ours, at the pace of one of use.
import dataclasses, time
from engine.session import Session

stream = Session.stream
WORDS = [f"{word} " for word in (
    "# A heading\\n\\nThe first paragraph is short and settles soon.\\n\\n"
    "The second one is there to be grown, word by word, until it has some lines and the text above it has stood still "
    "for a good while, as it does whenever a model takes its time over a longer thought.\\n\\n"
    "```python\\ndef add(a, b):\\n    return a + b\\n```\\n\\nAnd a last one, which comes after the code and ends it."
).split(" ")]

def told(self, *arguments, **settings):
    chunks = stream(self, *arguments, **settings)
    for number, word in enumerate(WORDS, 1):
        chunk = next(chunks)
        yield dataclasses.replace(chunk, text=word, output_tokens=number, finish_reason=None)
        time.sleep(0.04)
    chunks.close()

Session.stream = told
from tui.cli.main import main
main()
"""
TOKENS = 63
MOST = 2500
"""Characters a token: 820 where ten frames a second are drawn of 25 tokens; on a busy machine each has its own."""
NEAR = 3
"""Frames around a line's coming in which what stands above it is drawn where it then stands."""


def row_of(frame: str, text: str) -> int | None:
    return next((row for row, line in enumerate(frame.splitlines()) if text in line), None)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_nothing_flickers_while_an_answer_streams(tiny_model_home: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(tiny_model_home / "models", home / "models")
    terminal = Terminal(
        home, "chat", "--lang", "en", "--no-save", "--max-tokens", "999", "--temperature", "0", size=size, code=TOLD
    )
    screen = terminal.screen
    terminal.sees("tiny · cpu/")
    terminal.types("Tell me")
    terminal.press("enter")
    terminal.sees("paragraph is short")
    clears, first, received, outside = screen.clears, len(screen.frames), screen.received, screen.outside
    terminal.sees("ends it.")
    last = len(screen.frames)
    assert last - first > 5
    terminal.sees(lambda: len(screen.frames) >= last + NEAR)
    assert screen.clears == clears
    assert screen.outside == outside
    cost = (screen.received - received) / TOKENS
    places = [row_of(frame, "paragraph is short") for frame in screen.frames[first : last + NEAR]]
    assert None not in places  # in no frame was it gone
    moves = sum(before != after for before, after in itertools.pairwise(places))
    again = [at for at in range(NEAR, len(places) - NEAR) if places[at] in screen.written[first + at]]
    assert [at for at in again if len(set(places[at - NEAR : at + NEAR + 1])) == 1] == []
    assert len(again) <= 3 * moves
    assert cost < MOST, cost
    terminal.press("ctrl+q")
    assert terminal.leaves() == 0
