"""Runs commands of `llm` in one process that is refused the network, and reports how each ended.

A script: `python offline_commands.py PLAN.json`; the plan names the report. One import of torch serves all commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NETWORK = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg",
    "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo",
}  # fmt: skip
CHILDREN = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
LOADER = "/sbin/ldconfig"
INTERNET = {socket.AF_INET, socket.AF_INET6}
REASON = "the network is refused"


class Watch:
    """Audit events see every socket of Python code, however late or privately its library was imported."""

    def __init__(self, *, refuse: bool) -> None:
        self.tried: list[str] = []
        self.children: list[str] = []
        """A child process would be out of sight: none may be started."""
        self._refuse = refuse

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHILDREN and arguments[0] == LOADER:
            pass  # PyTorch's build for CUDA asks where the system's libraries lie
        elif event in CHILDREN:
            self.children.append(f"{event} {arguments[0]!r}")
        elif event.startswith("socket.") and getattr(arguments[0], "family", None) == socket.AF_UNIX:
            pass  # reaches nothing beyond this machine
        elif event in NETWORK or (event == "socket.__new__" and arguments[1] in INTERNET):
            self.tried.append(f"{event} {arguments[1:]!r}")
            if self._refuse:
                raise PermissionError(REASON)


def attempts(port: int) -> dict[str, str]:
    """What comes of each way to reach a listener on this machine: `done`, or why not."""
    ways: dict[str, Callable[[], Any]] = {
        "connect": lambda: socket.create_connection(("127.0.0.1", port), timeout=10).close(),
        "look up": lambda: socket.getaddrinfo("localhost", port),
        "look up, the old way": lambda: socket.gethostbyname("localhost"),
        "open": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "http": lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).close(),
    }
    outcome = {}
    for name, way in ways.items():
        try:
            way()
            outcome[name] = "done"
        except OSError as error:
            outcome[name] = str(error)
    return outcome


@contextlib.contextmanager
def streams(given: str) -> Iterator[dict[str, str]]:
    """Files for the three streams; what was written is in the yielded dictionary afterwards."""
    told: dict[str, str] = {}
    before = sys.stdin, sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3)]
        files[0].write(given)
        files[0].seek(0)
        sys.stdin, sys.stdout, sys.stderr = files
        try:
            yield told
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
            for name, file in (("stdout", files[1]), ("stderr", files[2])):
                file.seek(0)
                told[name] = file.read()


def ended(watch: Watch, arguments: list[str], stdin: str) -> dict[str, Any]:
    """How one command ended: its exit code, its streams, and what it tried."""
    from tui.cli.main import run

    watch.tried.clear()
    watch.children.clear()
    started = time.monotonic()
    with streams(stdin) as told:
        code = run(arguments)
    seconds = time.monotonic() - started
    return {"code": code, "tried": watch.tried[:], "children": watch.children[:], "seconds": seconds, **told}


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    watch = Watch(refuse=plan["refuse"])
    sys.addaudithook(watch)
    sys.argv[:] = ["llm"]
    os.chdir(plan["folder"])
    report = {
        "attempts": attempts(plan["port"]),
        "commands": [ended(watch, arguments, stdin) for arguments, stdin in plan["commands"]],
    }
    Path(plan["report"]).write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main()
