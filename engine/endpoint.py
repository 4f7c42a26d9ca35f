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

from engine.endpoint_api import Api, BrokenOff, EndpointError
from engine.errors import InputTooLong, ModelNotFound, OutputError, UsageError
from engine.schema import Chunk, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from engine.config import SamplingConfig
    from engine.structure import Grammar

TOGETHER = 8
CONTEXT = 4096
"""Tokens, where neither the user nor the server says."""
ATTEMPTS = 4
TOP = 20
"""Likeliest tokens asked for, the most that the API gives."""
UNCLEAR = 0.1
"""Probability of beginnings that several labels share, above which they can't be told apart."""


class EndpointSession:
    """A model on a server."""

    kernel, is_chat, memory_bytes = "api", True, 0
    has_scores = False

    def __init__(self, url: str, key: str, model: str, context: int | None = None) -> None:
        """`url` is that of the API, such as http://127.0.0.1:8757/v1; an empty `model` is the only one there."""
        self._api = Api(url, key)
        found = self._api.models()
        self.name = _chosen(model, found, url)
        self.context = context or _context(found.get(self.name, {})) or CONTEXT
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
        return json.dumps(_messages(messages), ensure_ascii=False, indent=2)

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
        body = {"messages": _messages(messages)} | _drawing(sampling)
        if grammar is None:
            return self._stream("chat/completions", body, _delta, enough=enough)
        named = {"name": "answer", "strict": True, "schema": grammar.schema}
        wanted: list[dict[str, Any]] = [
            {"type": "json_schema", "json_schema": named},
            {"type": "json_object", "schema": grammar.schema},  # as llama.cpp had it first, and some have it alone
        ]
        try:
            return self._stream("chat/completions", body | {"response_format": wanted[0]}, _delta, grammar=grammar)
        except EndpointError as error:
            if "json_schema" not in error.message:
                raise
        return self._stream("chat/completions", body | {"response_format": wanted[1]}, _delta, grammar=grammar)

    def complete(self, text: str, sampling: SamplingConfig) -> Generator[Chunk, None, None]:
        """As `Session.complete`."""
        return self._stream("completions", {"prompt": text} | _drawing(sampling), _text)

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
        """Not to be had in the middle of an answer."""
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
            yield top if isinstance(top, InputTooLong) else [[log] for log in _chances(top, labels)]

    def _first_tokens(self, messages: Sequence[Message]) -> list[tuple[str, float]]:
        body = {"messages": _messages(messages), "max_tokens": 1, "temperature": 0, "logprobs": True}
        data = self._api.post("chat/completions", {"model": self.name} | body | {"top_logprobs": TOP})
        try:
            top = data["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            found = [(str(item["token"]), float(item["logprob"])) for item in top]
        except (KeyError, TypeError, ValueError, IndexError):
            found = []
        if not found:
            raise UsageError(
                "the server gives no log-probabilities (top_logprobs of chat completions), which labels need",
                hint="use a server that does, such as vLLM, or leave --endpoint out",
            )
        return found

    def stream_many(
        self,
        conversations: Iterable[Sequence[Message]],
        sampling: SamplingConfig,
        *,
        together: int = TOGETHER,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[tuple[int, Chunk | InputTooLong], None, None]:
        """As `Session.stream_many`: so many requests at a time, each reply in one piece.

        Some servers break one answer off for the next request: they are asked again, one after the other.
        """

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
            asked = (partial(patient, messages) for messages in conversations)
            yield from self._together(asked, together)
        finally:
            stopped.set()

    def _together(self, asked: Iterable[Callable[[], Any]], most: int) -> Generator[tuple[int, Any], None, None]:
        """What each request gives, in order, `most` of them at a time; one that is too long gives its InputTooLong."""
        waiting = enumerate(asked)
        running: list[tuple[int, Any]] = []
        with ThreadPoolExecutor(most) as pool:
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
                pool.shutdown(wait=False, cancel_futures=True)

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
        events = self._api.events(path, body)
        # What refuses the request is raised here, before the first chunk is asked for.
        first = next(events, None)
        return self._chunks(first, events, said, grammar, enough)

    def _chunks(
        self,
        first: dict[str, Any] | None,
        events: Generator[dict[str, Any], None, None],
        said: Callable[[dict[str, Any]], str],
        grammar: Grammar | None,
        enough: Callable[[str], bool] | None,
    ) -> Generator[Chunk, None, None]:
        started, text, finish = time.perf_counter(), "", ""
        begun: float | None = None
        usage: dict[str, Any] = {}
        pieces = 0
        with contextlib.closing(events):
            for event in _after(first, events):
                usage = event.get("usage") or usage
                choice = (event.get("choices") or [{}])[0]
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
            _kept(grammar, text, finish) if grammar else "",
            prompt_tokens=_number(usage, "prompt_tokens"),
            output_tokens=_number(usage, "completion_tokens") or pieces,
            prefill_seconds=begun - started,
            decode_seconds=end - begun,
            finish_reason="length" if finish == "length" else "stop",
        )


def _chosen(model: str, found: dict[str, Any], url: str) -> str:
    if model and (model in found or not found):
        return model
    if not model and len(found) == 1:
        return next(iter(found))
    names = ", ".join(found) or "none"
    if model:
        raise ModelNotFound(f"{url} has no model {model}", hint=f"its models: {names}")
    raise ModelNotFound(f"{url} has {len(found)} models: one must be named", hint=f"-m with one of: {names}")


def _context(model: dict[str, Any]) -> int:
    """What some servers tell: vLLM so, llama.cpp so."""
    meta = model.get("meta")
    return _number(model, "max_model_len") or _number(meta if isinstance(meta, dict) else {}, "n_ctx")


def _number(data: dict[str, Any], name: str) -> int:
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _drawing(sampling: SamplingConfig) -> dict[str, Any]:
    """The fields that every server knows; a command's own way of drawing beyond them stays out."""
    body: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
    if sampling.temperature and sampling.top_p < 1:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body


def _delta(choice: dict[str, Any]) -> str:
    return (choice.get("delta") or {}).get("content") or ""


def _text(choice: dict[str, Any]) -> str:
    return choice.get("text") or ""


def _after(first: dict[str, Any] | None, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if first is not None:
        yield first
        yield from events


def _kept(grammar: Grammar, text: str, finish: str) -> str:
    """A reply in our own spacing, if it is of the grammar. Raises OutputError; one that was cut stays as it is."""
    if finish == "length":
        return text
    try:
        written = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError as error:
        raise OutputError("the server's reply is no JSON: it does not keep to schemas") from error
    if not grammar.fits(written):
        raise OutputError("the server's reply does not fit the schema", hint=f"it was: {written:.200}")
    return written


def _chances(top: Sequence[tuple[str, float]], labels: Sequence[str]) -> list[float]:
    """Log-probability that a reply begins as each label does; at most that of the least likely token, if none does."""
    chances, unclear = [0.0] * len(labels), 0.0
    for token, logprob in top:
        begins = token.strip().casefold()
        fitting = [at for at, label in enumerate(labels) if label.startswith(begins) or begins.startswith(label)]
        if begins and len(fitting) == 1:
            chances[fitting[0]] += math.exp(logprob)
        elif begins and fitting:
            unclear += math.exp(logprob)
    if unclear > UNCLEAR:
        raise UsageError(
            f"an endpoint tells the first token of a reply alone, and these labels begin alike: {', '.join(labels)}",
            hint="rename the labels, or leave --endpoint out",
        )
    least = min(logprob for _, logprob in top)
    return [math.log(chance) if chance else least for chance in chances]
