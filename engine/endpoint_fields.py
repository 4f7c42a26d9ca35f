"""The fields of the OpenAI-compatible API, as a client writes and reads them. Sends nothing."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from engine.errors import ModelNotFound, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.config import SamplingConfig
    from engine.schema import Message
    from engine.structure import Grammar

UNCLEAR = 0.1
"""Probability of beginnings that several labels share, above which they can't be told apart."""


def chosen(model: str, found: dict[str, Any], url: str) -> str:
    """The model of a server that is meant; an empty `model` is the only one there. Raises ModelNotFound."""
    if model and (model in found or not found):
        return model
    if not model and len(found) == 1:
        return next(iter(found))
    names = ", ".join(found) or "none"
    if model:
        raise ModelNotFound(f"{url} has no model {model}", hint=f"its models: {names}")
    raise ModelNotFound(f"{url} has {len(found)} models: one must be named", hint=f"-m with one of: {names}")


def context_of(model: dict[str, Any]) -> int:
    """Tokens, as some servers tell: vLLM so, llama.cpp so; else 0."""
    return number(model, "max_model_len") or number(within(model, "meta"), "n_ctx")


def number(data: dict[str, Any], name: str) -> int:
    """A count in a field; 0 where there is none."""
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def sent(messages: Sequence[Message]) -> list[dict[str, str]]:
    """A conversation."""
    return [{"role": message.role, "content": message.content} for message in messages]


def drawing(sampling: SamplingConfig) -> dict[str, Any]:
    """The fields that every server knows; a command's own way of drawing beyond them stays out."""
    body: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
    if sampling.temperature and sampling.top_p < 1:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body


def within(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The object in a field, or the first of the list there; empty where there is none: servers send all sorts."""
    value = data.get(name)
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}


def delta_of(choice: dict[str, Any]) -> str:
    """What an event of a chat adds."""
    return text_of(within(choice, "delta"), "content")


def text_of(choice: dict[str, Any], name: str = "text") -> str:
    """What an event of a completion adds."""
    text = choice.get(name)
    return text if isinstance(text, str) else ""


def kept(grammar: Grammar, text: str, finish: str) -> str:
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


def first_tokens(data: dict[str, Any]) -> list[tuple[str, float]]:
    """The likeliest tokens that a reply begins with, and their log-probabilities. Raises UsageError if none is told."""
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


def chances(top: Sequence[tuple[str, float]], labels: Sequence[str]) -> list[float]:
    """Log-probability that a reply begins as each label does; at most that of the least likely token, if none does."""
    sums, unclear = [0.0] * len(labels), 0.0
    for token, logprob in top:
        begins = token.strip().casefold()
        fitting = [at for at, label in enumerate(labels) if label.startswith(begins) or begins.startswith(label)]
        if begins and len(fitting) == 1:
            sums[fitting[0]] += math.exp(logprob)
        elif begins and fitting:
            unclear += math.exp(logprob)
    if unclear > UNCLEAR:
        raise UsageError(
            f"an endpoint tells the first token of a reply alone, and these labels begin alike: {', '.join(labels)}",
            hint="rename the labels, or leave --endpoint out",
        )
    least = min(logprob for _, logprob in top)
    return [math.log(chance) if chance else least for chance in sums]
