"""Answers whose shape a JSON Schema guarantees: one from documents, or one for each of many texts."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, InputTooLong, OutputError
from engine.language import language_of
from engine.schema import Chunk, Citation, Coverage, Document, Language, Message, TaskProgress
from engine.tasks import answer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from engine.config import Overflow, SamplingConfig
    from engine.session import Session
    from engine.shape import Schema
    from engine.structure import Grammar
    from engine.tasks.answer import Ask

PROMPTS: dict[Language, str] = {
    "en": "Reply with JSON alone, in this form: ",
    "zh": "只回复JSON，格式如下：",
}
"""Fields that the plain model gets right on 20 development sentences: English 35 of 36, Chinese 32 of 34; without this
line 33 and 32, with the documents first 35 and 30. Documents last also let rows share all that stands before them."""
_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null",
        "date": "date as YYYY-MM-DD", "or": " or ",
        "from": " from {0} to {1}", "least": " from {0}", "most": " up to {1}",
    },
    "zh": {
        "string": "文字", "integer": "整数", "number": "数字", "boolean": "true 或 false", "null": "null",
        "date": "日期 YYYY-MM-DD", "or": " 或 ",
        "from": " {0} 到 {1}", "least": "，至少 {0}", "most": "，至多 {1}",
    },
}  # fmt: skip
_PLAIN = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "description", "title"}
_UNTOLD = {
    "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "$schema", "$id", "$comment", "default", "examples",
}  # fmt: skip
PLACE = "{text}"
"""Where a question wants each of many texts; without it the text is its document."""


def prompt(schema: Schema, question: str, documents: Sequence[Document], system: str | None = None, /) -> list[Message]:
    """The conversation that asks for an object: the question, the form of the reply, then the documents."""
    language = language_of(question)
    start = [Message("system", system)] if system else []
    asked = f"{question}\n{PROMPTS[language]}{described(schema, language)}"
    return [*start, Message("user", "\n\n".join([asked, *map(answer.block, documents)]))]


def asking(schema: Schema) -> Ask:
    """`prompt` for one schema."""
    return partial(prompt, schema)


def described(schema: Schema, language: Language) -> str:
    """A schema as a template of the object with words in place of values; itself where words can't say it."""
    if not _is_plain(schema):
        return json.dumps(schema, ensure_ascii=False)
    words = _WORDS[language]
    if "enum" in schema:
        text = words["or"].join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    elif "anyOf" in schema:
        text = words["or"].join(described(part, language) for part in schema["anyOf"])
    elif "properties" in schema:
        fields = schema["properties"].items()
        inner = (f"{json.dumps(name, ensure_ascii=False)}: {described(part, language)}" for name, part in fields)
        text = "{" + ", ".join(inner) + "}"
    elif "items" in schema:
        text = f"[{described(schema['items'], language)}, …]"
    else:
        text = words["date" if schema.get("format") == "date" else str(schema["type"])] + _span(schema, words)
    return f"{text} ({schema['description']})" if "description" in schema else text


def _span(schema: Schema, words: dict[str, str]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return ""
    return words["most" if low is None else "least" if high is None else "from"].format(low, high)


def _is_plain(schema: Any) -> bool:
    """Whether a template says enough of a schema."""
    if not isinstance(schema, dict) or not schema.keys() <= _PLAIN | _UNTOLD:
        return False
    if "pattern" in schema and schema.get("format") != "date":
        return False
    parts = [*schema.get("anyOf", []), *schema.get("properties", {}).values()]
    parts += [schema["items"]] if "items" in schema else []
    kind = schema.get("type")
    named = isinstance(kind, str) and kind in {"string", "integer", "number", "boolean", "null"}
    return (named or bool(parts) or "enum" in schema) and all(map(_is_plain, parts))


def fill(
    session: Session,
    question: str,
    documents: Sequence[Document],
    grammar: Grammar,
    sampling: SamplingConfig,
    *,
    system: str | None = None,
    overflow: Overflow = "error",
) -> Generator[Chunk | TaskProgress | Coverage, None, None]:
    """Stream the text of a value that fits the grammar; like `answer`, with Coverage first where texts were cut.

    Raises OutputError if it was not finished within the room, InputTooLong as `answer` does.
    """
    ask = asking(grammar.schema)
    last: Chunk | None = None
    for event in answer.answer(
        session, question, documents, sampling, system=system, overflow=overflow, ask=ask, grammar=grammar
    ):
        if isinstance(event, Citation):
            continue  # values are no sentences that lines could bear out
        last = event if isinstance(event, Chunk) else last
        yield event
    if last and last.finish_reason != "stop":
        raise unfinished(last)


def unfinished(chunk: Chunk) -> OutputError:
    """What to say of a reply whose room ended first."""
    return OutputError(
        f"the schema was not finished within {chunk.output_tokens} tokens",
        hint="--max-tokens gives more room; or bound texts and lists in the schema",
    )


def conversation(
    question: str, text: str, *, system: str | None = None, grammar: Grammar | None = None
) -> list[Message]:
    """A question about one of many texts."""
    ask = answer.prompt if grammar is None else asking(grammar.schema)
    if PLACE in question:
        return ask(question.replace(PLACE, text), [], system)
    return ask(question, [Document("text", text)], system)


def each(
    session: Session,
    question: str,
    texts: Sequence[str],
    sampling: SamplingConfig,
    *,
    system: str | None = None,
    grammar: Grammar | None = None,
) -> Iterator[tuple[int, Chunk | InputTooLong | OutputError]]:
    """The same question about each text, several at once: number and answer, in the order in which they are done.

    An answer is the last chunk of its reply with all of the text; with a grammar that is a value that fits it.
    """
    running: dict[int, tuple[int, str]] = {}
    """By their index among what fits: number, and the answer so far."""
    begun = itertools.count()
    refused: list[tuple[int, InputTooLong]] = []

    def fitting() -> Iterator[list[Message]]:
        """The conversations that fit, each built when a row is free for it."""
        for number, text in enumerate(texts):
            messages = conversation(question, text, system=system, grammar=grammar)
            tokens = session.count_messages(messages)
            if tokens + sampling.max_tokens > session.context:
                refused.append((number, _too_long(tokens, sampling.max_tokens, session.context)))
                continue
            running[next(begun)] = number, ""
            yield messages

    for index, chunk in session.stream_many(fitting(), sampling, grammar=grammar):
        while refused:
            yield refused.pop(0)
        number, written = running.pop(index)
        if isinstance(chunk, EngineError):
            yield number, chunk
        elif chunk.finish_reason:
            cut = grammar is not None and chunk.finish_reason != "stop"
            yield number, unfinished(chunk) if cut else replace(chunk, text=written + chunk.text)
        else:
            running[index] = number, written + chunk.text
    yield from refused


def _too_long(tokens: int, reply: int, context: int) -> InputTooLong:
    hint = "lower --max-tokens" if tokens < context else "Shorten it, or raise --ctx if the model allows."
    return InputTooLong(f"input {tokens} tok + {reply} for the reply > {context} context", hint=hint)
