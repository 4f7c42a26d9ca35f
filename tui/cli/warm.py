"""The warm server from a command's side: whether one can answer this command, and starting one in the background."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.errors import CheckpointError, EngineError, UsageError
from tui.cli.console import ARROW, program
from tui.cli.interrupt import Terminated
from tui.paths import ensure_private

if TYPE_CHECKING:
    from engine.schema import ModelSummary
    from engine.session import Session
    from tui.cli.console import Console
    from tui.paths import Places
    from tui.settings import Settings

SOCKET = "warm.sock"
LOCK = "warm.lock"
START_SECONDS = 120.0
"""After which a server that was started is no longer waited for."""


def socket_of(places: Places) -> Path:
    """Where this user's server listens."""
    return places.runtime / SOCKET


def warm_session(places: Places, settings: Settings, console: Console, summary: ModelSummary) -> Session | None:
    """A session with the server that holds this model, started first where the settings say so; None without one.

    Why there is none is told with `--verbose` alone: the command then loads the model itself.
    """
    wanted, socket = settings["warm"], socket_of(places)
    if not (wanted or os.path.exists(socket)):
        return None
    found = _open(socket, settings, summary)
    if isinstance(found, str) and wanted:
        from engine.serving.warm import is_running

        if is_running(socket) is None:
            with console.spinner(f"starting a server for {summary.name}"):
                try:
                    start(places, settings, summary.name)
                    found = _open(socket, settings, summary)
                except EngineError as error:
                    found = error.message
    if isinstance(found, str):
        console.detail(f"no warm server: {found}")
        return None
    return found


def _open(socket: Path, settings: Settings, summary: ModelSummary) -> Session | str:
    from engine.serving.remote import RemoteSession

    try:
        found = RemoteSession.open(
            socket,
            Path(summary.path),
            device=settings["device"],
            threads=settings["threads"],
            context=settings["ctx"],
        )
    except EngineError as error:  # a damaged model: loading it will say so
        return error.message
    # The same methods, which a test compares; no class of it, which would bring in all that loading needs.
    return found if isinstance(found, str) else cast("Session", found)


def start(places: Places, settings: Settings, model: str, *extra: str) -> None:
    """Start `llm serve` in the background and wait until it answers. Raises EngineError if it does not."""
    from engine.serving.warm import is_running

    log = places.log_file
    ensure_private(log.parent)
    arguments = ["serve", "--model", model, *_flags(settings), *extra]
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from tui.cli.main import main; main()"
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    waited_until = time.monotonic() + START_SECONDS
    try:
        while is_running(socket_of(places)) is None:
            if process.poll() is not None:
                raise _ended(process.returncode, log.read_text("utf-8", "replace").strip().splitlines())
            if time.monotonic() > waited_until:
                raise EngineError(f"the server did not start: no answer within {START_SECONDS:.0f} s (see {log})")
            time.sleep(0.05)
    except (KeyboardInterrupt, Terminated):
        process.terminate()  # what nobody waits for any more would keep a model in memory
        raise


def _ended(status: int, told: list[str]) -> EngineError:
    """Why a server that was started has ended, from the last that it told; it ends this command with the same code."""
    hint = told.pop().removeprefix(ARROW) if told and told[-1].startswith(ARROW) else ""
    reason = told[-1].removeprefix("llm: ") if told else f"the server ended with status {status}"
    kind = {2: UsageError, 3: CheckpointError}.get(status, EngineError)
    return kind(f"the server did not start: {reason}", hint=hint)


def _flags(settings: Settings) -> list[str]:
    """What the server is opened with, said in full: it reads no project file."""
    flags = ["--color", "never"]  # for its log, which is read here
    for name in ("device", "threads", "ctx", "keep_alive"):
        if (value := settings[name]) is not None:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    return flags


def hint() -> str:
    """How to end what is running."""
    return f"{program()} serve --stop"


@contextlib.contextmanager
def sole(places: Places) -> Any:
    """While it is entered, no other server of this user runs. Yields False if one does.

    The lock goes with the process, however that ends; the socket that a killed one leaves is replaced.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(ensure_private(places.runtime) / LOCK, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
