"""Commands as processes that fork from one Python, in which what others wrote is imported already.

Half of a command's time goes into importing PyTorch; a fork has an own environment, own streams, an own end, and
imports all that is ours by itself. How a process begins is tested where that is the point, by processes from nothing.
A script, too, that does the forking: `python forked.py`, with the requests on its stdin, which is a socket.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULE = "tui.cli.main"
OTHERS = (
    "numpy", "sentencepiece", "safetensors", "regex", "jinja2.sandbox", "typer", "sqlite3", "tomlkit", "platformdirs",
    "filelock", "http.server", "xml.etree.ElementTree",
)  # fmt: skip
"""Besides PyTorch; what is missing here, a command imports."""
AT_START = ("PYTHON", "LC_", "LD_", "OMP_", "LOCAL_LLM_LEAN")
"""Variables that are read before our code runs; a process that has others is started from nothing."""


class Forker:
    """The client's end: one for a process of pytest, which ends with it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=theirs, stdout=subprocess.DEVNULL, env=self.environment
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End the forking process; commands that run go on."""
        self._socket.close()
        self._process.wait()

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether a process with these variables would begin as the forking one did."""
        differing = {name for name, _ in environment.items() ^ self.environment.items()}
        return not any(name.startswith(AT_START) for name in differing)

    def start(self, request: dict[str, Any], streams: list[int]) -> socket.socket:
        """Start a command with these three streams; the socket tells its process id and then its exit status."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            socket.send_fds(self._socket, [b"!"], [*streams, theirs.fileno()])
        ours.sendall(json.dumps(request).encode() + b"\n")
        return ours


@cache
def forker() -> Forker:
    """The one of this process, for what its environment was when it was first wanted."""
    from cli_process import environment

    return Forker(environment(Path.home()))


def run(
    arguments: Sequence[str], variables: Mapping[str, str], folder: Path, stdin: Any, timeout: float
) -> subprocess.CompletedProcess[bytes] | None:
    """As `subprocess.run`; None where such a process can't be forked."""
    if not hasattr(os, "fork") or not (isinstance(stdin, bytes) or stdin == subprocess.DEVNULL):
        return None
    if not forker().can_run(variables):
        return None
    request = {"arguments": arguments, "environment": dict(variables), "folder": str(folder)}
    (reads, source), (out, writes_out), (errors, writes_errors) = [os.pipe() for _ in range(3)]
    if stdin == subprocess.DEVNULL:
        stdin = os.open(os.devnull, os.O_RDONLY)
        os.dup2(stdin, reads)
        os.close(stdin)
    theirs = [reads, writes_out, writes_errors]
    with forker().start(request, theirs) as status, status.makefile("r") as told, ThreadPoolExecutor(3) as pool:
        for end in theirs:
            os.close(end)
        child = int(told.readline())
        pool.submit(fed, source, stdin if isinstance(stdin, bytes) else b"")
        outputs = [pool.submit(drained, end) for end in (out, errors)]
        try:
            status.settimeout(timeout)
            given = [output.result(timeout) for output in outputs]
            code = int(told.readline())
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            raise subprocess.TimeoutExpired([MODULE, *arguments], timeout) from None
    return subprocess.CompletedProcess([MODULE, *arguments], code, *given)


def fed(end: int, data: bytes) -> None:
    """Write all and close."""
    with contextlib.suppress(BrokenPipeError), open(end, "wb") as stream:
        stream.write(data)


def drained(end: int) -> bytes:
    """Read all and close."""
    with open(end, "rb") as stream:
        return stream.read()


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork twice for each request, for the command and for who waits for its end. Returns in each command, with what it
    is to be, and once the other end is closed, with nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those ended who wait
    while True:
        asked, streams, _, _ = socket.recv_fds(requests, 1, 4)
        if not asked:
            return None
        if not os.fork():
            break
        for stream in streams:
            os.close(stream)
    requests.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=streams.pop()) as client, client.makefile("r") as told:
        request = json.loads(told.readline())
        if child := os.fork():
            for stream in streams:
                os.close(stream)
            with contextlib.suppress(OSError):  # whoever asked is gone
                client.sendall(f"{child}\n".encode())
                client.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
            os._exit(0)
    for at, stream in enumerate(streams):
        os.dup2(stream, at)
        os.close(stream)
    return request


def become(request: dict[str, Any]) -> None:
    """Be what `python -m tui.cli.main …` is."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv[:] = [MODULE, *request["arguments"]]
    for at, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        whole = before.write_through
        buffer: Any = os.fdopen(at, "wb" if at else "rb", 0 if at and whole else -1, closefd=False)
        settings = {"line_buffering": before.line_buffering, "write_through": whole}
        stream = io.TextIOWrapper(buffer, before.encoding, before.errors, **settings)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    with socket.socket(fileno=os.dup(0)) as asked:
        from engine.lean import import_torch

        import_torch(lean=True)
        for module in OTHERS:
            with contextlib.suppress(ImportError):
                __import__(module)
        gc.freeze()
        to_be = serve(asked)
    if to_be is not None:
        become(to_be)
