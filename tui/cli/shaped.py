"""What `ask --schema` and `batch --schema` share: the schema from the command line, and values on their way out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import OutputError, UsageError
from tui.cli.deliver import collect, place_of, save
from tui.cli.inputs import argument_text, read_file
from tui.cli.keys import held_keys
from tui.cli.opening import Run

if TYPE_CHECKING:
    from engine.structure import Grammar

SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--schema",
        help="Shape of the answer: 'name, age int, mood in happy|sad', JSON Schema, or a file of either.",
        metavar="SHAPE",
        show_default=False,
    ),
]


def read_schema(run: Run, value: str) -> Grammar:
    """The grammar of an option that takes a shape, @FILE or a path that says so. Raises UsageError, InputError."""
    from engine.shape import parse
    from engine.structure import compile_schema

    if run.options.md:
        raise UsageError("--md renders text, --schema gives JSON: one of them")
    if run.settings["stop"]:
        raise UsageError("a stop string could cut the JSON", hint="leave --stop or --schema out")
    path = _path(value)
    if not path:
        return compile_schema(parse(argument_text(value, "--schema")))
    text = read_file(path).text
    try:
        return compile_schema(parse(text))
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error


def _path(value: str) -> str:
    """The file that is meant; empty where the value is the shape itself, whose names hold no dots and no slashes."""
    if value.startswith("@"):
        return value[1:]
    shape = any(mark in value for mark in "{\n,:|")
    return "" if shape else value if value.endswith(".json") or "/" in value or os.sep in value else ""


def value_of(grammar: Grammar, text: str) -> Any:
    """The JSON value of a finished answer, judged once more as text. Raises OutputError."""
    if not grammar.fits(text):
        raise OutputError("the model's output does not fit the schema", hint="this should not happen: please report it")
    return json.loads(text, parse_float=_finite)


def _finite(text: str) -> float:
    """A number that any reader of JSON can hold: 1e999, which a schema without limits allows, is its nearest."""
    return max(-sys.float_info.max, min(float(text), sys.float_info.max))


def show_value(
    run: Run,
    session: Any,
    grammar: Grammar,
    chunks: Generator[Any, None, None],
    *,
    on_event: Callable[[Any], object],
    extra: Callable[[], dict[str, Any]],
) -> None:
    """Print the value alone when it is complete and fits; `--json` has it under `data`, and what is `extra`.

    Raises OutputError if time or room ended first, KeyboardInterrupt if it was stopped.
    """
    options, console = run.options, run.console
    with held_keys(), console.spinner("reading"), closing(chunks):
        result = collect(chunks, lambda _text: None, timeout=options.timeout, on_event=on_event)
    if run.settings["stats"]:
        console.note(result.stats(session.name, place_of(session)))
    if result.interrupted:
        console.warn("stopped: the answer is not complete")
        raise KeyboardInterrupt
    if result.timed_out:
        raise OutputError(f"the schema was not finished within {options.timeout:g} s (--timeout)")
    value = value_of(grammar, result.text)
    if options.json:
        value = result.to_json(session.name) | {"data": value} | extra()
    text = json.dumps(value, ensure_ascii=False)
    if options.output:
        save(console, options.output, text)
    else:
        console.line(text)


def columns_of(grammar: Grammar) -> list[str]:
    """What a table has a column for: the named properties of an object, else `data` for the whole."""
    return [_column(name) for name in _fields(grammar)] or ["data"]


def cells_of(grammar: Grammar, value: Any) -> dict[str, Any]:
    """A value as the cells of its columns; a number keeps all its digits."""
    if not (fields := _fields(grammar)):
        cells = {"data": value}
    else:
        value = value if isinstance(value, dict) else {}  # null, where the schema allows it
        cells = {_column(name): value[name] for name in fields if name in value}
    return {name: json.dumps(cell) if isinstance(cell, float) else cell for name, cell in cells.items()}


def _fields(grammar: Grammar) -> list[str]:
    return list(grammar.schema.get("properties") or [])


def _column(name: str) -> str:
    """A field called `error` leaves that column to rows that failed."""
    return "llm_error" if name == "error" else name
