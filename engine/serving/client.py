"""One client of the warm server: what it asks for over the socket, and how the pool gives it.

It asks for one step at a time, so that a client which stops or dies stops the model within a token. The methods that
can be called are those of `engine.session.Session`, named here one by one.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from engine.config import SamplingConfig
from engine.errors import EngineError, UsageError
from engine.schema import Chunk
from engine.serving import wire
from engine.serving.wire import Wire, pack_error, unpack_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from threading import Event

    from engine.schema import Message
    from engine.serving.pool import Pool

PATIENCE = 10.0
"""Seconds that a client has to answer a question in the middle of a step, which all others wait for."""
MOST_OPEN = 16
"""Streams of one client at a time."""
FEW = 8
"""Conversations up to which scores are remembered: labels' priors have three."""


class Client:
    """Its calls, and the streams that it has open."""

    def __init__(self, pool: Pool, link: Wire, context: int | None, counted: Callable[[], None]) -> None:
        """`context`: the limit that it asked for. `counted` is called with each request."""
        self._pool, self._link, self._context, self._counted = pool, link, context, counted
        self._streams: dict[int, Generator[Any, None, None]] = {}

    def serve(self, until: Event) -> None:
        """Answer until the client is gone, or the event is set."""
        while not until.is_set():
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
            with contextlib.suppress(EngineError):  # the server ends, and with it what they computed
                stream.close()

    def _answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        kind = message["op"]
        if kind == "next":
            return {"item": item} if (item := next(self._streams[message["id"]], None)) is not None else {}, b""
        if kind == "close":
            self._streams.pop(message["id"]).close()
            return {}, b""
        self._counted()
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
        vectors = self._pool.embed(texts)
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

        def rows() -> Generator[Any, None, None]:
            begins = _begins(conversations[0]) if conversations else ""
            with self._pool.session(begins, self._context) as session:
                generator = session.score_many(conversations, message["continuations"])
                with contextlib.closing(self._pool.steps(generator)) as steps:
                    for row in steps:
                        yield {"error": pack_error(row)} if isinstance(row, EngineError) else row

        yield None
        found = rows()
        if len(conversations) <= FEW:
            key = json.dumps([self._context, message["conversations"], message["continuations"]])
            found = self._pool.scores.through(key, rows)
        with contextlib.closing(found):
            yield from found

    def _glance_many(self, message: dict[str, Any]) -> Generator[Any, None, None]:
        conversations = [unpack_messages(data) for data in message["conversations"]]
        begins = _begins(conversations[0]) if conversations else ""
        yield None
        with self._pool.session(begins, self._context) as session:
            generator = session.glance_many(message["name"], conversations)
            with contextlib.closing(self._pool.steps(generator)) as steps:
                yield from steps

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
            self._link.wait_at_most(PATIENCE)  # what it asked for may have had a question of its own
        self._link.wait_at_most(None)
        return message["answer"]


_CALLS: dict[str, Callable[[Client, dict[str, Any]], Any]] = {
    "count": Client._count,
    "pieces": Client._pieces,
    "count_messages": Client._count_messages,
    "prompt_text": Client._prompt_text,
    "score": Client._score,
    "score_ids": Client._score_ids,
    "next_tokens": Client._next_tokens,
}
_STREAMS: dict[str, Callable[[Client, dict[str, Any]], Generator[Any, None, None]]] = {
    "stream": Client._stream,
    "complete": Client._complete,
    "score_many": Client._score_many,
    "glance_many": Client._glance_many,
    "stream_many": Client._stream_many,
}


def _begins(messages: list[Message]) -> str:
    """What tells prompts apart cheaply: their texts, one after the other, as far as they matter."""
    return "\n".join(message.content for message in messages)[:20_000]


def _sampling(message: dict[str, Any]) -> SamplingConfig:
    return SamplingConfig.from_json(message["sampling"])


def _grammar(message: dict[str, Any]) -> Any:
    from engine.structure import Grammar

    return None if message["grammar"] is None else Grammar(*message["grammar"])
