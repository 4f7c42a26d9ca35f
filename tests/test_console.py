"""Colour by the rules, messages in three lines, bars only where they may move, offers only where someone can answer."""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import typer
from cli_process import COMMAND, ROOT, environment, llm
from rich.cells import cell_len

from engine.errors import UsageError
from tui.cli import doctor
from tui.cli import progress as progress_module
from tui.cli.console import Console, visible, wants_color
from tui.cli.examine import Finding
from tui.cli.opening import Run
from tui.cli.options import Options
from tui.cli.progress import Progress, clock, size
from tui.cli.row_run import run_rows
from tui.cli.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("stream", "environ", "choice", "expected"),
    [
        (Terminal(), {}, "auto", True),
        (io.StringIO(), {}, "auto", False),
        (None, {}, "auto", False),
        (Terminal(), {"NO_COLOR": "1"}, "auto", False),
        (Terminal(), {"NO_COLOR": ""}, "auto", True),
        (Terminal(), {"TERM": "dumb"}, "auto", False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, "auto", True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, "auto", False),
        (io.StringIO(), {"NO_COLOR": "1"}, "always", True),
        (Terminal(), {"FORCE_COLOR": "1"}, "never", False),
    ],
)
def test_colour_follows_the_stream_then_the_environment_then_the_flag(
    stream: Any, environ: dict[str, str], choice: Any, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert wants_color(stream, choice) is expected


def test_an_error_is_three_lines_at_most_and_quiet_does_not_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    console = Console(quiet=True)
    console.error("llm", "one\ntwo\nthree\nfour", "do\nthis")
    console.note("hidden")
    console.warn("hidden")
    console.error("a.txt", "a.txt: not valid UTF-8 at byte 4")
    assert stream.getvalue() == "llm: one\ntwo\n→ do this\na.txt: not valid UTF-8 at byte 4\n"


def test_a_line_of_answer_ends_once(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a", "b\n", ""):
        Console().line(text)
    assert capsys.readouterr().out == "a\nb\n\n"


def test_control_characters_are_shown_not_obeyed() -> None:
    assert visible("a\x1b[2Jb\x9bc\td\n") == "a␛[2Jb\ufffdc\td\n"
    assert visible("你好 🙂") == "你好 🙂"
    assert visible("a\xa0\u202f\u2065\u206a\u3000\x1f") == "a\xa0\u202f\u2065\u206a\u3000␟"
    for code in (0x7F, 0x80, 0x9F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)):
        assert visible(chr(code)) == "\ufffd"
    assert visible("photo\u202egnp.exe") == "photo\ufffdgnp.exe"  # which would look like photoexe.png


@pytest.mark.parametrize(("answer", "end"), [("y\n", None), ("n\n", 1), ("", 1)])
def test_what_can_not_be_undone_is_asked_for(answer: str, end: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(UsageError, match="forgetting it needs a yes"):
        Run(Options(no_input=True)).be_sure("Forget it?", "forgetting it needs a yes", "it stays")
    Run(Options(yes=True)).be_sure("Forget it?", "forgetting it needs a yes", "it stays")
    assert not stream.getvalue()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if end is None:
        Run(Options()).be_sure("Forget it?", "forgetting it needs a yes", "it stays")
    else:
        with pytest.raises(typer.Exit) as caught:
            Run(Options()).be_sure("Forget it?", "forgetting it needs a yes", "it stays")
        assert caught.value.exit_code == end
    assert stream.getvalue() == "Forget it? [y/N] " + ("it stays\n" if end else "")


def test_a_name_in_an_error_or_beside_a_bar_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    console = Console("never", language="en")
    console.error("a\x1b]0;b\x07\nc", "no text")
    assert stderr.getvalue() == "a\u241b]0;b\u2407 c: no text\n"
    times = iter((0.0, 1.0, 2.0))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(times))
    Progress(console, "reading a\x1b[2Jb\nc").update(1, 2)
    assert "reading a\u241b[2Jb c 1/2 (50%)" in stderr.getvalue()


def test_no_name_steers_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, name, now = Terminal(), "notes\x1b[2J\n.txt", [0.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with Progress(Console(), f"reading {name}") as bar:
        now[0] = 1.0
        bar.update(1, 2)
    with Console().spinner(f"loading {name}"):
        while "loading" not in stream.getvalue():
            now[0] += 1
            threading.Event().wait(0.01)
    assert "\n" not in stream.getvalue()
    assert Run(Options()).confirm(f"Delete {name} for good?") is False
    monkeypatch.setattr(sys, "stdout", stream)
    doctor._print(Run(Options()), Finding("models", "ok", name, f"chmod 700 {name}"))
    assert stream.getvalue().count("notes␛[2J") >= 5
    assert "\x1b[2J" not in stream.getvalue()


def test_rows_show_a_sign_of_life_before_the_first_is_done_and_stand_beside_no_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, now = Terminal(), [0.0]
    for name, one in (("stderr", stream), ("stdout", stream), ("stdin", io.StringIO())):
        monkeypatch.setattr(sys, name, one)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])

    def work(texts: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
        while "reading" not in stream.getvalue():
            now[0] += 1
            threading.Event().wait(0.01)
        for number, text in enumerate(texts):
            now[0] += 1
            yield number, {"label": text}

    run_rows(
        Run(Options()), [Row("a", "1"), Row("b", "2"), Row("c", "3")], work,
        columns=["label"], as_text=lambda row, result: f"{row.name} {result['label']}", kind="text", asked={},
    )  # fmt: skip
    assert "rows 2/3" in stream.getvalue()
    lines = [line.rpartition("\r")[2].removeprefix("\x1b[K") for line in stream.getvalue().split("\n")]
    assert lines[:3] == ["1 a", "2 b", "3 c"]


def test_rows_that_are_stopped_say_that_their_file_was_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def work(_texts: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
        yield 0, {"label": "x"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_rows(
            Run(Options(output=tmp_path / "out")), [Row("a"), Row("b")], work,
            columns=["label"], as_text=lambda _row, result: result["label"], kind="text", asked={},
        )  # fmt: skip
    assert capsys.readouterr().err == f"warning: stopped: {tmp_path / 'out'} was not written\n"
    assert not list(tmp_path.iterdir())


def test_a_bar_moves_on_a_terminal_and_is_gone_when_done(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with Progress(Console(), "pulling", in_bytes=True) as bar:
        for step in range(5):
            now[0] = step
            bar.update(step * 1_000_000, 10_000_000)
    text = stream.getvalue()
    assert "4.0 MB/10.0 MB (40%)" in text
    assert "1.0 MB/s" in text
    assert "0:06 left" in text
    assert text.endswith("\r\x1b[K")


def test_without_a_terminal_there_is_one_line_each_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with Progress(Console(), "reading") as bar:
        for step in bar.over(range(300)):
            now[0] = step / 10
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("reading ") and "\x1b" not in line for line in lines)


def test_a_chinese_bar_is_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    for width in (20, 40, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        with Progress(Console(language="zh"), "translating 会议记录（一）.txt") as bar:
            for step in range(1, 4):
                now[0] += 5
                bar.update(step, 9)
        drawn = [line.replace("\x1b[K", "") for line in stream.getvalue().split("\r")]
        assert max(map(cell_len, drawn)) <= width - 1
        assert any("正在翻译 会议" in line for line in drawn)
    assert "3/9（33%），每个 7.5 秒，还需 0:45 [" in drawn[-2]


def test_sizes_and_clocks_are_for_people() -> None:
    assert [size(0), size(999), size(491_400_064), size(2.5e12)] == ["0 B", "999 B", "491.4 MB", "2500.0 GB"]
    assert [clock(5), clock(65), clock(7384)] == ["0:05", "1:05", "2:03:04"]


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize(("arguments", "asked"), [([], True), (["--no-input"], False)])
def test_a_missing_model_is_offered_on_a_terminal_only(tmp_path: Path, arguments: list[str], asked: bool) -> None:
    pexpect = pytest.importorskip("pexpect")
    terminal = pexpect.spawn(
        sys.executable,
        [*COMMAND[1:], "ask", "hi", *arguments],
        env=environment(tmp_path, {"TERM": "xterm"}),
        cwd=str(ROOT),
        encoding="utf-8",
        timeout=30,
    )
    if asked:
        terminal.expect(r"Pull .* now\? \[y/N\] ")
        terminal.send("n\r")
    terminal.expect("llm models pull")
    terminal.expect(pexpect.EOF)
    assert ("[y/N]" in terminal.before) is False
    terminal.close()
    assert terminal.exitstatus == 3


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize(
    ("flags", "name", "private"), [([], "config.toml", True), (["--project"], ".local-llm.toml", False)]
)
def test_settings_are_written_in_the_editor_and_checked(
    tmp_path: Path, flags: list[str], name: str, private: bool
) -> None:
    pexpect = pytest.importorskip("pexpect")
    editor = {"EDITOR": "sh -c 'echo nonsense = 1 >> \"$0\"'", "VISUAL": ""}
    terminal = pexpect.spawn(
        sys.executable, [*COMMAND[1:], "config", "edit", *flags], env=environment(tmp_path, editor), cwd=str(tmp_path),
        encoding="utf-8", timeout=60,
    )  # fmt: skip
    terminal.expect("unknown setting 'nonsense'")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 2
    assert "# temperature = " in (tmp_path / name).read_text()
    (tmp_path / "as-usual").touch()
    usual = stat.S_IMODE((tmp_path / "as-usual").stat().st_mode)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == (0o600 if private else usual)


def test_completion_is_installed_for_both_names_and_powershell_is_left_to_the_user(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "SHELL": "/bin/bash"}
    assert llm(tmp_path, "completion", env=home).returncode == 0
    scripts = sorted(path.name for path in (tmp_path / ".bash_completions").iterdir())
    assert scripts == ["llm.sh", "local-llm.sh"]
    assert llm(tmp_path, "completion", "powershell", env=home).returncode == 2
    assert b"_LOCAL_LLM_COMPLETE" in llm(tmp_path, "completion", "zsh", "--show", env=home).stdout
    assert llm(tmp_path, "completion", env=home | {"SHELL": "/bin/odd"}).returncode == 2
