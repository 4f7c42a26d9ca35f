"""Rows to measure on, from JSONL: what each task needs, checked field by field; errors name file and line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from engine.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.schema import Document


class Fields:
    """One line's JSON object, whose fields are asked for by name and type."""

    def __init__(self, where: str, values: dict[str, Any]) -> None:
        self._where, self._values = where, values

    def fail(self, message: str) -> InputError:
        """An error about this line."""
        return InputError(f"{self._where}: {message}")

    def _get(self, name: str) -> Any:
        if name not in self._values:
            found = ", ".join(sorted(map(str, self._values))[:8]) or "none"
            raise self.fail(f"expected a field {name!r}, found the fields {found:.120}")
        return self._values[name]

    def _wrong(self, name: str, expected: str, value: Any) -> InputError:
        return self.fail(f"field {name!r} must be {expected}, got {json.dumps(value, ensure_ascii=False):.60}")

    def text(self, name: str) -> str:
        """A string that says something."""
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(name, "a text that is not empty", value)
        return _whole(self, name, value)

    def name(self, name: str) -> str:
        """A label or an id: a string or a whole number."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise self._wrong(name, "a text or a whole number", value)
        return _whole(self, name, str(value).strip())

    def items(self, name: str, least: int, *, names: bool = False) -> tuple[str, ...]:
        """A list of at least so many strings; with `names` whole numbers are strings as well."""
        value = self._get(name)
        kinds = str | int if names else str
        good = isinstance(value, list) and all(isinstance(x, kinds) and not isinstance(x, bool) for x in value)
        if not good or len(value) < least:
            raise self._wrong(name, f"a list of at least {least} texts" if least else "a list of texts", value)
        return tuple(_whole(self, name, str(item)) for item in value)

    def index(self, name: str, below: int) -> int:
        """A whole number from 0 to below `below`."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
            raise self._wrong(name, f"a whole number from 0 to {below - 1}", value)
        return value


def _whole(fields: Fields, name: str, text: str) -> str:
    """JSON can write half a character; no model can read it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise fields.fail(f"field {name!r} holds half a surrogate pair at {error.start}") from error
    return text


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its true label."""

    line: int
    text: str
    label: str

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `text` and `label`."""
        return cls(line, fields.text("text"), fields.name("label"))


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a passage; no answers: the passage does not say."""

    line: int
    context: str
    question: str
    answers: tuple[str, ...]

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `context`, `question` and `answers`."""
        return cls(line, fields.text("context"), fields.text("question"), fields.items("answers", 0))


@dataclass(frozen=True, slots=True)
class Summarized:
    """A text and summaries that people wrote of it."""

    line: int
    text: str
    summaries: tuple[str, ...]

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `text` and `summaries`."""
        return cls(line, fields.text("text"), fields.items("summaries", 1))


@dataclass(frozen=True, slots=True)
class Translated:
    """The same in English and in Chinese."""

    line: int
    en: str
    zh: str

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `en` and `zh`."""
        return cls(line, fields.text("en"), fields.text("zh"))


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for, and the ids of the passages that answer it."""

    line: int
    query: str
    relevant: tuple[str, ...]

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `query` and `relevant`."""
        return cls(line, fields.text("query"), fields.items("relevant", 1, names=True))


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that can be found."""

    line: int
    id: str
    text: str

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `id` and `text`."""
        return cls(line, fields.name("id"), fields.text("text"))


@dataclass(frozen=True, slots=True)
class Endings:
    """A beginning, ways to go on, and the index of the true one."""

    line: int
    context: str
    endings: tuple[str, ...]
    label: int

    @classmethod
    def read(cls, line: int, fields: Fields) -> Self:
        """From `context`, `endings` and `label`."""
        endings = fields.items("endings", 2)
        return cls(line, fields.text("context"), endings, fields.index("label", len(endings)))


def objects(document: Document) -> Iterator[tuple[int, Fields]]:
    """Line number, from 1, and fields of each line; blank lines are passed over. Raises InputError."""
    empty = True
    # Not splitlines: U+2028 and its like may stand inside JSON strings.
    for number, line in enumerate(document.text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{document.name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply, or a number too long")
            raise InputError(f"{where}: not valid JSON: {reason}", hint="each line is one JSON object") from error
        if not isinstance(value, dict):
            raise InputError(
                f"{where}: expected a JSON object, got {line.strip():.40}", hint="each line is one JSON object"
            )
        empty = False
        yield number, Fields(where, value)
    if empty:
        raise InputError(f"{document.name} has no rows")
