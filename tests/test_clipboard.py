"""What is copied goes to the tool that reaches this person's clipboard, else to the terminal, else is an error."""

from __future__ import annotations

import base64
import io
import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from engine.errors import EngineError
from tui.clipboard import LONGEST, copy, copy_by_tool

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "你好 🙂\nworld"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tool is there, and no display; the terminal is a usual one."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(os.name != "posix", reason="the tools are shell scripts here")
@pytest.mark.parametrize(
    ("tools", "environ", "took"),
    [
        ("", "", None),
        ("pbcopy", "", "pbcopy"),
        ("pbcopy", "SSH_CONNECTION", None),
        ("xclip xsel", "", None),
        ("xclip xsel", "DISPLAY", "xclip -selection clipboard"),
        ("xsel", "DISPLAY", "xsel --clipboard --input"),
        ("wl-copy xclip", "DISPLAY WAYLAND_DISPLAY", "wl-copy"),
        ("wl-copy xclip", "DISPLAY", "xclip -selection clipboard"),
        ("wl-copy:exit_1 xclip", "DISPLAY WAYLAND_DISPLAY", "xclip -selection clipboard"),
        ("xclip:exit_1", "DISPLAY", None),
        ("wl-copy:no_program xclip", "DISPLAY WAYLAND_DISPLAY", "xclip -selection clipboard"),
        ("clip.exe", "", "clip.exe"),
    ],
)
def test_the_first_tool_that_reaches_a_clipboard_gets_the_text(
    tools: str, environ: str, took: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, cat = shlex.quote(str(tmp_path / "copied")), shutil.which("cat", path=os.defpath)
    for tool in tools.split():
        name, _, fault = tool.partition(":")
        shell = "/no/such/shell" if fault == "no_program" else "/bin/sh"
        fails = "exit 1\n" if fault == "exit_1" else ""
        script = tmp_path / "bin" / name
        script.write_text(f'#!{shell}\n{fails}echo {name} "$@" >{out}\n{cat} >>{out}\n')
        script.chmod(0o755)
    for variable in environ.split():
        monkeypatch.setenv(variable, "set")
    assert copy_by_tool(TEXT) == (took.split()[0] if took else None)
    if took:
        coding = "utf-16-le" if took == "clip.exe" else "utf-8"
        assert (tmp_path / "copied").read_bytes() == f"{took}\n".encode() + TEXT.encode(coding)
    assert (tmp_path / "copied").exists() is (took is not None)


def test_a_terminal_takes_what_no_tool_does_as_far_as_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    most = "x" * (LONGEST // 4 * 3)
    for text in (TEXT, most):
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        assert copy(text) == "the terminal (OSC 52)"
        before, coded, after = stream.getvalue()[:7], stream.getvalue()[7:-1], stream.getvalue()[-1]
        assert (before, after, base64.b64decode(coded).decode()) == ("\x1b]52;c;", "\x07", text)
    with pytest.raises(EngineError, match="nothing here can copy"):
        copy(most + "x")


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb"), (None, "xterm")])
def test_what_is_no_terminal_that_could_gets_nothing(
    stream: io.StringIO | None, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    with pytest.raises(EngineError) as caught:
        copy(TEXT)
    assert caught.value.hint == "use /export FILE"
    assert not stream or not stream.getvalue()
