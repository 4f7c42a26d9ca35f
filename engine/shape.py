"""The shape that an answer is to have: a short notation or a JSON Schema in, a JSON Schema whose texts end out.

`name, age int 0..150, mood in happy|sad, tags[], born date?: day of birth`. Nothing ambiguous is guessed at.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NoReturn, get_args

from engine.errors import UsageError

Schema = dict[str, Any]
Kind = Literal["string", "integer", "number", "boolean", "date"]

EXAMPLE = "such as: name, age int, mood in happy|sad, tags[], born date?"
TEXT_LIMIT = 500
"""Characters of a text whose length nobody bounded: a small model may never come to its end."""
LIST_LIMIT = 20
_INTEGER_LIMIT = 2**53 - 1  # what every reader of JSON can hold
_NUMBER_LIMIT = 10**15

_WORDS: dict[Kind, str] = {
    "string": "str string text 文字 文本",
    "integer": "int integer 整数",
    "number": "number float 数字 小数",
    "boolean": "bool boolean 布尔 是否",
    "date": "date 日期",
}
_KINDS: dict[str, Kind] = {word: kind for kind, words in _WORDS.items() for word in words.split()}
# Every day of the Gregorian calendar and no other: JSON Schema's own format knows no leap years.
_DATE = (
    r"^(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
    r"|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)$"
)
_CHINESE = str.maketrans("，：？｜［］", ",:?|[]")
_QUOTES = {'"': '"', "“": "”", "'": "'"}
_NAME = re.compile(r"[^\W\d][\w-]*")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)?\.\.(-?\d+(?:\.\d+)?)?")
_COMPOSED = {"allOf", "anyOf", "oneOf", "$ref"}
_SAYS_SOMETHING = _COMPOSED | {"type", "properties", "items", "prefixItems", "enum", "const", "additionalProperties"}


def parse(text: str) -> Schema:
    """The JSON Schema of a text: one itself if it begins with a brace, else the short notation.

    Raises UsageError that says where and what was expected.
    """
    return _from_json(text) if text.lstrip().startswith("{") else _Reader(text).schema()


def _from_json(text: str) -> Schema:
    def no_constant(name: str) -> NoReturn:
        raise UsageError(f"the JSON Schema holds {name}, which is no JSON")

    try:
        schema = json.loads(text, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"the JSON Schema is no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise UsageError(f"the JSON Schema can't be read: {error}") from error
    if not _SAYS_SOMETHING & schema.keys():
        raise UsageError(
            'a JSON Schema says "type" or "properties", this says neither',
            hint='such as {"type": "object", "properties": {"name": {"type": "string"}}}; an example is no schema',
        )
    return schema


class _Reader:
    """Reads the short notation once from left to right. Chinese punctuation counts as its ASCII twin."""

    def __init__(self, text: str) -> None:
        self._raw = text.replace("\r\n", "\n").rstrip()
        self._text = self._raw.translate(_CHINESE)
        self._at = len(self._text) - len(self._text.lstrip())
        self._separator = "\n" if "\n" in self._text[self._at :] else ","
        """A text of several lines has one field a line, and its descriptions may hold commas."""

    def schema(self) -> Schema:
        if not self._text:
            raise UsageError("the schema is empty", hint=EXAMPLE)
        properties: dict[str, Schema] = {}
        while True:
            self._space()
            start = self._at
            name, field = self._field()
            if name in properties:
                self._fail(f"a second field {name!r}", at=start)
            properties[name] = field
            if self._at == len(self._text):
                break
            self._at += 1  # the separator, or _field would not have ended
            while self._separator == "\n" and self._peek().isspace():
                self._at += 1
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def _field(self) -> tuple[str, Schema]:
        start = self._at
        quoted = self._peek() in _QUOTES
        name = self._quoted() if quoted else self._word("a name")
        bounds, optional = self._suffixes(None, False)
        kind: Kind | None = None
        values: list[Any] | None = None
        span: tuple[str | None, str | None] | None = None
        if self._peek().isalpha() and not self._keyword("in"):
            kind = self._kind()
            bounds, optional = self._suffixes(bounds, optional)
        elif not quoted and name in _KINDS and bounds is None and not optional and self._ends():
            self._fail(
                f"{name!r} is a type, expected a name before it", at=start, hint=f"{name} {name} names a field so"
            )
        if match := _RANGE.match(self._text, self._at):
            if match[0] == ".." or kind in {"boolean", "date"}:
                self._fail("a range belongs to int, number or str, as in 0..150", at=match.start())
            self._at, span = match.end(), (match[1], match[2])
            self._space()
        if self._keyword("in"):
            if span or kind in {"boolean", "date"}:
                self._fail("choices have the type int, number or str, and no range")
            self._at += 2
            values = self._values(kind)
        description = self._description()
        if not self._ends():
            expected = "a comma" if self._separator == "," else "the line to end"
            hints = {":": "a space after the colon begins a description"}
            hints |= dict.fromkeys("?[", "? and [] follow the name or the type: age? int 0..99")
            self._fail(f"expected {expected}, found {self._raw[self._at]!r}", hint=hints.get(self._peek(), EXAMPLE))
        one = {"enum": values} if values else self._typed(kind or "string", span)
        return name, _wrapped(one, bounds, optional, description)

    def _suffixes(
        self, bounds: tuple[int | None, int | None] | None, optional: bool
    ) -> tuple[tuple[int | None, int | None] | None, bool]:
        """`[]`, `[1..5]` and `?`, each at most once."""
        while (mark := self._peek()) and mark in "[?":
            if mark == "?":
                if optional:
                    self._fail("a second ?")
                optional = True
                self._at += 1
            else:
                if bounds:
                    self._fail("a second list: lists of lists need a JSON Schema")
                bounds = self._bounds()
        self._space()
        return bounds, optional

    def _bounds(self) -> tuple[int | None, int | None]:
        match = re.compile(r"\[\s*(?:(\d*)\s*\.\.\s*(\d*))?\s*\]").match(self._text, self._at)
        if not match:
            self._fail("expected [] or a length such as [1..5]")
        low, high = (int(part) if part else None for part in match.groups())
        if low is not None and high is not None and low > high:
            self._fail(f"{low} is more than {high}")
        self._at = match.end()
        return low, high

    def _kind(self) -> Kind:
        start = self._at
        word = self._word("a type")
        if word not in _KINDS:
            known = ", ".join(words.split()[0] for words in _WORDS.values())
            hint = f"types are {known}; a name of several words, and a description with commas, stand in quotes"
            self._fail(f"unknown type {word!r}", at=start, hint=hint)
        return _KINDS[word]

    def _typed(self, kind: Kind, span: tuple[str | None, str | None] | None) -> Schema:
        if kind == "date":
            return {"type": "string", "format": "date", "pattern": _DATE}
        low, high = span or (None, None)
        if kind == "number":
            limits = [float(part) if part else None for part in (low, high)]
        else:
            for part in (low, high):
                if part and not part.isdigit() and (kind == "string" or "." in part):
                    self._fail(f"{part} is no {'length' if kind == 'string' else 'whole number'}")
            limits = [int(part) if part else None for part in (low, high)]
        if limits[0] is not None and limits[1] is not None and limits[0] > limits[1]:
            self._fail(f"the range {low}..{high} is empty")
        names = ("minLength", "maxLength") if kind == "string" else ("minimum", "maximum")
        return {"type": kind} | {name: limit for name, limit in zip(names, limits, strict=True) if limit is not None}

    def _values(self, kind: Kind | None) -> list[Any]:
        start = self._at
        values: list[Any] = []
        untyped = kind is None
        while True:
            self._space()
            at = self._at
            if self._peek() in _QUOTES:
                value: Any = self._quoted()
                untyped = False
            else:
                value = self._bare_value()
                untyped = untyped and _is_literal(value)
            if kind in {"integer", "number"}:
                value = self._number(value, kind, at)
            if value in values:
                self._fail(f"a second choice {value!r}", at=at)
            values.append(value)
            if self._peek() != "|":
                break
            self._at += 1
        if len(values) < 2:
            self._fail("expected two choices at least, with | between them", at=start)
        if untyped:
            hint = "say int in 1|2|3, number in 0.5|1, str in 1|2|3, or bool"
            self._fail("these choices could be texts or not", at=start, hint=hint)
        return values

    def _bare_value(self) -> str:
        """A choice without quotes: all up to the next mark, so it may be several words."""
        start = self._at
        while (char := self._peek()) and char not in f"|{self._separator}\n" and not self._colon():
            if char in '[]{}?"“”:,':
                self._fail(
                    f"{self._raw[self._at]} in a choice", hint="quote the choice; ? and [] follow the name: mood?"
                )
            self._at += 1
        value = self._raw[start : self._at].strip()
        if not value:
            self._fail("expected a choice")
        return value

    def _number(self, text: str, kind: Kind, at: int) -> int | float:
        pattern = r"-?\d{1,15}" if kind == "integer" else r"-?\d{1,15}(\.\d{1,6})?"
        if not re.fullmatch(pattern, text):
            self._fail(f"{text!r} is no {kind}", at=at)
        return int(text) if kind == "integer" else float(text)

    def _description(self) -> str:
        if not self._colon():
            return ""
        self._at += 1
        self._space()
        if self._peek() in _QUOTES:
            text = self._quoted()
        else:
            end = self._text.find(self._separator, self._at)
            end = len(self._text) if end < 0 else end
            text = self._raw[self._at : end].strip()
            self._at = end
        if not text:
            self._fail("expected a description after the colon")
        return text

    def _colon(self) -> bool:
        """Whether a description begins here: `10:30` is no description."""
        after = self._text[self._at + 1 : self._at + 2]
        return self._peek() == ":" and (self._raw[self._at] == "：" or not after or after.isspace())

    def _word(self, what: str) -> str:
        match = _NAME.match(self._text, self._at)
        if not match:
            found = repr(self._raw[self._at]) if self._peek() else "the end"
            hint = f'{EXAMPLE}; a name with other characters stands in quotes: "first name"'
            self._fail(f"expected {what}, found {found}", hint=hint)
        self._at = match.end()
        if self._peek().isspace():
            self._space()
        return match[0]

    def _quoted(self) -> str:
        start, close = self._at, _QUOTES[self._raw[self._at]]
        end = self._raw.find(close, start + 1)
        if end < 0:
            self._fail("this quote has no end")
        self._at = end + 1
        self._space()
        if not self._raw[start + 1 : end].strip():
            self._fail("nothing between quotes", at=start)
        return self._raw[start + 1 : end]

    def _keyword(self, word: str) -> bool:
        match = _NAME.match(self._text, self._at)
        return bool(match) and match[0] == word  # type: ignore[index]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _ends(self) -> bool:
        return self._peek() in {"", self._separator}

    def _space(self) -> None:
        while self._peek().isspace() and self._peek() != "\n":
            self._at += 1

    def _fail(self, message: str, *, at: int | None = None, hint: str = EXAMPLE) -> NoReturn:
        raise UsageError(f"schema, character {(self._at if at is None else at) + 1}: {message}", hint=hint)


def _is_literal(text: str) -> bool:
    return text in {"true", "false", "null"} or bool(re.fullmatch(r"[-+]?\d+(\.\d+)?", text))


def _wrapped(one: Schema, bounds: tuple[int | None, int | None] | None, optional: bool, description: str) -> Schema:
    """A field's schema with its list, its null and its description around it."""
    if bounds:
        named = zip(("minItems", "maxItems"), bounds, strict=True)
        one = {"type": "array", "items": one} | {name: limit for name, limit in named if limit is not None}
    if optional:
        one = {"anyOf": [one, {"type": "null"}]}
    return one | ({"description": description} if description else {})


