"""The warm server: one model in memory, a thread for each client (see `client`), and an end when nobody comes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine import manifest
from engine.serving import wire
from engine.serving.client import Client
from engine.serving.wire import Wire, WireError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from engine.serving.pool import Pool
    from engine.session import Session

MOST_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Terms:
    """What the model was opened with: a client that asks for something else is refused and opens its own."""

    identity: str
    """Of what lies in the model's folder."""
    device: str
    """As it was asked for, such as `auto`."""
    threads: int | None
    build: str = field(default_factory=wire.build)

    @classmethod
    def of(cls, folder: Path, device: str, threads: int | None) -> Terms:
        """The terms of a model's folder, opened so. Raises CheckpointError for a damaged one."""
        return cls(manifest.read(folder).identity, device, threads)

    def problem(self, asked: dict[str, Any], session: Session) -> str:
        """Why this server is not the one for a client; empty if it is."""
        if asked.get("build") != self.build:
            return "the server runs other code of this program"
        if asked.get("identity") != self.identity:
            return "the server holds another model"
        if asked.get("device") not in {self.device, session.device}:
            return f"the server computes on {session.device}"
        if asked.get("threads") not in {None, self.threads}:
            return f"the server computes with {self.threads or 'all'} threads"
        context = asked.get("context")
        if context is not None and not (isinstance(context, int) and 16 <= context <= session.context):
            return f"the server's context is {session.context} tokens"
        return ""


class WarmServer:
    """Serves a pool over a listening socket until it is told to stop or nobody has come for `keep_alive` seconds."""

    def __init__(self, pool: Pool, terms: Terms, listener: socket.socket, *, keep_alive: float | None) -> None:
        """`keep_alive` None: for ever."""
        self.pool, self.terms = pool, terms
        self._listener, self._keep_alive = listener, keep_alive
        self.facts: dict[str, Any] = {}
        """What else `status` tells."""
        self._started = self._used = time.monotonic()
        self._served = self._clients = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def serve(self) -> None:
        """Until the end; returns when no client is left or the last ones were cut off."""
        self._listener.settimeout(0.5)
        while not self._stopping.is_set() and not self._is_idle():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._stopping.is_set():
                    break
                time.sleep(0.1)  # out of file descriptors: some will be given back
                continue
            self._admit(connection)

    def stop(self) -> None:
        """Ask the server to end; a step that runs is finished."""
        self._stopping.set()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While it is entered, the server does not end for want of use."""
        self._come()
        try:
            yield
        finally:
            self._go()

    def _come(self) -> None:
        with self._lock:
            self._clients += 1

    def _go(self) -> None:
        with self._lock:
            self._clients -= 1
            self._used = time.monotonic()

    def _is_idle(self) -> bool:
        with self._lock:
            waited = time.monotonic() - self._used
            return self._keep_alive is not None and not self._clients and waited > self._keep_alive

    def _admit(self, connection: socket.socket) -> None:
        if not wire.is_own(connection):
            connection.close()
            return
        connection.settimeout(None)
        self._come()  # not in its thread, which may not have run when the server looks whether anybody is there
        try:
            threading.Thread(target=self._talk, args=(Wire(connection),), daemon=True).start()
        except RuntimeError:  # no more threads: some will end
            self._go()
            connection.close()

    def _talk(self, link: Wire) -> None:
        """With a client that was counted when it came."""
        with contextlib.ExitStack() as ends, contextlib.closing(link), contextlib.suppress(WireError):
            ends.callback(self._go)
            message, _ = link.receive()
            kind = message.get("op")
            if kind == "status":
                link.send(self.status())
            elif kind == "stop":
                self.stop()
                link.send({})
            elif kind == "hello":
                session = self.pool.base
                problem = self.terms.problem(message, session)
                if self._clients > MOST_CLIENTS:  # itself among them; what it is and when to end it tells all
                    problem = f"the server has {MOST_CLIENTS} clients already"
                link.send({"problem": problem} if problem else _facts(session))
                if not problem:
                    context = message.get("context")
                    with contextlib.closing(Client(self.pool, link, context, self.count_request)) as client:
                        client.serve(until=self._stopping)

    def count_request(self) -> None:
        """One more was asked for."""
        with self._lock:
            self._served += 1

    def status(self) -> dict[str, Any]:
        """What `llm serve --status` tells."""
        session = self.pool.base
        now = time.monotonic()
        return {
            "pid": os.getpid(),
            "model": session.name,
            "device": session.device,
            "kernel": session.kernel,
            "context": session.context,
            "requests": self._served,
            "clients": self._clients - 1,
            "up_seconds": round(now - self._started, 1),
            "keep_alive_seconds": self._keep_alive,
        } | self.facts


def _facts(session: Session) -> dict[str, Any]:
    """What a client's session says of itself."""
    names = ("name", "context", "device", "kernel", "identity", "is_chat", "memory_bytes")
    return {name: getattr(session, name) for name in names} | {"probes": list(session.probes)}


def is_running(path: Path) -> dict[str, Any] | None:
    """The status of the server that listens there; None if there is none."""
    return _one(path, "status")


def ask_to_stop(path: Path) -> bool:
    """Ask the server that listens there to end; False if there is none."""
    return _one(path, "stop") is not None


def _one(path: Path, kind: str) -> dict[str, Any] | None:
    link = wire.connect(path)
    if link is None:
        return None
    with contextlib.closing(link), contextlib.suppress(WireError):
        link.send({"op": kind})
        return link.receive()[0]
    return None
