"""The manners of the command line, seen from outside: streams, exit codes, pipes, messages. No model is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cli_process import COMMAND, ROOT, environment, llm, told

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="signals and /dev are Unix's")


def test_help_has_examples_first_and_the_exit_codes(tmp_path: Path) -> None:
    for arguments in (["-h"], ["ask", "-h"], ["models", "pull", "--help"]):
        done = llm(tmp_path, *arguments)
        text = done.stdout.decode()
        assert done.returncode == 0
        assert text.startswith("Examples:\n  llm ")
        assert text.index("Examples") < text.index("Usage") < text.index("Exit codes")
        assert "141" in text
        assert done.stderr == b""


def test_every_command_has_short_help_and_examples(tmp_path: Path) -> None:
    from typer.main import get_command

    from tui.cli.main import app

    def walk(command: object, path: list[str]) -> None:
        assert command.epilog, path  # type: ignore[attr-defined]
        assert command.help, path  # type: ignore[attr-defined]
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*path, name])

    walk(get_command(app), ["llm"])


def test_no_command_and_no_input_is_help_on_stderr_and_exit_2(tmp_path: Path) -> None:
    for arguments in ([], ["models"], ["config"]):
        done = llm(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (2, b"")
        assert "Examples:" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["akk"], "ask"),
        (["ask", "--temprature", "1"], "--temperature"),
        (["models", "lst"], "list"),
        (["ask", "hi", "--temperature", "-1"], "0 or more"),
        (["ask", "hi", "--temperature", "warm"], "valid float"),
        (["ask", "hi", "--top-p", "2"], "at most 1"),
        (["ask", "hi", "--device", "tpu"], "tpu"),
        (["sentiment", "hi", "--temperature", "1"], "--temperature"),
        (["ask", "", "-q"], "empty"),
        (["ask", "-f", "-", "-"], "stdin"),
        (["ask", "hi", "there"], "there"),
        (["summarize"], "nothing to summarize"),
        (["summarize", "x", "--length", "0%"], "--length"),
        (["sentiment"], "no text"),
        (["tokens"], "no text"),
        (["complete"], "no text"),
        (["config", "set", "temprature", "1"], "temperature"),
        (["config", "set", "temperature", "hot"], "number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_exit_2_in_three_lines_with_the_way_on(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = llm(tmp_path, *arguments)
    assert done.stdout == b""
    assert said in done.stderr.decode()
    assert done.returncode == 2
    assert len(told(done)) <= 3
    assert "Traceback" not in done.stderr.decode()


def test_without_a_model_and_a_terminal_it_exits_3_and_names_the_one_command(tmp_path: Path) -> None:
    for arguments in (["ask", "hi"], ["sentiment", "hi"], ["tokens", "hi"], ["chat"], ["models", "show"], ["demo"]):
        done = llm(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (3, b""), arguments
        assert "llm models pull" in done.stderr.decode()
        assert len(told(done)) <= 3


def test_an_unknown_model_names_what_to_do(tmp_path: Path) -> None:
    done = llm(tmp_path, "ask", "hi", "-m", "qwen2.5-coder-0.5")
    assert done.returncode == 3
    assert "llm models pull" in done.stderr.decode()


@posix
def test_an_unwritable_home_ends_at_once_with_one_helpful_line(tmp_path: Path) -> None:
    for name in ("LOCAL_LLM_HOME", "HOME"):
        variables = {"LOCAL_LLM_HOME": "", name: "/dev/null/nowhere"}
        for arguments in (["ask", "hi"], ["models", "pull"], ["config", "set", "seed", "1"]):
            done = llm(tmp_path, *arguments, env=variables)
            assert done.returncode == 1, (name, arguments)
            assert "can't write /dev/null/nowhere" in done.stderr.decode()
            assert "LOCAL_LLM_HOME" in done.stderr.decode()
            assert len(told(done)) <= 3


@posix
def test_a_home_that_is_unknown_is_told(tmp_path: Path) -> None:
    done = llm(tmp_path, "ask", "hi", env={"LOCAL_LLM_HOME": "relative"})
    assert done.returncode == 3
    assert (tmp_path / "relative").is_dir()


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["config", "show"], ["models", "list", "--all"]])
def test_a_reader_that_is_gone_is_exit_141_and_silence(tmp_path: Path, arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=write_end, stderr=subprocess.PIPE, env=environment(tmp_path), cwd=tmp_path
    )
    os.close(write_end)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")


@posix
def test_closed_streams_do_not_hang_or_trace(tmp_path: Path) -> None:
    command = " ".join(COMMAND)
    for redirect in ("<&-", "<&- 2>&-", "< /dev/null", "< /dev/zero"):
        done = subprocess.run(
            ["bash", "-c", f"{command} ask {redirect}"],
            env=environment(tmp_path),
            cwd=ROOT,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2, redirect
        assert b"Traceback" not in done.stderr


def test_bad_documents_are_named_before_any_model_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"ok\xff")
    (tmp_path / "nul.bin").write_bytes(b"a\0b")
    for name, said in (
        ("bad.txt", "byte 2"),
        ("nul.bin", "binary"),
        ("none.txt", "no such file"),
        (".", "is a folder"),
    ):
        done = llm(tmp_path, "ask", "what?", "-f", name)
        assert (done.returncode, done.stdout) == (1, b"")
        assert said in done.stderr.decode()
        assert name in done.stderr.decode()


def test_invalid_utf8_on_stdin_names_the_byte(tmp_path: Path) -> None:
    done = llm(tmp_path, "summarize", stdin=b"abc\xff")
    assert done.returncode == 1
    assert "stdin: not valid UTF-8 at byte 3" in done.stderr.decode()


def test_the_name_it_was_called_by_is_the_name_it_says(tmp_path: Path) -> None:
    script = tmp_path / "local-llm"
    script.write_text(f"#!{sys.executable}\nfrom tui.cli.entry import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(script), "ask", "hi"],
        env=environment(tmp_path),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "local-llm models pull" in done.stderr.decode()
    named = subprocess.run(
        [sys.executable, str(script), "models", "show", "gemma3-270m"],
        env=environment(tmp_path),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "local-llm models pull gemma3-270m" in named.stderr.decode()
    shown = subprocess.run(
        [sys.executable, str(script), "ask", "-h"],
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert shown.stdout.decode().startswith("Examples:\n  local-llm ask")


def test_colour_never_reaches_a_pipe_unless_forced(tmp_path: Path) -> None:
    assert b"\x1b" not in llm(tmp_path, "ask").stderr
    assert b"\x1b[31m" in llm(tmp_path, "ask", env={"FORCE_COLOR": "1"}).stderr
    assert b"\x1b" not in llm(tmp_path, "ask", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr


def test_json_of_listings_is_json(tmp_path: Path) -> None:
    assert json.loads(llm(tmp_path, "models", "list", "--json").stdout) == []
    shown = json.loads(llm(tmp_path, "config", "show", "--json").stdout)
    assert shown["device"] == {"value": "auto", "origin": "default"}
    found = json.loads(llm(tmp_path, "paths", "--json").stdout)
    assert found["models"]["path"] == str(tmp_path / "models")


def test_what_can_be_pulled_is_listed_with_what_it_takes(tmp_path: Path) -> None:
    rows = {
        row["spec"]: row for row in json.loads(llm(tmp_path, "models", "list", "--all", "--json").stdout)["available"]
    }
    lines = llm(tmp_path, "models", "list", "--all").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == list(rows)
    assert len({line.index(" to pull") for line in lines}) == len({line.index(" of memory") for line in lines}) == 1
    gated = [spec for spec, row in rows.items() if row["gated"]]
    assert gated == [line.split()[0] for line in lines if "licence accepted first" in line]
    assert "gemma-3-1b-it" in gated
    assert rows["gemma3-270m"]["role"] == "base"
    assert all(row["memory_bytes"] > 0 for row in rows.values())


def test_config_is_set_shown_with_origin_and_unset(tmp_path: Path) -> None:
    assert llm(tmp_path, "config", "set", "top-k", "40").returncode == 0
    assert llm(tmp_path, "config", "get", "top_k").stdout == b"40\n"
    shown = llm(tmp_path, "config", "show", "--origin", env={"LOCAL_LLM_SEED": "7"}).stdout.decode()
    assert f"top_k = 40\t# {tmp_path}/config.toml" in shown
    assert "seed = 7\t# LOCAL_LLM_SEED" in shown
    assert llm(tmp_path, "config", "set", "--project", "top_k", "5").returncode == 0
    assert llm(tmp_path, "config", "get", "top_k").stdout == b"5\n"
    assert llm(tmp_path, "config", "unset", "top_k").returncode == 0
    assert (tmp_path / "config.toml").read_text() == ""


def test_where_texts_are_sent_is_not_set_for_a_project(tmp_path: Path) -> None:
    done = llm(tmp_path, "config", "set", "--project", "endpoint", "http://127.0.0.1:1/v1")
    assert (done.returncode, "can't be set for a project" in done.stderr.decode()) == (2, True)
    assert not (tmp_path / ".local-llm.toml").exists()


def test_a_setting_that_stands_twice_is_the_one_that_was_set(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("top-k = 1 # first\ntop_k = 2\n")
    assert llm(tmp_path, "config", "set", "top_k", "3").returncode == 0
    assert (tmp_path / "config.toml").read_text() == "top-k = 3 # first\n"


@pytest.mark.parametrize("text", ["nosuch = 1\n", 'seed = "x"\n', "keys = 1\n"])
def test_what_breaks_a_settings_file_can_be_taken_out_of_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(f"# mine\n{text}top_k = 2\n")
    assert llm(tmp_path, "config", "show").returncode == 2
    assert llm(tmp_path, "config", "unset", text.split(maxsplit=1)[0]).returncode == 0
    assert (tmp_path / "config.toml").read_text() == "# mine\ntop_k = 2\n"


@posix
def test_a_settings_file_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "config.toml").symlink_to("dotfiles/llm.toml")
    (tmp_path / "dotfiles" / "llm.toml").write_text("# mine\n")
    assert llm(tmp_path, "config", "set", "seed", "1").returncode == 0
    assert (tmp_path / "config.toml").is_symlink()
    assert (tmp_path / "dotfiles" / "llm.toml").read_text() == "# mine\nseed = 1\n"


def test_settings_that_are_set_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    names = ["seed", "top_k", "max_tokens", "threads", "ctx", "history_days"]
    with ThreadPoolExecutor(len(names)) as threads:
        done = list(threads.map(lambda name: llm(tmp_path, "config", "set", name, "7", fresh=True), names))
    assert [one.returncode for one in done] == [0] * len(names)
    lines = (tmp_path / "config.toml").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} = 7" for name in names)


@pytest.mark.parametrize("command", [["get"], ["set", "1"], ["unset"]], ids=lambda words: words[0])
@pytest.mark.parametrize("key", ["model.own", "temperature.x", "keys."])
def test_what_is_no_table_has_no_entries(tmp_path: Path, command: list[str], key: str) -> None:
    text = 'model = "my.own"\ntemperature = 0.5\n\n[keys]\nnew = "f5"\n'
    (tmp_path / "config.toml").write_text(text)
    word, *rest = command
    done = llm(tmp_path, "config", word, key, *rest)
    assert (done.returncode, f"unknown setting '{key}'" in done.stderr.decode()) == (2, True)
    assert (tmp_path / "config.toml").read_text() == text


def test_a_broken_config_is_told_with_its_file_and_can_be_mended(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("temperatur = 1\n")
    done = llm(tmp_path, "ask", "hi")
    assert done.returncode == 2
    assert "config.toml" in done.stderr.decode()
    assert "temperature" in done.stderr.decode()
    assert llm(tmp_path, "config", "path").returncode == 0


def test_removing_without_a_terminal_needs_yes(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    done = llm(tmp_path, "models", "rm", "mine")
    assert done.returncode == 2
    assert "--yes" in done.stderr.decode()
    assert (tmp_path / "models" / "mine").is_dir()
    part = llm(tmp_path, "models", "rm", "in", "--yes")
    assert (part.returncode, "not the whole name of mine" in part.stderr.decode()) == (2, True)
    assert (tmp_path / "models" / "mine").is_dir()
    assert llm(tmp_path, "models", "rm", "Mine", "--yes").returncode == 0
    assert not (tmp_path / "models" / "mine").exists()


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    assert b"Traceback" in llm(tmp_path, "ask", "hi", "--debug").stderr


def test_completion_scripts_exist_for_both_names(tmp_path: Path) -> None:
    script = tmp_path / "local-llm"
    script.write_text("from tui.cli.entry import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(script), "--show-completion", "bash"],
        env=environment(tmp_path, {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"_LOCAL_LLM_COMPLETE" in done.stdout


@posix
@pytest.mark.parametrize(("heard", "code"), [("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)])
def test_a_ctrl_c_while_the_command_line_is_imported_ends_without_a_word(tmp_path: Path, heard: str, code: int) -> None:
    script = (
        "import os, signal, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        f"signal.signal(signal.SIGINT, signal.{heard})\n"
        "from tui.cli.entry import main\n"
        "sys.argv = ['llm', 'paths']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(tmp_path), capture_output=True, check=False,
                          timeout=60)  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert done.returncode == code


@posix
def test_a_ctrl_c_while_python_takes_itself_apart_leaves_no_traceback(tmp_path: Path) -> None:
    script = (
        "import atexit, os, signal, sys\n"
        "from tui.cli.main import main\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['llm', 'paths']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(tmp_path), capture_output=True, check=False,
                          timeout=60)  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert done.returncode == -signal.SIGINT