def bounded(schema: Schema) -> Schema:
    """The schema with a limit wherever it has none, so that every value ends: what fits the result fits the schema.

    Texts, lists and numbers are limited, objects take the named properties alone and values have a type; where parts
    of a schema are joined, objects stay open, because each part names only some of the properties.
    """
    return _bound(schema, close=not _joins(schema))


def _joins(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_joins, value))
    if not isinstance(value, dict):
        return False
    joined = "allOf" in value or bool("properties" in value and _COMPOSED & value.keys())
    return joined or any(map(_joins, value.values()))


def _bound(value: Any, *, close: bool) -> Any:
    """A schema, in which only what stands at a schema's place is touched."""
    if not isinstance(value, dict):
        return value
    schema = dict(value)
    for key in schema.keys() & {"properties", "patternProperties", "$defs", "definitions"}:
        if isinstance(schema[key], dict):
            schema[key] = {name: _bound(part, close=close) for name, part in schema[key].items()}
    for key in schema.keys() & {"items", "additionalProperties", "additionalItems"}:
        schema[key] = _bound(schema[key], close=close)
    for key in schema.keys() & {"anyOf", "oneOf", "allOf", "prefixItems"}:
        if isinstance(schema[key], list):
            schema[key] = [_bound(part, close=close) for part in schema[key]]
    if not schema.keys() & (_COMPOSED | {"type", "enum", "const"}):
        implied = [("properties", "object"), ("items", "array"), ("prefixItems", "array")]
        schema |= next(({"type": kind} for key, kind in implied if key in schema), {})
    if close and "properties" in schema:
        schema.setdefault("additionalProperties", "patternProperties" in schema)
    return schema | _limits(schema)


def _limits(schema: Schema) -> Schema:
    if schema.keys() & {"enum", "const"}:
        return {}
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    wanted: Schema = {}
    if "string" in kinds:
        wanted["maxLength"] = max(TEXT_LIMIT, _least(schema, "minLength"))
    if "array" in kinds:
        first = schema.get("prefixItems")
        wanted["maxItems"] = max(LIST_LIMIT, _least(schema, "minItems"), len(first) if isinstance(first, list) else 0)
    for kind, limit in (("integer", _INTEGER_LIMIT), ("number", _NUMBER_LIMIT)):
        if kind in kinds:
            if "exclusiveMinimum" not in schema:
                wanted["minimum"] = -limit
            if "exclusiveMaximum" not in schema:
                wanted["maximum"] = limit
            if kind == "number":
                wanted["multipleOf"] = 1e-6  # six decimals; without it a fraction may go on for ever
    return {name: limit for name, limit in wanted.items() if name not in schema}


def _least(schema: Schema, name: str) -> int:
    value = schema.get(name, 0)
    return value if isinstance(value, int) else 0


assert set(_WORDS) == set(get_args(Kind))
