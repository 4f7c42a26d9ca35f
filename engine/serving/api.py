"""The OpenAI-compatible API over a pool: checked requests in, answers or streams of events out. Knows no HTTP."""

from __future__ import annotations

import contextlib
import time
import uuid
from base64 import b64encode
from typing import TYPE_CHECKING, Any, cast

from engine.errors import EngineError
from engine.serving import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from engine.generation import Generation
    from engine.schema import Chunk
    from engine.serving.pool import Pool
    from engine.serving.requests import ChatRequest, CompletionRequest, Drawing

    Events = Iterator[dict[str, Any]]


class UnknownModel(EngineError):
    """The request names a model that is not served."""


class Api:
    """One model under the names of the API."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._name = pool.base.name
        self._created = int(time.time())

    def models(self) -> dict[str, Any]:
        """GET /v1/models."""
        return {"object": "list", "data": [self.model(self._name)]}

    def model(self, name: str) -> dict[str, Any]:
        """GET /v1/models/NAME. Raises UnknownModel."""
        self._check(name)
        return {"id": name, "object": "model", "created": self._created, "owned_by": "local"}

    def answer(self, path: str, data: dict[str, Any], gone: Callable[[], bool]) -> dict[str, Any] | Events:
        """POST. An object, or events for a stream; `gone` tells whether the client still waits.

        Raises EngineError of all kinds, BadRequest and UnknownModel among them.
        """
        if path == "/v1/embeddings":
            return self._embeddings(data, gone)
        if path == "/v1/completions":
            completion = requests.completion_request(data)
            self._check(completion.drawing.model)
            return self._deliver(completion.drawing, self._complete(completion), _Completion(self._name), gone)
        chat = requests.chat_request(data)
        self._check(chat.drawing.model)
        top: list[tuple[int, float]] = []
        return self._deliver(chat.drawing, self._chat(chat, top), _Chat(self._name, self._logprobs(chat, top)), gone)

    def _check(self, model: str) -> None:
        if model != self._name:
            raise UnknownModel(f"the model {model} is not served here, {self._name} is")

    def _embeddings(self, data: dict[str, Any], gone: Callable[[], bool]) -> dict[str, Any]:
        request = requests.embedding_request(data)
        self._check(request.model)
        vectors = self._pool.embed(request.texts, gone)
        rows = (
            [b64encode(row.astype("<f4").tobytes()).decode() for row in vectors] if request.packed else vectors.tolist()
        )
        tokens = sum(map(self._pool.base.count, request.texts))
        found = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": self._name, "data": found, "usage": usage}

    def _chat(self, request: ChatRequest, top: list[tuple[int, float]]) -> Generator[Chunk, None, None]:
        """The reply; `top` receives the tokens that it most probably begins with, where they are asked for."""
        begins = "\n".join(message.content for message in request.messages)[:20_000]
        with self._pool.session(begins, None) as session:
            sampling, grammar = request.drawing.sampling, request.grammar
            chunks = self._pool.compute(lambda: session.stream(request.messages, sampling, grammar=grammar))
            with contextlib.closing(self._pool.steps(chunks)) as steps:
                for chunk in steps:
                    if request.top and chunk.ids:  # the only one
                        top += self._pool.compute(cast("Generation", chunks).likeliest, request.top)
                    yield chunk

    def _complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        with self._pool.session(request.prompt[:20_000], None) as session:
            chunks = self._pool.compute(session.complete, request.prompt, request.drawing.sampling)
            with contextlib.closing(self._pool.steps(chunks)) as steps:
                yield from steps

    def _logprobs(
        self, request: ChatRequest, top: list[tuple[int, float]]
    ) -> Callable[[Chunk], list[dict[str, Any]]] | None:
        """What is told of a chunk's tokens, if anything is."""
        if not request.logprobs:
            return None
        base = self._pool.base

        def told(id_: int, logprob: float) -> dict[str, Any]:
            data = base.token_bytes(id_)
            return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}

        def of(chunk: Chunk) -> list[dict[str, Any]]:
            pairs = zip(chunk.ids, chunk.logprobs, strict=True)
            return [told(*pair) | {"top_logprobs": [told(*other) for other in top]} for pair in pairs]

        return of

    def _deliver(
        self, drawing: Drawing, chunks: Generator[Chunk, None, None], shape: _Shape, gone: Callable[[], bool]
    ) -> dict[str, Any] | Events:
        # What refuses the prompt is told before a stream has begun.
        first = next(chunks)
        if drawing.stream:
            return _events(first, chunks, shape, usage=drawing.usage)
        with contextlib.closing(chunks):
            shape.take(first)
            for chunk in chunks:
                shape.take(chunk)
                if gone():
                    break
        return shape.whole()


