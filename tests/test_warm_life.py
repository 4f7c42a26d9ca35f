"""How a warm server begins and ends: started by a command, killed, left alone; nothing is left to clean."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from cli_process import COMMAND, environment, llm, told
from warm_server import KEPT, hello, home_like, opened, serving, socket_in, wait_until

from engine.config import SamplingConfig
from engine.errors import EngineError
from engine.serving import wire
from engine.serving.remote import RemoteSession
from engine.serving.warm import MOST_CLIENTS, Terms, WarmServer, is_running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not wire.available(), reason="no unix sockets here")


def test_a_killed_server_leaves_nothing_that_needs_cleaning(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    with serving(home) as process:
        process.kill()
        process.wait()
    assert socket_in(home).exists()
    cold = llm(home, "ask", "hello", "--max-tokens", "3", "--verbose")
    assert cold.returncode == 0
    assert "loaded in" in cold.stderr.decode()
    assert llm(home, "serve", "--status").returncode == 1
    with serving(home):
        assert KEPT in llm(home, "ask", "hello", "--max-tokens", "3", "--verbose").stderr.decode()
        second = llm(home, "serve")
        assert second.returncode == 2
        assert "runs already" in told(second)[0]
        status = json.loads(llm(home, "serve", "--status", "--json").stdout)
        assert status["running"]
        assert status["model"] == "tiny"
        assert llm(home, "serve", "--stop").returncode == 0
    assert not socket_in(home).exists()


def test_a_server_that_dies_in_the_middle_is_told_in_one_line(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    with serving(home) as process:
        client = opened(home)
        assert isinstance(client, RemoteSession)
        stream = client.stream(hello(), SamplingConfig(max_tokens=4000))
        next(stream)
        process.kill()
        process.wait()
        with pytest.raises(EngineError, match="warm server"):
            list(stream)
        with pytest.raises(EngineError, match="gone"):
            client.count("x")


@pytest.mark.parametrize("where", [(), ("--background",)], ids=["here", "background"])
def test_a_damaged_model_ends_a_server_as_every_command(
    tiny_model_home: Path, tmp_path: Path, where: tuple[str, ...]
) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    weights = home / "models" / "tiny" / "model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))
    done = llm(home, "serve", *where, timeout=120)
    assert (done.returncode, "the server did not start: " in told(done)[0]) == (3, bool(where))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_start_that_is_interrupted_leaves_no_server(
    tiny_model_home: Path, tmp_path: Path, how: signal.Signals
) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    process = subprocess.Popen(
        [*COMMAND, "serve", "--background"],
        env=environment(home), cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until((home / "state" / "serve.log").exists)
    time.sleep(0.1)
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode == 128 + how
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert is_running(socket_in(home)) is None
        time.sleep(0.1)


@pytest.mark.parametrize("flags", [("--ctx", "9999999"), ("--device", "mps")], ids=" ".join)
@pytest.mark.parametrize("where", [(), ("--background",)], ids=["here", "background"])
def test_what_the_model_or_machine_can_not_do_is_a_wrong_command_line(
    tiny_model_home: Path, tmp_path: Path, flags: tuple[str, str], where: tuple[str, ...]
) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    done = llm(home, "serve", *flags, *where, timeout=120)
    assert done.returncode == 2
    assert told(done)[0].count("llm: ") == 1


def test_it_ends_when_nobody_comes_and_not_while_someone_is_there(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    with serving(home, "--keep-alive", "1s") as process:
        client = opened(home)
        assert isinstance(client, RemoteSession)
        time.sleep(2)
        assert process.poll() is None
        client.close()
        assert process.wait(20) == 0
    assert not socket_in(home).exists()


def test_the_setting_warm_lets_the_first_command_start_it(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    try:
        env = {"LOCAL_LLM_WARM": "true", "LOCAL_LLM_KEEP_ALIVE": "20s"}
        first = llm(home, "ask", "hello", "--max-tokens", "3", "--verbose", env=env)
        assert first.returncode == 0
        assert KEPT in first.stderr.decode()
        log = home / "state" / "serve.log"
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert KEPT in llm(home, "ask", "hello", "--max-tokens", "3", "--verbose").stderr.decode()
    finally:
        llm(home, "serve", "--stop")
    assert llm(home, "serve", "--status").returncode == 1


def test_a_home_too_deep_for_a_socket_still_has_a_server(tiny_model_home: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    home = home_like(tiny_model_home, deep / "home")
    path = socket_in(home)
    assert len(os.fsencode(path)) <= 100, "what every system takes"
    try:
        with serving(home):
            assert KEPT in llm(home, "ask", "hello", "--max-tokens", "3", "--verbose").stderr.decode()
    finally:
        shutil.rmtree(path.parent, ignore_errors=True)


def test_a_server_with_all_the_clients_that_it_takes_still_tells_of_itself_and_ends(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    with serving(home) as process, contextlib.ExitStack() as ends:
        for _ in range(MOST_CLIENTS):
            link = wire.connect(socket_in(home))
            assert link is not None, "those who come at once wait for a moment"
            ends.callback(link.close)
        found = opened(home)
        assert isinstance(found, str)
        assert f"{MOST_CLIENTS} clients" in found
        assert llm(home, "serve", "--status").returncode == 0
        assert llm(home, "serve", "--stop").returncode == 0
        assert process.wait(20) == 0


def test_who_has_come_is_there_before_its_thread_has_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = Terms("identity", "cpu", None, "build")
    with wire.listen(tmp_path / "socket") as listener, contextlib.ExitStack() as ends:
        server = WarmServer(None, terms, listener, keep_alive=0)  # type: ignore[arg-type]
        time.sleep(0.01)
        assert server._is_idle()
        first, second = (socket.socketpair() for _ in range(2))
        for end in (*first, *second):
            ends.enter_context(end)
        monkeypatch.setattr(threading.Thread, "start", lambda _: None)
        server._admit(first[0])
        assert not server._is_idle(), "it would end, and cut off who has just come"

        def no_more(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", no_more)
        server._admit(second[0])
        assert second[1].recv(1) == b"", "it is told at once"
        assert server._clients == 1
