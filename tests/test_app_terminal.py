"""The app on a real terminal, disturbed: stopped and gone on with, resized, pasted into, opened twice, and watched
for flicker while an answer streams."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

if os.name != "posix":
    pytest.skip("pseudo-terminals and signals are Unix's", allow_module_level=True)
pytest.importorskip("pexpect")

from terminal import Screen, Terminal

from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)
UNHURRIED = """
# The program itself; its tiny model at the pace of one of use.
import contextlib, time
from engine.session import Session

stream = Session.stream

def unhurried(self, *arguments, **settings):
    with contextlib.closing(stream(self, *arguments, **settings)) as chunks:
        for chunk in chunks:
            yield chunk
            time.sleep(0.03)

Session.stream = unhurried
from tui.cli.main import main
main()
"""
IN_A_SHELL = """
# A shell: it starts the program as a job of its own and waits until that ends.
import os, signal, subprocess, sys
command = [sys.executable, "-c", os.environ["PROGRAM"], *sys.argv[1:]]
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = subprocess.Popen(command, process_group=0)
os.tcsetpgrp(0, job.pid)
while True:
    _, status = os.waitpid(job.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgrp())
    print("STOPPED", flush=True)
    if input() == "fg":
        os.tcsetpgrp(0, job.pid)
        os.killpg(job.pid, signal.SIGCONT)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture
