"""What the tests of the warm server share: a real server process of a home, started and ended, and its client."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from cli_process import COMMAND, environment

from engine.schema import Message
from engine.serving.remote import RemoteSession
from engine.serving.warm import is_running
from tui.paths import places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


KEPT = "kept warm"
"""What a command says that was answered by the server."""


def socket_in(home: Path) -> Path:
    return places({"LOCAL_LLM_HOME": str(home)}).runtime / "warm.sock"


def home_like(tiny: Path, folder: Path) -> Path:
    """A home of its own with the tiny model in it."""
    shutil.copytree(tiny / "models", folder / "models")
    return folder


@contextlib.contextmanager
def serving(home: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`llm serve` in that home, ready; killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, "serve", *flags],
        env=environment(home, env),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: is_running(socket_in(home)) is not None or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def opened(home: Path, model: str = "tiny", **asked: object) -> RemoteSession | str:
    return RemoteSession.open(socket_in(home), home / "models" / model, **({"device": "auto"} | asked))  # type: ignore[arg-type]


def hello(text: str = "hello") -> list[Message]:
    return [Message("user", text)]


def wait_until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