def _events(first: Chunk, chunks: Generator[Chunk, None, None], shape: _Shape, *, usage: bool) -> Events:
    """A stream's events, one for each piece of text; closing it stops the model within a token."""
    with contextlib.closing(chunks):
        if event := shape.begin():
            yield event
        if event := shape.take(first):
            yield event
        for chunk in chunks:
            if event := shape.take(chunk):
                yield event
        if usage:
            yield shape.event([]) | {"usage": shape.usage()}


class _Shape:
    """What both kinds of answers are made of."""

    kind = ""

    def __init__(self, model: str) -> None:
        self._frame = {"id": f"{self.kind}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._text: list[str] = []
        self._last: Chunk | None = None

    def take(self, chunk: Chunk) -> dict[str, Any] | None:
        """The next chunk; returns its event, if it says something."""
        self._text.append(chunk.text)
        self._last = chunk
        self._note(chunk)
        return self.event([self._piece(chunk)]) if chunk.text or chunk.finish_reason or self._noted(chunk) else None

    def _note(self, chunk: Chunk) -> None:
        """Remember what else is told."""

    def _noted(self, chunk: Chunk) -> bool:
        return False

    def begin(self) -> dict[str, Any] | None:
        """The first event of a stream, if there is one before any text."""
        return None

    def event(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """An event of a stream."""
        raise NotImplementedError

    def _piece(self, chunk: Chunk) -> dict[str, Any]:
        raise NotImplementedError

    def whole(self) -> dict[str, Any]:
        """The answer in one."""
        raise NotImplementedError

    def finish(self) -> str | None:
        """Why it ended."""
        return self._last.finish_reason if self._last else None

    def usage(self) -> dict[str, int]:
        """Counts of tokens."""
        prompt, output = (self._last.prompt_tokens, self._last.output_tokens) if self._last else (0, 0)
        return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


class _Chat(_Shape):
    kind = "chatcmpl"

    def __init__(self, model: str, logprobs: Callable[[Chunk], list[dict[str, Any]]] | None) -> None:
        super().__init__(model)
        self._logprobs = logprobs
        self._told: list[dict[str, Any]] = []
        self._of_last: list[dict[str, Any]] = []

    def _note(self, chunk: Chunk) -> None:
        if self._logprobs:
            self._of_last = self._logprobs(chunk)
            self._told += self._of_last

    def _noted(self, chunk: Chunk) -> bool:
        return bool(self._of_last)

    def begin(self) -> dict[str, Any]:
        return self.event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])

    def event(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self._frame | {"object": "chat.completion.chunk", "choices": choices}

    def _piece(self, chunk: Chunk) -> dict[str, Any]:
        piece = {"index": 0, "delta": {"content": chunk.text}, "finish_reason": chunk.finish_reason}
        return piece | ({"logprobs": {"content": self._of_last}} if self._logprobs else {})

    def whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self._text)}
        choice = {"index": 0, "message": message, "finish_reason": self.finish()}
        choice |= {"logprobs": {"content": self._told} if self._logprobs else None}
        return self._frame | {"object": "chat.completion", "choices": [choice], "usage": self.usage()}


class _Completion(_Shape):
    kind = "cmpl"

    def event(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self._frame | {"object": "text_completion", "choices": choices}

    def _piece(self, chunk: Chunk) -> dict[str, Any]:
        return {"index": 0, "text": chunk.text, "logprobs": None, "finish_reason": chunk.finish_reason}

    def whole(self) -> dict[str, Any]:
        choice = {"index": 0, "text": "".join(self._text), "logprobs": None, "finish_reason": self.finish()}
        return self.event([choice]) | {"usage": self.usage()}
