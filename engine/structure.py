"""Holds a reply to a JSON Schema: which tokens may come next, by the grammar library, and whether it is complete.

Knows neither logits nor sampling; what may end a reply, and the schema that is really enforced, are decided here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from engine.endless import endless
from engine.errors import OutputError, UsageError
from engine.shape import Schema, bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import llguidance
    from numpy.typing import NDArray

    from engine.tokenizer import Tokenizer

_DEEPEST = 64
_IN_URIS = "#%/:?@!$&'()*+,;="
_WAY_OUT = "what refers to itself may be null, a list that may be empty, or not required"
_SLICES = ['[^"\\\\\\x00-\\x1F\\x7F]{1,30}']
"""Tokens that a text may go on with, kept apart: without, its mask takes milliseconds; more slices only cost time."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A schema as it is enforced, for any vocabulary."""

    schema: Schema
    """As it was asked for."""
    rules: str
    """As the grammar library reads it."""

    def fits(self, text: str) -> bool:
        """Whether a whole text is a value of this schema, judged by its bytes: no vocabulary, no sampling."""
        import llguidance

        matcher = llguidance.LLMatcher(_bytewise(), self.rules, log_level=0)
        data = list(text.encode("utf-8", "surrogatepass"))
        return matcher.try_consume_tokens(data) == len(data) and bool(matcher.is_accepting())


def compile_schema(schema: Schema) -> Grammar:
    """The grammar of a schema, with a limit wherever it has none. Raises UsageError if it can't be guaranteed.

    Needs no model: a wrong schema is told before weights load.
    """
    import llguidance

    if _depth(schema) > _DEEPEST:
        raise UsageError(f"the schema is nested more than {_DEEPEST} deep")
    addressed = _addressed(schema)
    # A limit of ours may contradict a schema that asks for long texts or large numbers in ways only a parser can see.
    for candidate in (bounded(addressed), addressed):
        try:
            # A model that may indent may write spaces for ever. One after each mark is what models know best: without
            # them the plain model got 30 of 36 fields right, with them 35. What can't be enforced is refused.
            rules = llguidance.LLMatcher.grammar_from_json_schema(
                json.dumps(candidate),
                overrides={
                    "whitespace_flexible": False,
                    "lenient": False,
                    "coerce_one_of": False,
                    "item_separator": ", ",
                    "key_separator": ": ",
                },
            )
            refused = llguidance.LLMatcher.validate_grammar(rules) or _no_beginning(rules)
        except ValueError as error:
            refused = str(error)
        if not refused:
            if endless(schema):
                raise UsageError("the schema can't be guaranteed: each value would need another in it", hint=_WAY_OUT)
            return Grammar(schema, rules)
    raise UsageError(f"the schema can't be guaranteed: {_first_line(refused)}", hint=_advice(refused))


def _addressed(value: Any) -> Any:
    """The schema with its references as URIs, as the library insists: people write #/$defs/人 or #/$defs/full name."""
    if isinstance(value, list):
        return [_addressed(part) for part in value]
    if not isinstance(value, dict):
        return value
    # What a value must be is no schema, whatever its keys are called.
    parts = {key: part if key in {"const", "enum"} else _addressed(part) for key, part in value.items()}
    if isinstance(reference := parts.get("$ref"), str):
        parts["$ref"] = quote(reference, safe=_IN_URIS, errors="surrogatepass")
    return parts


def literally(text: str) -> Grammar:
    """The one reply that is this text."""
    import re

    import llguidance

    return Grammar({"const": text}, llguidance.LLMatcher.grammar_from_regex(re.escape(text)))


@cache
def _bytewise() -> llguidance.LLTokenizer:
    """A vocabulary of the 256 bytes."""
    import llguidance

    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()), n_vocab=257, eos_token=256, slices=[])


class _Bytes:
    tokens = (*(bytes([value]) for value in range(256)), b"<end>")
    special_token_ids = (256,)
    eos_token_id, bos_token_id = 256, None

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


def _no_beginning(rules: str) -> str:
    """Why no value can even be begun, as where `$ref` leads to itself; empty where one can."""
    import llguidance

    matcher = llguidance.LLMatcher(_bytewise(), rules, log_level=0)
    matcher.compute_bitmask()
    return str(matcher.get_error()) if matcher.is_error() else ""


