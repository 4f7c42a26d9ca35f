"""A session with a server that speaks the OpenAI-compatible API: the methods of `engine.session.Session` over HTTP.

The server's tokenizer is out of reach: tokens are estimated, on the safe side. What the API can't give (scores of
whole continuations, going on with an answer) is refused by name. The network is used here because it was asked for.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from engine import endpoint_fields as fields
from engine.config import TOGETHER
from engine.endpoint_api import Api, BrokenOff, EndpointError
from engine.errors import InputTooLong, OutputError, UsageError
from engine.listening import listened
from engine.schema import Chunk, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from engine.config import SamplingConfig
    from engine.structure import Grammar

CONTEXT = 4096
"""Tokens, where neither the user nor the server says."""
ATTEMPTS = 4
TOP = 20
"""Likeliest tokens asked for, the most that the API gives."""


class EndpointSession:
    """A model on a server."""

    kernel, is_chat, memory_bytes = "api", True, 0
    has_scores = False
    probes = ()

    def __init__(self, url: str, key: str, model: str, context: int | None = None) -> None:
        """`url` is that of the API, such as http://127.0.0.1:8757/v1; an empty `model` is the only one there."""
        self._api = Api(url, key)
        found = self._api.models()
        self.name = fields.chosen(model, found, url)
        self.context = context or fields.context_of(found.get(self.name, {})) or CONTEXT
        self.device = self._api.host
        self.identity = f"{url} {self.name}"

    def fork(self) -> Self:
        """The same: it is the server that keeps what was read."""
        return self

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()

    def count(self, text: str) -> int:
        """About how many tokens a text is, rather too many: one for three letters or one Chinese character."""
        plain = sum(map(str.isascii, text))
        return math.ceil(plain / 3) + len(text) - plain

    def pieces(self, text: str) -> list[tuple[int, str, bytes]]:
        """A text's characters, in place of tokens that only the server knows."""
        return [(ord(char), char, char.encode("utf-8", "replace")) for char in text]

    def count_messages(self, messages: Sequence[Message]) -> int:
        """As `count`, with room for what the chat format adds."""
        return sum(self.count(message.content) + 8 for message in messages) + 8

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The messages as they are sent: the server alone knows the prompt."""
        return json.dumps(fields.sent(messages), ensure_ascii=False, indent=2)

    def stream(
        self,
        messages: Sequence[Message],
        sampling: SamplingConfig,
        *,
        continue_last: bool = False,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[Chunk, None, None]:
        """As `Session.stream`; a reply that is held to a grammar comes in one piece, once it was checked."""
        if continue_last:
            raise UsageError("an endpoint can't go on with an answer that was cut", hint="ask it to, in words")
        body = {"messages": fields.sent(messages)} | fields.drawing(sampling)
        if grammar is None:
            return self._stream("chat/completions", body, fields.delta_of, enough=enough)
        named = {"name": "answer", "strict": True, "schema": grammar.schema}
        wanted: list[dict[str, Any]] = [
            {"type": "json_schema", "json_schema": named},
            {"type": "json_object", "schema": grammar.schema},  # as llama.cpp had it first, and some have it alone
        ]
        try:
            return self._stream(
                "chat/completions", body | {"response_format": wanted[0]}, fields.delta_of, grammar=grammar
            )
        except EndpointError as error:
            if "json_schema" not in error.message:
                raise
        return self._stream("chat/completions", body | {"response_format": wanted[1]}, fields.delta_of, grammar=grammar)

    def complete(self, text: str, sampling: SamplingConfig) -> Generator[Chunk, None, None]:
        """As `Session.complete`."""
        return self._stream("completions", {"prompt": text} | fields.drawing(sampling), fields.text_of)

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """As `Session.embed`, by the server's own measure of likeness."""
        import numpy

        # The API refuses empty texts; a blank stands for nothing.
        data = self._api.post("embeddings", {"model": self.name, "input": [text or " " for text in texts]})
        try:
            rows = sorted(data["data"], key=lambda row: row["index"])
            vectors = numpy.array([row["embedding"] for row in rows], dtype=numpy.float32)
            if len(rows) != len(texts) or vectors.ndim != 2 or not numpy.isfinite(vectors).all():
                raise ValueError(f"{len(rows)} vectors for {len(texts)} texts")
        except (KeyError, TypeError, ValueError) as error:
            raise EndpointError(f"the server's embeddings are not as the API says: {error}") from error
        return vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[list[float]]:
        """Not to be had."""
        raise UsageError("an endpoint does not score whole texts", hint="use a local model: leave --endpoint out")

    def score_ids(self, ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Not to be had."""
        return self.score([], [])

    def next_tokens(
        self, messages: Sequence[Message], count: int, *, continue_last: bool = False
    ) -> list[tuple[str, float]]:
        """Not to be had."""
        raise UsageError("an endpoint does not tell what else could come next", hint="use a local model for that")

    def score_many(
        self, conversations: Sequence[Sequence[Message]], continuations: Sequence[str]
    ) -> Generator[list[list[float]] | InputTooLong, None, None]:
        """For each conversation the log-probability of each continuation's beginning, from the likeliest first tokens.

        Raises UsageError where that does not tell them apart, or the server gives no log-probabilities.
        """
        labels = [text.strip().casefold() for text in continuations]
        asked = [partial(self._first_tokens, messages) for messages in conversations]
        for _, top in self._together(asked, TOGETHER):
            yield top if isinstance(top, InputTooLong) else [[log] for log in fields.chances(top, labels)]

    def _first_tokens(self, messages: Sequence[Message]) -> list[tuple[str, float]]:
        body = {"messages": fields.sent(messages), "max_tokens": 1, "temperature": 0, "logprobs": True}
        data = self._api.post("chat/completions", {"model": self.name} | body | {"top_logprobs": TOP})
        return fields.first_tokens(data)

    def stream_many(
        self,
        conversations: Iterable[Sequence[Message]],
        sampling: SamplingConfig,
        *,
        together: int = TOGETHER,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[tuple[int, Chunk | InputTooLong | OutputError], None, None]:
        """As `Session.stream_many`: so many requests at a time, each reply in one piece.

        Some servers break one answer off for the next request: they are asked again, one after the other.
        """

        def told(messages: Sequence[Message]) -> Chunk | OutputError:
            try:
                return patient(messages)
            except OutputError as error:
                return error

        def patient(messages: Sequence[Message]) -> Chunk:
            for _ in range(ATTEMPTS - 1):
                with alone if crowded.is_set() else contextlib.nullcontext():
                    try:
                        return whole(messages)
                    except BrokenOff:
                        crowded.set()
            with alone:
                return whole(messages)

        def whole(messages: Sequence[Message]) -> Chunk:
            text, last = "", Chunk("", finish_reason="stop")
            with contextlib.closing(self.stream(messages, sampling, grammar=grammar, enough=enough)) as chunks:
                for last in chunks:
                    text += last.text
                    if stopped.is_set():
                        break
            return Chunk(
                text,
                prompt_tokens=last.prompt_tokens,
                output_tokens=last.output_tokens,
                finish_reason=last.finish_reason or "stopped",
            )

        stopped, crowded, alone = threading.Event(), threading.Event(), threading.Lock()
        try:
            asked = (partial(told, messages) for messages in conversations)
            yield from self._together(asked, together)
        finally:
            stopped.set()

    def _together(self, asked: Iterable[Callable[[], Any]], most: int) -> Generator[tuple[int, Any], None, None]:
        """What each request gives, in order, `most` of them at a time; one that is too long gives its InputTooLong."""
        waiting = enumerate(asked)
        running: list[tuple[int, Any]] = []
        pool = ThreadPoolExecutor(most)
        try:
            while True:
                while len(running) < most and (more := next(waiting, None)) is not None:
                    running.append((more[0], pool.submit(more[1])))
                if not running:
                    return
                number, future = running.pop(0)
                try:
                    result = future.result()
                except InputTooLong as error:
                    result = error
                yield number, result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # nobody waits for what is under way

    def _stream(
        self,
        path: str,
        body: dict[str, Any],
        said: Callable[[dict[str, Any]], str],
        *,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[Chunk, None, None]:
        body = {"model": self.name} | body | {"stream": True, "stream_options": {"include_usage": True}}
        started = time.perf_counter()
        events = listened(lambda: self._api.events(path, body))
        # What refuses the request is raised here, before the first chunk is asked for.
        first = next((event for event in events if event is not None), None)
        return self._chunks(started, first, events, said, grammar, enough)

    def _chunks(
        self,
        started: float,
        first: dict[str, Any] | None,
        events: Generator[dict[str, Any] | None, None, None],
        said: Callable[[dict[str, Any]], str],
        grammar: Grammar | None,
        enough: Callable[[str], bool] | None,
    ) -> Generator[Chunk, None, None]:
        text = finish = ""
        begun: float | None = None
        usage: dict[str, Any] = {}
        pieces = 0
        with contextlib.closing(events):
            for event in _after(first, events):
                if event is None:  # who waits can see to something else, such as a Ctrl-C
                    yield Chunk("")
                    continue
                usage = fields.within(event, "usage") or usage
                choice = fields.within(event, "choices")
                finish = choice.get("finish_reason") or finish
                if not (piece := said(choice)):
                    continue
                begun = begun or time.perf_counter()
                text, pieces = text + piece, pieces + 1
                if grammar is None:
                    yield Chunk(piece, output_tokens=pieces, prefill_seconds=begun - started)
                    if enough is not None and enough(text):
                        finish = "stop"
                        break
        if not finish:
            raise BrokenOff("the server's answer broke off", hint="run the command again")
        end, begun = time.perf_counter(), begun or time.perf_counter()
        yield Chunk(
            fields.kept(grammar, text, finish) if grammar else "",
            prompt_tokens=fields.number(usage, "prompt_tokens"),
            output_tokens=fields.number(usage, "completion_tokens") or pieces,
            prefill_seconds=begun - started,
            decode_seconds=end - begun,
            finish_reason="length" if finish == "length" else "stop",
        )


def _after(first: dict[str, Any] | None, events: Iterable[dict[str, Any] | None]) -> Iterator[dict[str, Any] | None]:
    if first is not None:
        yield first
        yield from events