def home(tiny_model_home: Path, tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    shutil.copytree(tiny_model_home / "models", place / "models")
    return place


def opened(home: Path, *options: str, size: tuple[int, int] = (80, 24), code: str = UNHURRIED) -> Terminal:
    terminal = Terminal(home, "chat", "--lang", "en", "--seed", "1", *options, size=size, code=code, PROGRAM=UNHURRIED)
    terminal.sees("tiny · cpu/")
    return terminal


def settle(terminal: Terminal, seconds: float = 1.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        terminal.pump()


def test_a_stop_and_a_go_on_from_outside_lose_no_key(home: Path) -> None:
    terminal = opened(home)
    for _ in range(3):
        os.kill(terminal.program.pid, signal.SIGSTOP)
        time.sleep(0.2)
        os.kill(terminal.program.pid, signal.SIGCONT)
        settle(terminal)
        terminal.sees(lambda: "F1 help" in terminal.screen.text.splitlines()[-1])  # all of it is drawn again
        assert terminal.screen.text.lstrip().startswith("◆")
    typed = "".join(chr(ord("a") + number % 26) for number in range(52))
    for letter in typed:
        terminal.types(letter)
        terminal.pump()
    terminal.sees(typed)
    assert "Ask anything" not in terminal.screen.text
    terminal.press("ctrl+c", "ctrl+q")
    assert terminal.leaves() == 0


def test_ctrl_z_leads_to_the_shell_and_back_while_an_answer_streams(home: Path) -> None:
    terminal = opened(home, "--max-tokens", "400", code=IN_A_SHELL)
    terminal.types("Tell me everything")
    terminal.press("enter")
    terminal.sees("tok/s · Esc stops")
    terminal.press("ctrl+z")
    terminal.sees("STOPPED")
    assert "llm is stopped; fg brings it back" in terminal.screen.text
    assert terminal.screen.restored
    terminal.types("fg\r")
    terminal.sees("Tell me everything")
    terminal.sees("tok/s · Esc stops")
    terminal.press("escape")
    terminal.sees("stopped: Esc o goes on")
    terminal.types("draft")
    terminal.sees("draft")
    terminal.press("ctrl+z")  # takes back what was typed
    terminal.sees_no("draft")
    assert "STOPPED" not in terminal.screen.text
    terminal.press("ctrl+q")
    assert terminal.leaves() == 0


def test_without_a_shell_ctrl_z_does_not_freeze_the_app(home: Path) -> None:
    terminal = opened(home)
    terminal.press("ctrl+z")
    terminal.sees("there is no shell behind the app")
    terminal.types("still here")
    terminal.sees("still here")
    terminal.press("ctrl+c", "ctrl+q")
    assert terminal.leaves() == 0


def test_a_terminal_that_changes_its_size_while_an_answer_streams(home: Path) -> None:
    terminal = opened(home, "--max-tokens", "250")
    terminal.types("Tell me everything")
    terminal.press("enter")
    terminal.sees("tok/s · Esc stops")
    for columns, rows in ((160, 50), (60, 15), (120, 40), (80, 24)):
        terminal.resize(columns, rows)
        settle(terminal, 0.7)
        terminal.sees(lambda: "F1 help" in terminal.screen.text.splitlines()[-1])
        assert terminal.screen.text.splitlines()[0].lstrip().startswith("◆")
    terminal.sees("cut: Esc o goes on")
    terminal.press("ctrl+q")
    assert terminal.leaves() == 0
    with Store(home / "app.db") as store:
        (kept,) = store.recent()
        _, answer = store.shown(kept.id)
        assert answer.facts["output_tokens"] == 250


def test_a_paste_of_a_hundred_thousand_characters_is_whole(home: Path) -> None:
    terminal = opened(home)
    lines = [f"line {number:05} of what was pasted, 第{number:05}行" for number in range(2800)]
    text = "\n".join(lines)
    assert len(text) > 100_000
    terminal.paste(text)
    terminal.sees(lines[-1], 120)
    started = time.monotonic()
    terminal.types("!")
    terminal.sees(lines[-1] + "!")
    assert time.monotonic() - started < 20
    terminal.press("enter")  # it does not fit: it comes back, to be sent otherwise
    terminal.sees("the prompt has")
    terminal.sees(lines[-1] + "!")
    terminal.press("ctrl+c", "ctrl+q")
    assert terminal.leaves() == 0


def assert_was_stopped(home: Path) -> None:
    """The one conversation has an answer that was stopped."""
    with Store(home / "app.db") as store:
        (kept,) = store.recent()
        question, answer = store.shown(kept.id)
        assert question.text == "Tell me everything"
        assert answer.facts["output_tokens"] >= 40  # as far as it was seen, not as it was last saved
        assert answer.finish == "stopped"


def test_leaving_while_an_answer_is_written_keeps_what_was_said(home: Path) -> None:
    terminal = opened(home, "--max-tokens", "400")
    terminal.types("Tell me everything")
    terminal.press("enter")
    terminal.sees(lambda: re.search(r"([4-9]\d|\d{3}) tok ·", terminal.screen.text))
    terminal.press("ctrl+q")
    assert terminal.leaves() == 0
    assert_was_stopped(home)
    again = opened(home, "-c")
    again.sees("Tell me everything")
    again.press("ctrl+q")
    assert again.leaves() == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda sent: sent.name)
def test_a_signal_amid_an_answer_ends_the_app_as_a_key_does(home: Path, sent: signal.Signals) -> None:
    terminal = opened(home, "--max-tokens", "400")
    terminal.types("Tell me everything")
    terminal.press("enter")
    terminal.sees(lambda: re.search(r"([4-9]\d|\d{3}) tok ·", terminal.screen.text))
    terminal.program.kill(sent)
    assert terminal.leaves() == 128 + sent
    assert_was_stopped(home)


def test_a_window_that_is_closed_amid_an_answer_keeps_what_was_said(home: Path) -> None:
    terminal = opened(home, "--max-tokens", "400")
    terminal.types("Tell me everything")
    terminal.press("enter")
    terminal.sees(lambda: re.search(r"([4-9]\d|\d{3}) tok ·", terminal.screen.text))
    assert terminal.hang_up() == 128 + signal.SIGHUP
    assert_was_stopped(home)


def test_two_apps_write_into_one_history_at_once(home: Path) -> None:
    first, second = opened(home, "--max-tokens", "80"), opened(home, "--max-tokens", "80")
    first.types("First question")
    second.types("Second question")
    first.press("enter")
    second.press("enter")
    for terminal in (first, second) * 40:
        terminal.pump(0.1)
    first.sees("cut: Esc o goes on")
    second.sees("cut: Esc o goes on")
    for terminal in (first, second):
        assert "can't be used" not in terminal.screen.text
        terminal.press("ctrl+q")
        assert terminal.leaves() == 0
    with Store(home / "app.db") as store:
        said = {store.shown(kept.id)[0].text: store.shown(kept.id)[1] for kept in store.recent()}
    assert set(said) == {"First question", "Second question"}
    assert all(answer.finish == "length" and answer.facts["output_tokens"] == 80 for answer in said.values())


def test_an_editor_that_fails_gives_the_app_back(home: Path) -> None:
    terminal = Terminal(
        home, "chat", "--lang", "en", code=UNHURRIED, EDITOR="sh -c 'exit 3'", VISUAL="", PROGRAM=UNHURRIED
    )
    terminal.sees("tiny · cpu/")
    terminal.types("before")
    terminal.sees("before")
    terminal.press("ctrl+g")
    terminal.sees("failed with status 3")
    terminal.types(" and after")
    terminal.sees("before and after")
    terminal.press("ctrl+c", "ctrl+q")
    assert terminal.leaves() == 0


def test_bytes_that_are_no_utf_8_do_not_end_the_app(home: Path) -> None:
    terminal = opened(home)
    os.write(terminal.program.child_fd, b"caf\xe9 ")
    terminal.sees("caf�")
    os.write(terminal.program.child_fd, b"\x1b[200~na\xefve\x1b[201~")
    terminal.sees("na�ve")
    os.write(terminal.program.child_fd, "é".encode()[:1])
    settle(terminal, 0.5)
    os.write(terminal.program.child_fd, "é".encode()[1:])
    terminal.sees("na�veé")
    terminal.press("ctrl+c", "ctrl+q")
    assert terminal.leaves() == 0


def test_the_sequences_in_a_pasted_text_press_no_keys(home: Path) -> None:
    terminal = opened(home)
    terminal.paste("one \x1b[31mred\x1b[0m \x1b]0;title\x07 two \x1b done")
    terminal.sees("one red  two  done")
    assert "Ask anything" not in terminal.screen.text
    terminal.press("ctrl+c", "ctrl+q")
    assert terminal.leaves() == 0


def test_what_is_kept_does_not_steer_the_terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "\x1b]0;title\x07 \x1b[5;5HXX \x9b2J"
    with Store(home / "app.db") as store:
        number = store.create(f"T{evil}", system=f"S{evil}")
        question = store.add(number, None, "user", f"Q{evil}", documents=[(f"D{evil}", "text")])
        facts = {"note": f"N{evil}", "model": f"M{evil}"}
        store.add(number, question, "assistant", f"A{evil}", finish="stop", facts=facts)
    sent: list[str] = []
    feed = Screen.feed

    def noted(screen: Screen, data: str) -> None:
        sent.append(data)
        feed(screen, data)

    monkeypatch.setattr(Screen, "feed", noted)
    terminal = opened(home, "-c", "-m", "tiny")
    steps = [
        ("escape", "e edit"), ("e", "edit the answer"), ("escape", "e edit"), ("ctrl+r", "esc"),
        ("ctrl+e", "another title"), ("escape", "esc"), ("escape", "e edit"), ("f2", "temperature"),
    ]  # fmt: skip
    for key, seen in steps:
        terminal.press(key)
        terminal.sees(lambda seen=seen: seen.lower() in terminal.screen.text.lower())
        settle(terminal, 0.5)
    for sequence in ("\x1b]0;title", "\x1b[5;5HXX", "\x9b2J"):
        assert sequence not in "".join(sent)
    terminal.press("ctrl+q")
    assert terminal.leaves() == 0
