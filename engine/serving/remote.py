"""A session whose model lives in the warm server: the same methods as `engine.session.Session`, over the socket.

Imports neither torch nor numpy (vectors do, when they are asked for). A call that was interrupted half-way takes its
connection with it, which stops the server within a token; the next call makes another.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Self

from engine import manifest
from engine.config import TOGETHER
from engine.serving import wire
from engine.serving.wire import Wire, WireError, pack_messages, unpack_chunk, unpack_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from engine.config import SamplingConfig
    from engine.errors import InputTooLong, OutputError
    from engine.schema import Chunk, Message
    from engine.structure import Grammar


class RemoteSession:
    """A model, a tokenizer and KV caches in another process."""

    has_scores = True

    def __init__(self, path: Path, asked: dict[str, Any], link: Wire, facts: dict[str, Any]) -> None:
        self._path, self._asked, self._link = path, asked, link
        self._ids = itertools.count()
        self.name: str = facts["name"]
        self.context: int = asked["context"] or facts["context"]
        self.device: str = facts["device"]
        self.kernel: str = facts["kernel"]
        self.identity: str = facts["identity"]
        self.is_chat: bool = facts["is_chat"]
        self.memory_bytes: int = facts["memory_bytes"]
        self.probes: list[str] = facts["probes"]

    @classmethod
    def open(
        cls, path: Path, folder: Path, *, device: str, threads: int | None = None, context: int | None = None
    ) -> RemoteSession | str:
        """A session with the server that listens at `path`, or why there is none.

        The others are what a session would be opened with. Raises CheckpointError for a damaged folder.
        """
        asked = {
            "op": "hello",
            "build": wire.build(),
            "identity": manifest.read(folder).identity,
            "device": device,
            "threads": threads,
            "context": context,
        }
        found = _greet(path, asked)
        return found if isinstance(found, str) else cls(path, asked, *found)

    def fork(self) -> Self:
        """The same: it is the server that keeps what was read."""
        return self

    def close(self) -> None:
        """Let go of the connection; the model stays where it is."""
        self._link.close()

    def count(self, text: str) -> int:
        """How many tokens a text is."""
        return self._value("count", text=text)

    def pieces(self, text: str) -> list[tuple[int, str, bytes]]:
        """Each token's id, readable piece and bytes."""
        return [(id_, piece, bytes(data)) for id_, piece, data in self._value("pieces", text=text)]

    def count_messages(self, messages: Sequence[Message]) -> int:
        """How many tokens a conversation is, with everything that the chat format adds."""
        return self._value("count_messages", messages=pack_messages(messages))

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The prompt as the model gets it, control tokens shown by name."""
        return self._value("prompt_text", messages=pack_messages(messages))

    def stream(
        self,
        messages: Sequence[Message],
        sampling: SamplingConfig,
        *,
        continue_last: bool = False,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[Chunk, None, None]:
        """As `Session.stream`."""
        request = {"messages": pack_messages(messages), "continue_last": continue_last}
        return self._stream("stream", request | _drawing(sampling, grammar, enough), unpack_chunk, enough=enough)

    def complete(self, text: str, sampling: SamplingConfig) -> Generator[Chunk, None, None]:
        """As `Session.complete`."""
        return self._stream("complete", {"text": text} | _drawing(sampling, None, None), unpack_chunk)

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """As `Session.embed`."""
        import numpy

        reply, numbers = self._exchange({"op": "embed", "texts": list(texts)})
        return numpy.frombuffer(numbers, dtype="<f4").reshape(reply["shape"]).astype(numpy.float32)

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[list[float]]:
        """As `Session.score`."""
        return self._value("score", messages=pack_messages(messages), continuations=list(continuations))

    def score_ids(self, ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """As `Session.score_ids`."""
        return self._value("score_ids", ids=list(ids), continuations=[list(row) for row in continuations])

    def next_tokens(
        self, messages: Sequence[Message], count: int, *, continue_last: bool = False
    ) -> list[tuple[str, float]]:
        """As `Session.next_tokens`."""
        request = {"messages": pack_messages(messages), "count": count, "continue_last": continue_last}
        return [(text, probability) for text, probability in self._value("next_tokens", **request)]

    def score_many(
        self, conversations: Sequence[Sequence[Message]], continuations: Sequence[str]
    ) -> Generator[list[list[float]] | InputTooLong, None, None]:
        """As `Session.score_many`."""
        packed = [pack_messages(messages) for messages in conversations]
        request = {"conversations": packed, "continuations": list(continuations)}
        return self._stream("score_many", request, lambda rows: _error_or(list, rows))

    def glance_many(
        self, name: str, conversations: Sequence[Sequence[Message]]
    ) -> Generator[list[float | None], None, None]:
        """As `Session.glance_many`."""
        packed = [pack_messages(messages) for messages in conversations]
        return self._stream("glance_many", {"name": name, "conversations": packed}, list)

    def stream_many(
        self,
        conversations: Iterable[Sequence[Message]],
        sampling: SamplingConfig,
        *,
        together: int = TOGETHER,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[tuple[int, Chunk | InputTooLong | OutputError], None, None]:
        """As `Session.stream_many`."""
        request = {"together": together} | _drawing(sampling, grammar, enough)
        return self._stream(
            "stream_many",
            request,
            lambda item: (item[0], _error_or(unpack_chunk, item[1])),
            enough=enough,
            more=iter(conversations),
        )

    def _value(self, kind: str, **request: Any) -> Any:
        return self._exchange({"op": kind, **request})[0]["value"]

    def _stream(
        self,
        kind: str,
        request: dict[str, Any],
        unpack: Callable[[Any], Any],
        *,
        enough: Callable[[str], bool] | None = None,
        more: Iterator[Sequence[Message]] | None = None,
    ) -> Generator[Any, None, None]:
        """The items of a stream; what refuses the request is raised here, before the first."""
        id_ = next(self._ids)
        self._exchange({"op": kind, "id": id_, **request})
        items = self._items(self._link, id_, unpack, enough, more)
        next(items)  # begun, it is closed over there as well, though nobody should read it
        return items

    def _items(
        self,
        link: Wire,
        id_: int,
        unpack: Callable[[Any], Any],
        enough: Callable[[str], bool] | None,
        more: Iterator[Sequence[Message]] | None,
    ) -> Generator[Any, None, None]:
        try:
            yield None
            while True:
                reply, _ = self._exchange({"op": "next", "id": id_}, link, enough, more)
                if "item" not in reply:
                    break
                yield unpack(reply["item"])
        finally:
            if link.open:
                self._exchange({"op": "close", "id": id_}, link)

    def _exchange(
        self,
        request: dict[str, Any],
        link: Wire | None = None,
        enough: Callable[[str], bool] | None = None,
        more: Iterator[Sequence[Message]] | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """A request and its reply; in between, the server may ask what only this side knows."""
        link = link or self._connected()
        try:
            link.send(request)
            while True:
                reply, numbers = link.receive()
                if "enough" in reply and enough is not None:
                    link.send({"answer": enough(reply["enough"])})
                elif "more" in reply and more is not None:
                    link.send({"answer": _next(more)})
                else:
                    break
        except BaseException:
            # The server may have a reply on its way, which would be taken for the next call's, or wait for an answer.
            link.close()
            raise
        if "error" in reply:
            raise unpack_error(reply["error"])
        return reply, numbers

    def _connected(self) -> Wire:
        """The connection, made again where an interrupted call has closed it. Raises WireError."""
        if not self._link.open:
            found = _greet(self._path, self._asked)
            if isinstance(found, str):
                raise WireError(f"the warm server is gone ({found})", hint="run the command again")
            self._link = found[0]
        return self._link


def _greet(path: Path, asked: dict[str, Any]) -> tuple[Wire, dict[str, Any]] | str:
    """A connection and the facts of the model behind it, or why there is none."""
    link = wire.connect(path)
    if link is None:
        return "no server listens"
    try:
        link.send(asked)
        facts, _ = link.receive()
    except WireError as error:
        return error.message
    link.wait_at_most(None)
    if problem := facts.get("problem"):
        link.close()
        return str(problem)
    return link, facts


def _error_or(unpack: Callable[[Any], Any], item: Any) -> Any:
    return unpack_error(item["error"]) if isinstance(item, dict) else unpack(item)


def _next(conversations: Iterator[Sequence[Message]]) -> list[list[str]] | None:
    messages = next(conversations, None)
    return None if messages is None else pack_messages(messages)


def _drawing(sampling: SamplingConfig, grammar: Grammar | None, enough: Callable[[str], bool] | None) -> dict[str, Any]:
    """How a reply is drawn, as JSON types."""
    return {
        "sampling": sampling.to_json(),
        "grammar": None if grammar is None else [grammar.schema, grammar.rules],
        "enough": enough is not None,
    }