def _advice(problem: str) -> str:
    if "nimplemented" in problem:
        return "say it with type, properties, required, enum, anyOf, pattern, format, items and limits"
    if problem.startswith("oneOf"):
        return "anyOf takes branches of any kind"
    return "correct the schema; $ref reaches $defs of the same file alone"


def _first_line(text: str) -> str:
    """What went wrong, without the picture that parsers draw between their headline and the reason."""
    if text.startswith("oneOf"):  # it speaks of an option that nobody can set here
        return "the branches of oneOf must exclude each other plainly: by type, by texts or by a key of objects"
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["unknown"]
    reason = next((line for line in lines if line.startswith("error: ")), "")
    return f"{lines[0].rstrip(':')}: {reason.removeprefix('error: ')}" if reason else lines[0]


def _depth(value: Any) -> int:
    """How deep lists and objects lie in each other; counted without recursion."""
    level, depth = [value], 0
    while level:
        inner: list[Any] = []
        for item in level:
            inner += item.values() if isinstance(item, dict) else item if isinstance(item, list) else []
        level, depth = inner, depth + 1
    return depth


class Vocabulary:
    """A tokenizer's tokens as the grammar library reads them. Built once a model: half a second for 152,000."""

    def __init__(self, tokenizer: Tokenizer, stop_ids: Iterable[int]) -> None:
        import llguidance

        self._size = tokenizer.vocab_size
        words = _Words(tokenizer, sorted(stop_ids))
        self._tokens = llguidance.LLTokenizer(
            llguidance.TokenizerWrapper(words), n_vocab=len(words.tokens), eos_token=words.stops, slices=_SLICES
        )
        words.greedy = self._tokens.greedy_tokenize

    def constraint(self, grammar: Grammar) -> Constraint:
        """What holds one reply to a grammar. Raises UsageError for one that is too complex."""
        import llguidance

        matcher = llguidance.LLMatcher(self._tokens, grammar.rules, log_level=0)
        if matcher.is_error():
            raise UsageError(f"the schema can't be guaranteed: {_first_line(matcher.get_error())}")
        return Constraint(matcher, self._size)


@dataclass(eq=False)
class _Words:
    """What the grammar library asks of a tokenizer: bytes by id, ids with a meaning of their own, text to ids."""

    tokenizer: Tokenizer
    stops: list[int]

    def __post_init__(self) -> None:
        control = {id_: name.encode() for name, id_ in self.tokenizer.control_tokens.items()}
        size = self.tokenizer.vocab_size
        self.tokens = [control.get(id_) or data for id_, data in enumerate(self.tokenizer.all_bytes())]
        self.special_token_ids = sorted({*control, *self.stops})
        self.bos_token_id = self.tokenizer.bos_id
        if not self.stops:  # nothing ends this model's texts: an id that it can't draw stands for the end
            self.stops = [size]
            self.tokens.append(b"<end>")
            self.special_token_ids.append(size)
        self.eos_token_id = self.stops[0]
        self.greedy: Any = None

    def __call__(self, text: str) -> Sequence[int]:
        """Ids of a text inside a text; the longest pieces where the tokenizer would put a space before it."""
        if not isinstance(text, str):
            raise TypeError("expected text")  # how the library learns that bytes are not taken
        ids = self.tokenizer.encode_parts(["", text])
        exact = b"".join(map(self.tokenizer.token_bytes, ids)) == text.encode()
        return ids if exact or self.greedy is None else self.greedy(text)


class Constraint:
    """Holds one reply to a schema, token by token."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher, self._size = matcher, size

    def allowed(self) -> NDArray[Any]:
        """Which ids may come next: booleans (V,); ids that end the reply are among them only when it is complete.

        Raises OutputError where the grammar becomes too complex to go on.
        """
        import numpy

        bits = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        self._check()
        return numpy.unpackbits(bits, count=self._size, bitorder="little").view(numpy.bool_)

    def take(self, token: int) -> None:
        """The id that was chosen. Raises OutputError for one that is not allowed."""
        self._matcher.consume_token(token)
        self._check()

    @property
    def complete(self) -> bool:
        """Whether the reply so far fits the schema as it stands."""
        return bool(self._matcher.is_accepting())

    @property
    def finished(self) -> bool:
        """Whether nothing can follow: complete, and with no longer form."""
        return bool(self._matcher.is_stopped()) and self.complete

    def _check(self) -> None:
        if self._matcher.is_error():
            raise OutputError(f"the schema could not be followed: {_first_line(self._matcher.get_error())}")
