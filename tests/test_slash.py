"""What the words with a slash do in the line chat, where no model is needed for it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from engine.errors import EngineError
from tui import commands
from tui.cli import slash
from tui.cli.line_chat import Chat
from tui.cli.opening import Run
from tui.cli.options import Options
from tui.cli.prompt import PipedLines
from tui.cli.prompt import _completer as completer
from tui.keeper import Keeper
from tui.talk import Talk

if TYPE_CHECKING:
    from pathlib import Path

    from engine.session import Session


@pytest.fixture
def chat(tiny_session: Session) -> Chat:
    return Chat(Run(Options()), tiny_session, PipedLines(), Keeper(None), Talk())


def obey(chat: Chat, line: str) -> None:
    found = commands.parse(line)
    assert found
    slash.obey(chat, *found)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/regen", "nothing was asked yet"),
        ("/undo", "nothing was asked yet"),
        ("/edit in other words", "nothing was asked yet"),
        ("/continue", "there is no answer to go on with"),
        ("/save", "there is nothing to save yet"),
        ("/compact", "there is nothing to compact yet"),
        ("/load nothing", "no kept conversation 'nothing'"),
        ("/export", "/export needs a file"),
        ("/file", "/file needs a file"),
        ("/copy", "there is no answer 1: 0 so far"),
        ("/copy 0", "/copy takes a number from 1, got '0'"),
        ("/set top_k", "/set top_k needs a value (keep the k likeliest tokens, 0 keeps all)"),
        ("/clear all", "/clear takes nothing after it, got 'all'"),
        ("/multi", '/multi stands on a line of its own, then your lines, then """'),
        ("/multi text", "/multi takes nothing after it, got 'text'"),
    ],
)
def test_a_word_that_can_not_be_obeyed_says_why_and_changes_nothing(line: str, told: str, chat: Chat) -> None:
    with pytest.raises(EngineError) as caught:
        obey(chat, line)
    assert (caught.value.message, chat.talk.path) == (told, [])


@pytest.mark.skipif(os.name != "posix", reason="the tool is a shell script here")
def test_an_answer_is_copied_by_its_number_from_the_end(
    chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pbcopy").write_text(f"#!/bin/sh\n{shutil.which('cat')} >>{tmp_path}/copied\n")
    (tmp_path / "pbcopy").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    for question, answer in (("why?", "first\n"), ("and?", "2")):
        chat.talk.begin_answer(chat.talk.ask(question), answer).finish = "stop"
    obey(chat, "/copy")
    obey(chat, "/copy 2")
    assert (tmp_path / "copied").read_text() == "2first\n"
    assert capsys.readouterr().err == "copied 1 character to pbcopy\ncopied 6 characters to pbcopy\n"
    with pytest.raises(EngineError, match="there is no answer 3: 2 so far"):
        obey(chat, "/copy 3")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/re", ["/regen", "/retry", "/read"]),
        ("/help re", ["regen", "retry", "read"]),
        ("/model t", ["tiny"]),
        ("/set m", ["max_tokens", "min_p", "markdown"]),
        ("/file n", ["otes.txt"]),
        ("/system @n", ["otes.txt"]),
        ("/system n", []),
        ("/stats o", []),
        ("/nothing n", []),
        ("/file n\n", []),
        ("n", []),
    ],
)
def test_tab_offers_what_a_word_takes(
    typed: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    found = completer(lambda: ["tiny", "other"]).get_completions(Document(typed), CompleteEvent())
    assert [one.text for one in found] == offered
