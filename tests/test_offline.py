"""Every command but `models pull` works where the network is refused, and none asks for it."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import offline_commands
import pytest
import toy_checkpoints
from cli_process import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

BRIEF = {"LOCAL_LLM_MAX_TOKENS": "6", "LOCAL_LLM_THREADS": "1"}
NOTES = "The harbour opens at six.\nThe ferry leaves at seven.\n港口六点开门，渡轮七点出发。\n"
CHAT = """\
hello
/regen
/continue
/edit and now?
/undo
/system Be brief.
/set temperature 0
/file notes.txt
when does the ferry leave?
/context
/stats
/save kept
/load kept
/export chat.md
/model tiny
/compact
/help
/clear
/exit
"""
COMMANDS: list[tuple[list[str], str]] = [
    (["--help"], ""),
    (["--version"], ""),
    (["ask", "hello"], ""),
    (["ask", "when does the ferry leave?", "-f", "notes.txt", "--json"], "and one more document"),
    (["ask", "who?", "--schema", "name str ..5", "--max-tokens", "60"], "Anna is 37"),
    (["batch", "who?", "--schema", "age int 0..9", "--in", "lines", "--max-tokens", "60"], "Anna is 3\nTom is 5\n"),
    (["chat"], CHAT),
    (["chat", "--no-save"], "hello\n"),
    (["history", "list"], ""),
    (["history", "search", "ferry"], ""),
    (["history", "search", "ferry", "--meaning"], ""),
    (["history", "show", "1"], ""),
    (["history", "rename", "1", "The ferry"], ""),
    (["history", "pin", "1"], ""),
    (["history", "export", "1", "-o", "kept.json"], ""),
    (["history", "import", "kept.json"], ""),
    (["history", "replay", "2"], ""),
    (["history", "rm", "2", "--yes"], ""),
    (["finetune", "rows.jsonl", "--out", "a.safetensors", "--epochs", "1"], ""),
    (["finetune", "--from-scratch", "small.json", "notes.txt", "--out", "small", "--name", "small"], ""),
    (["models", "show", "a.safetensors"], ""),
    (["complete", "once upon", "--stats"], ""),
    (["summarize", "notes.txt", "--length", "short"], ""),
    (["translate", "notes.txt"], ""),
    (["sentiment", "--json", "--per", "line", "-"], "I loved every minute\n房间又脏又吵\n"),
    (["classify", "--labels", "travel,food", "the ferry leaves at seven"], ""),
    (["batch", "Say it again: {text}", "--in", "lines", "notes.txt"], ""),
    (["eval", "perplexity", "--data", "notes.txt"], ""),
    (["embed", "a cat on a mat"], ""),
    (["index", "add", "notes.txt"], ""),
    (["index", "list"], ""),
    (["index", "stats"], ""),
    (["search", "when does the ferry leave?"], ""),
    (["index", "rm", "notes.txt"], ""),
    (["tokens", "--pieces", "-f", "notes.txt"], ""),
    (["doctor", "--full"], ""),
    (["paths", "--json"], ""),
    (["config", "path"], ""),
    (["config", "set", "seed", "7"], ""),
    (["config", "get", "seed"], ""),
    (["config", "show", "--origin"], ""),
    (["config", "unset", "seed"], ""),
    (["models", "import", "toy", "--name", "second", "--json"], ""),
    (["models", "list", "--all"], ""),
    (["models", "show", "second"], ""),
    (["models", "default", "second"], ""),
    (["models", "default", "tiny"], ""),
    (["models", "rm", "second", "--yes"], ""),
    (["completion", "bash"], ""),
    (["completion", "zsh", "--show"], ""),
    (["serve", "--keep-alive", "1s"], ""),
    (["demo"], ""),
]
PULL = (["models", "pull", "hf:acme/other"], "")
ELSEWHERE = {"models pull", "config edit", "bench"}
"""`pull` is for the network; `edit` only opens the user's editor, on a terminal; `bench` times starts of the program in
processes out of sight, and each is a command that is run here."""


def name_of(command: tuple[list[str], str]) -> str:
    """The words that name a command, without what is given to it."""
    groups = {"models", "config", "index", "history"}
    words = command[0]
    return " ".join(words[: 2 if words[0] in groups else 1])


def no_network_prefix() -> list[str]:
    """Linux can also take the network away from native code; where that is permitted, it is done."""
    prefix = ["unshare", "--map-root-user", "--net"]
    if shutil.which(prefix[0]) is None:
        return []
    done = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=30)
    return prefix if done.returncode == 0 else []


def run_plan(folder: Path, commands: list[Any], *, refuse: bool, port: int, prefix: list[str]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    plan, report = folder / "plan.json", folder / "report.json"
    fields = {"refuse": refuse, "port": port, "folder": str(folder), "commands": commands, "report": str(report)}
    plan.write_text(json.dumps(fields), "utf-8")
    script = Path(offline_commands.__file__)
    done = subprocess.run(
        [*prefix, sys.executable, str(script), str(plan)],
        env=environment(folder / "llm", {"HOME": str(folder)} | BRIEF),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def report(tiny_model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """How each of COMMANDS ended, and last PULL, in one process without a network."""
    folder = tmp_path_factory.mktemp("offline")
    shutil.copytree(tiny_model_home, folder / "llm")
    toy_checkpoints.write_chat_model(folder / "toy")
    (folder / "notes.txt").write_text(NOTES, "utf-8")
    row = {"instruction": "who?", "response": "Anna"}
    (folder / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 3, "utf-8")
    shape = {"layers": 1, "width": 16, "heads": 1, "context": 16, "steps": 1, "batch_tokens": 16, "pass_tokens": 16}
    (folder / "small.json").write_text(json.dumps(shape), "utf-8")
    found = run_plan(folder, [*COMMANDS, PULL], refuse=True, port=9, prefix=no_network_prefix())
    ended: list[dict[str, Any]] = found["commands"]
    return ended


@pytest.mark.parametrize("index", range(len(COMMANDS)), ids=[" ".join(words[:3]) for words, _ in COMMANDS])
def test_a_command_works_without_the_network_and_never_asks_for_it(report: list[dict[str, Any]], index: int) -> None:
    ended = report[index]
    assert ended["code"] == 0, ended["stderr"]
    assert ended["tried"] == []
    assert ended["children"] == []
    assert "Traceback" not in ended["stderr"]
    assert ended["stdout"] or ended["stderr"]


def test_only_pull_asks_for_the_network_and_says_that_it_can_not_have_it(report: list[dict[str, Any]]) -> None:
    ended = report[-1]
    assert ended["code"] == 1, ended
    assert ended["tried"]
    assert 1 <= len(ended["stderr"].splitlines()) <= 4


def test_every_command_there_is_was_run() -> None:
    from typer.main import get_command

    from tui.cli.main import app

    def leaves(command: Any, path: str) -> set[str]:
        inner = getattr(command, "commands", {})
        return set().union(*(leaves(each, f"{path} {name}".strip()) for name, each in inner.items())) or {path}

    assert leaves(get_command(app), "") - ELSEWHERE == {name_of(c) for c in COMMANDS if not c[0][0].startswith("-")}


class Greeter(BaseHTTPRequestHandler):
    """Answers any page, and counts who asked."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """The port of a server on the loopback, and everyone who has connected to it."""
    callers: list[object] = []

    class Counting(HTTPServer):
        def verify_request(self, request: object, client_address: object) -> bool:
            callers.append(client_address)
            return True

    with Counting(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, callers
        server.shutdown()
        thread.join()


def test_the_refusal_bites_and_without_it_the_same_attempts_succeed(
    tmp_path: Path, listener: tuple[int, list[object]]
) -> None:
    port, callers = listener
    control = functools.partial(run_plan, commands=[], port=port, prefix=[])
    refused = control(tmp_path / "refused", refuse=True)["attempts"]
    assert all(offline_commands.REASON in outcome for outcome in refused.values()), refused
    assert callers == []
    allowed = control(tmp_path / "allowed", refuse=False)["attempts"]
    assert set(allowed.values()) == {"done"}
    assert len(callers) == 2
