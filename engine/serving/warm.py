"""The warm server's side of the socket: one model in memory, a thread for each client, and an end when nobody comes.

Each client asks for one step at a time, so that a client which stops or dies stops the model within a token. The
methods that can be called are those of `engine.session.Session`, named here one by one.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine import manifest
from engine.config import SamplingConfig
from engine.errors import EngineError, UsageError
from engine.schema import Chunk
from engine.serving import wire
from engine.serving.wire import Wire, WireError, pack_error, unpack_messages

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from engine.schema import Message
    from engine.serving.pool import Pool
    from engine.session import Session

PATIENCE = 10.0
"""Seconds that a client has to answer a question in the middle of a step, which all others wait for."""
MOST_CLIENTS = 64
MOST_OPEN = 16
"""Streams of one client at a time."""


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
        return cls(manifest.identity(folder), device, threads)

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
        with self._lock:
            self._clients += 1
        try:
            yield
        finally:
            with self._lock:
                self._clients -= 1
                self._used = time.monotonic()

    def _is_idle(self) -> bool:
        with self._lock:
            waited = time.monotonic() - self._used
            return self._keep_alive is not None and not self._clients and waited > self._keep_alive

    def _admit(self, connection: socket.socket) -> None:
        if not wire.is_own(connection) or self._clients >= MOST_CLIENTS:
            connection.close()
            return
        connection.settimeout(None)
        threading.Thread(target=self._talk, args=(Wire(connection),), daemon=True).start()

    def _talk(self, link: Wire) -> None:
        with self.in_use(), contextlib.closing(link), contextlib.suppress(WireError):
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
                link.send({"problem": problem} if problem else _facts(session))
                if not problem:
                    with contextlib.closing(_Client(self, link, message.get("context"))) as client:
                        client.serve()

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
    return {name: getattr(session, name) for name in names}


class _Client:
    """One connection: its calls, and the streams that it has open."""

    def __init__(self, server: WarmServer, link: Wire, context: int | None) -> None:
        self._server, self._pool, self._link, self._context = server, server.pool, link, context
        self._streams: dict[int, Generator[Any, None, None]] = {}

    def serve(self) -> None:
        """Answer until the client is gone."""
        while not self._server._stopping.is_set():
            self._reply(self._link.receive()[0])

    def _reply(self, message: dict[str, Any]) -> None:
        try:
            reply, numbers = self._answer(message)
        except EngineError as error:
            if not self._link.open:
                raise
            reply, numbers = {"error": pack_error(error)}, b""
        except Exception as error:  # noqa: BLE001  (one client's request must not end the others')
            told = EngineError(f"the warm server failed: {type(error).__name__}: {error}")
            reply, numbers = {"error": pack_error(told)}, b""
        self._link.send(reply, numbers)

    def close(self) -> None:
        """Let go of all streams: what they computed stops here."""
        for stream in self._streams.values():
            stream.close()

    def _answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        kind = message["op"]
        if kind == "next":
            return {"item": item} if (item := next(self._streams[message["id"]], None)) is not None else {}, b""
        if kind == "close":
            self._streams.pop(message["id"]).close()
            return {}, b""
        self._server.count_request()
        if kind == "embed":
            return self._embed(message["texts"])
        if kind in _STREAMS:
            if len(self._streams) >= MOST_OPEN:
                raise UsageError(f"more than {MOST_OPEN} streams at a time")
            stream = _STREAMS[kind](self, message)
            # The first item is computed when it is asked for, but what refuses the prompt is told at once.
            next(stream)
            self._streams[message["id"]] = stream
            return {}, b""
        return {"value": _CALLS[kind](self, message)}, b""

    def _embed(self, texts: list[str]) -> tuple[dict[str, Any], bytes]:
        vectors = self._pool.compute(self._pool.base.embed, texts)
        return {"shape": list(vectors.shape)}, vectors.astype("<f4").tobytes()

    def _count(self, message: dict[str, Any]) -> Any:
        return self._pool.base.count(message["text"])

    def _pieces(self, message: dict[str, Any]) -> Any:
        return [[id_, piece, list(data)] for id_, piece, data in self._pool.base.pieces(message["text"])]

    def _count_messages(self, message: dict[str, Any]) -> Any:
        return self._pool.base.count_messages(unpack_messages(message["messages"]))

    def _prompt_text(self, message: dict[str, Any]) -> Any:
        return self._pool.base.prompt_text(unpack_messages(message["messages"]))

    def _score(self, message: dict[str, Any]) -> Any:
        messages = unpack_messages(message["messages"])
        with self._pool.session(_begins(messages), self._context) as session:
            return self._pool.compute(session.score, messages, message["continuations"])

    def _score_ids(self, message: dict[str, Any]) -> Any:
        with self._pool.session("", self._context) as session:
            return self._pool.compute(session.score_ids, message["ids"], message["continuations"])

    def _next_tokens(self, message: dict[str, Any]) -> Any:
        messages, goes_on = unpack_messages(message["messages"]), message["continue_last"]
        with self._pool.session(_begins(messages), self._context) as session:
            return self._pool.compute(lambda: session.next_tokens(messages, message["count"], continue_last=goes_on))

    def _stream(self, message: dict[str, Any]) -> Generator[Any, None, None]:
        messages = unpack_messages(message["messages"])
        enough = self._asks_enough(message)
        with self._pool.session(_begins(messages), self._context) as session:
            chunks = self._pool.compute(
                lambda: session.stream(
                    messages,
                    _sampling(message),
                    continue_last=message["continue_last"],
                    grammar=_grammar(message),
                    enough=enough,
                )
            )
            yield from self._chunks(chunks)

    def _complete(self, message: dict[str, Any]) -> Generator[Any, None, None]:
        with self._pool.session(message["text"][:4000], self._context) as session:
            chunks = self._pool.compute(session.complete, message["text"], _sampling(message))
            yield from self._chunks(chunks)

    def _chunks(self, chunks: Generator[Chunk, None, None]) -> Generator[Any, None, None]:
        yield None
        with contextlib.closing(self._pool.steps(chunks)) as steps:
            for chunk in steps:
                yield wire.pack_chunk(chunk)

    def _score_many(self, message: dict[str, Any]) -> Generator[Any, None, None]:
        conversations = [unpack_messages(data) for data in message["conversations"]]
        key = json.dumps([self._context, message["conversations"], message["continuations"]])

        def rows() -> Generator[Any, None, None]:
            begins = _begins(conversations[0]) if conversations else ""
            with self._pool.session(begins, self._context) as session:
                generator = session.score_many(conversations, message["continuations"])
                with contextlib.closing(self._pool.steps(generator)) as steps:
                    for row in steps:
                        yield {"error": pack_error(row)} if isinstance(row, EngineError) else row

        yield None
        few = len(conversations) <= 8
        with contextlib.closing(self._pool.scores.through(key, rows) if few else rows()) as found:
            yield from found

    def _stream_many(self, message: dict[str, Any]) -> Generator[Any, None, None]:
        enough = self._asks_enough(message)

        def conversations() -> Iterator[list[Message]]:
            while (more := self._ask({"more": True})) is not None:
                yield unpack_messages(more)

        with self._pool.session("", self._context) as session:
            generator = session.stream_many(
                conversations(),
                _sampling(message),
                together=message["together"],
                grammar=_grammar(message),
                enough=enough,
            )
            yield None
            with contextlib.closing(self._pool.steps(generator)) as steps:
                for index, item in steps:
                    packed = wire.pack_chunk(item) if isinstance(item, Chunk) else {"error": pack_error(item)}
                    yield [index, packed]

    def _asks_enough(self, message: dict[str, Any]) -> Callable[[str], bool] | None:
        if not message["enough"]:
            return None
        return lambda said: bool(self._ask({"enough": said}))

    def _ask(self, question: dict[str, Any]) -> Any:
        """Put a question to the client in the middle of a step. Raises WireError if it does not answer in time.

        To answer, the client may have requests of its own: how many tokens its next text is, for one.
        """
        self._link.wait_at_most(PATIENCE)
        self._link.send(question)
        while "answer" not in (message := self._link.receive()[0]):
            self._reply(message)
        self._link.wait_at_most(None)
        return message["answer"]


_CALLS: dict[str, Callable[[_Client, dict[str, Any]], Any]] = {
    "count": _Client._count,
    "pieces": _Client._pieces,
    "count_messages": _Client._count_messages,
    "prompt_text": _Client._prompt_text,
    "score": _Client._score,
    "score_ids": _Client._score_ids,
    "next_tokens": _Client._next_tokens,
}
_STREAMS: dict[str, Callable[[_Client, dict[str, Any]], Generator[Any, None, None]]] = {
    "stream": _Client._stream,
    "complete": _Client._complete,
    "score_many": _Client._score_many,
    "stream_many": _Client._stream_many,
}


def _begins(messages: list[Message]) -> str:
    """What tells prompts apart cheaply: their texts, one after the other, as far as they matter."""
    return "\n".join(message.content for message in messages)[:20_000]


def _sampling(message: dict[str, Any]) -> SamplingConfig:
    return SamplingConfig.from_json(message["sampling"])


def _grammar(message: dict[str, Any]) -> Any:
    from engine.structure import Grammar

    return None if message["grammar"] is None else Grammar(*message["grammar"])


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
