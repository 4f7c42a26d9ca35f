"""Requests of the OpenAI-compatible API, checked: a field that is wrong, unknown or not to be had is named.

What a field means is in the public API reference of OpenAI; what can't be honoured is refused, never ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.config import SamplingConfig
from engine.errors import UsageError
from engine.schema import Message

if TYPE_CHECKING:
    from engine.structure import Grammar

MOST_TOKENS = 1024
"""Of a reply where the request does not say."""
MOST_INPUTS = 2048
MOST_TOP = 20
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1, None), "frequency_penalty": (0, None), "presence_penalty": (0, None), "logit_bias": ({}, None),
    "tools": ([], None), "tool_choice": ("none", None), "best_of": (1, None), "suffix": ("", None),
    "echo": (False, None), "dimensions": (None,), "service_tier": ("auto", None),
}  # fmt: skip
"""Fields that are honoured only where they ask for nothing."""
_IDLE = {"user", "metadata", "store", "parallel_tool_calls"}
"""Fields that change no answer."""
_DRAWING = {"model", "stream", "stream_options", "temperature", "top_p", "seed", "stop", "max_tokens"}
_CHAT = _DRAWING | {"messages", "max_completion_tokens", "logprobs", "top_logprobs", "response_format"}


class BadRequest(UsageError):
    """A request that is refused, with the field that is to blame."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Drawing:
    """What chats and completions have in common."""

    model: str
    sampling: SamplingConfig
    stream: bool
    usage: bool
    """Whether a stream ends with the counts of tokens."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """/v1/chat/completions."""

    drawing: Drawing
    messages: list[Message]
    grammar: Grammar | None
    logprobs: bool
    top: int
    """Of the likeliest tokens, how many are told; only with a reply of one token."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """/v1/completions."""

    drawing: Drawing
    prompt: str


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """/v1/embeddings."""

    model: str
    texts: list[str]
    packed: bool
    """Whether vectors are told as little-endian float32 in base64: OpenAI's own client asks for that unless told."""


def chat_request(data: dict[str, Any]) -> ChatRequest:
    """A checked request. Raises BadRequest."""
    _known(data, _CHAT)
    messages = _messages(data.get("messages"))
    limit = "max_completion_tokens" if data.get("max_completion_tokens") is not None else "max_tokens"
    drawing = _drawing(data, limit)
    logprobs, top = _get(data, "logprobs", bool, False), _get(data, "top_logprobs", int, 0)
    if not 0 <= top <= MOST_TOP:
        raise BadRequest(f"top_logprobs must be 0 to {MOST_TOP}, got {top}", "top_logprobs")
    if top and not (logprobs and drawing.sampling.max_tokens == 1 and not drawing.stream):
        raise BadRequest("top_logprobs needs logprobs, max_tokens 1 and no stream here", "top_logprobs")
    return ChatRequest(drawing, messages, _grammar(data.get("response_format")), logprobs, top)


def completion_request(data: dict[str, Any]) -> CompletionRequest:
    """A checked request. Raises BadRequest."""
    _known(data, _DRAWING | {"prompt", "logprobs"})
    if not _is_one_of(data.get("logprobs"), (0, None)):
        raise BadRequest("logprobs are given by /v1/chat/completions alone", "logprobs")
    prompt = data.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        raise BadRequest(f"prompt must be one text that is not empty, got {prompt!r:.60}", "prompt")
    return CompletionRequest(_drawing(data, "max_tokens"), prompt)


def embedding_request(data: dict[str, Any]) -> EmbeddingRequest:
    """A checked request. Raises BadRequest."""
    _known(data, {"model", "input", "encoding_format"})
    given = data.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadRequest("input must be a text or a list of texts, none of them empty", "input")
    if len(texts) > MOST_INPUTS:
        raise BadRequest(f"input may have {MOST_INPUTS} texts, got {len(texts)}", "input")
    encoding = _get(data, "encoding_format", str, "float")
    if encoding not in ("float", "base64"):
        raise BadRequest(f"encoding_format must be float or base64, got {encoding!r:.60}", "encoding_format")
    return EmbeddingRequest(_get(data, "model", str), texts, encoding == "base64")


def _known(data: dict[str, Any], fields: set[str]) -> None:
    for name, value in data.items():
        if name in fields or name in _IDLE:
            continue
        if name not in _NEUTRAL:
            raise BadRequest(f"unknown field {name}", name)
        if not _is_one_of(value, _NEUTRAL[name]):
            raise BadRequest(f"{name} is not supported here, got {value!r:.60}", name)


def _is_one_of(value: Any, known: tuple[Any, ...]) -> bool:
    """Whether it is; true is no 1, though Python says so."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in known)


def _get(data: dict[str, Any], name: str, kind: type, default: Any = ...) -> Any:
    value = data.get(name)
    if value is None:
        if default is ...:
            raise BadRequest(f"{name} is missing", name)
        return default
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**63 else math.inf  # as JSON has a number beyond all floats
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadRequest(f"{name} must be of type {kind.__name__}, got {value!r:.60}", name)
    return value


def _messages(given: Any) -> list[Message]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages must be a list that is not empty", "messages")
    found = []
    for at, item in enumerate(given):
        where = f"messages[{at}]"
        if not isinstance(item, dict):
            raise BadRequest(f"{where} must be an object", where)
        if extra := item.keys() - {"role", "content", "name"}:
            raise BadRequest(f"{where}: unknown field {sorted(extra)[0]}", where)
        role: Any = "system" if item.get("role") == "developer" else item.get("role")
        if role not in ("system", "user", "assistant"):
            raise BadRequest(f"{where}.role must be system, user or assistant, got {role!r:.60}", where)
        found.append(Message(role, _content(item.get("content"), where)))
    return found


def _content(content: Any, where: str) -> str:
    if isinstance(content, list):
        for part in content:
            if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
                raise BadRequest(f"{where}.content may hold texts alone", where)
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise BadRequest(f"{where}.content must be a text, got {content!r:.60}", where)
    return content


def _drawing(data: dict[str, Any], limit: str) -> Drawing:
    stop = data.get("stop")
    stop = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or len(stop) > 16 or not all(isinstance(text, str) for text in stop):
        raise BadRequest("stop must be a text or a list of at most 16 texts", "stop")
    options = _get(data, "stream_options", dict, {})
    if options.keys() - {"include_usage"}:
        raise BadRequest("stream_options knows include_usage alone", "stream_options")
    fields: dict[str, Any] = {
        "temperature": _get(data, "temperature", float, 1.0),
        "top_p": _get(data, "top_p", float, 1.0),
        "seed": _get(data, "seed", int, None),
        "max_tokens": _get(data, limit, int, MOST_TOKENS),
        "stop": tuple(stop),
    }
    for name, value in fields.items():
        try:
            SamplingConfig(**{name: value})
        except UsageError as error:
            raise BadRequest(error.message, limit if name == "max_tokens" else name) from error
    return Drawing(
        _get(data, "model", str),
        SamplingConfig(**fields),
        _get(data, "stream", bool, False),
        _get(options, "include_usage", bool, False),
    )


def _grammar(given: Any) -> Grammar | None:
    from engine.structure import compile_schema

    kind = given.get("type") if isinstance(given, dict) else None
    if given is None or kind == "text":
        return None
    if kind == "json_object":
        return compile_schema({"type": "object"})
    inner = given.get("json_schema") if isinstance(given, dict) else None
    if kind != "json_schema" or not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise BadRequest("response_format must be text, json_object or json_schema with a schema", "response_format")
    try:
        return compile_schema(inner["schema"])
    except UsageError as error:
        raise BadRequest(error.message, "response_format") from error
