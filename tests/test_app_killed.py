"""kill -9 in the middle of an answer, in a real terminal: the next start shows the conversation up to about then."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

if os.name != "posix":
    pytest.skip("pseudo-terminals and signals are Unix's", allow_module_level=True)
pytest.importorskip("pexpect")

from terminal import Terminal

from tui.keeper import EVERY
from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(900)
SLACK = 2.0
"""Seconds for a busy machine; what may be lost besides is EVERY."""
PROGRAM = """
# The program itself; its tiny model at the pace of one of use, and what it says noted with the time.
import contextlib, json, os, time
from engine.session import Session

stream, said = Session.stream, open(os.environ["SAID"], "w", buffering=1)

def unhurried(self, *arguments, **settings):
    with contextlib.closing(stream(self, *arguments, **settings)) as chunks:
        for chunk in chunks:
            said.write(json.dumps([time.time(), chunk.text]) + "\\n")
            yield chunk
            time.sleep(0.05)

Session.stream = unhurried
from tui.cli.main import main
main()
"""


def test_what_was_said_until_about_a_second_before_the_kill_is_there_at_the_next_start(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    home, said = tmp_path / "home", tmp_path / "said.jsonl"
    home.mkdir()
    shutil.copytree(tiny_model_home / "models", home / "models")
    options = ("chat", "--lang", "en", "--max-tokens", "1500", "--seed", "1")
    terminal = Terminal(home, *options, code=PROGRAM, SAID=str(said))
    terminal.sees("tiny · cpu/")
    terminal.types("Tell me everything")
    terminal.press("enter")
    terminal.sees(lambda: said.exists() and len(said.read_text().splitlines()) > 80)
    killed = time.time()
    terminal.kill()

    pieces = [json.loads(line) for line in said.read_text().splitlines()]
    with Store(home / "app.db") as store:
        (kept,) = store.recent()
        question, answer = store.shown(kept.id)
    assert question.text == "Tell me everything"
    assert answer.finish is None
    assert "".join(text for _, text in pieces).startswith(answer.text)
    length, latest = 0, 0.0
    for at, text in pieces:
        if (length := length + len(text)) > len(answer.text):
            break
        latest = at
    assert killed - latest < EVERY + SLACK

    again = Terminal(home, "chat", "--lang", "en", "--max-tokens", "4")
    again.sees("Tell me everything")
    again.sees("stopped: Esc o goes on")
    again.sees("taken up where it was cut")
    seen = "".join(again.screen.text.split())
    words = re.findall(r"[A-Za-z]{5,}", answer.text[len(answer.text) // 2 :])
    assert words
    assert sum(word in seen for word in words) >= len(words) // 2
    again.sees("tiny · cpu/")
    again.types("And then?")
    again.press("enter")
    again.sees("cut: Esc o goes on")
    again.press("ctrl+q")
    assert again.leaves() == 0
    with Store(home / "app.db") as store:
        assert [entry.text for entry in store.shown(kept.id)][:3:2] == ["Tell me everything", "And then?"]
