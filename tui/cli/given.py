"""Texts on the command line as rows: those given as arguments, then those of files and stdin."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UsageError
from tui.cli.inputs import argument_text, stdin_has_input, stdin_once
from tui.cli.options import Options
from tui.cli.rows import Row, read_rows


def by_line(per: str | None, spec: str | None) -> str | None:
    """What `--per` says in the words of `--in`. Raises UsageError where both are there."""
    if per and spec:
        raise UsageError("--per and --in say the same thing: use --in")
    return "lines" if per == "line" else spec


def given_rows(options: Options, texts: Sequence[str], spec: str | None, purpose: str, example: str) -> list[Row]:
    """The rows to work on; an empty argument among others keeps its place. Raises UsageError without any text."""
    files = options.file or []
    stdin_once([*texts, *files])
    rows = [_row(number, argument_text(text)) for number, text in enumerate(texts, 1) if text != "-"]
    paths = [*files, *(["-"] if "-" in texts else [])]
    if paths or (not texts and stdin_has_input()):
        return rows + read_rows(options, paths, spec)
    if spec:
        raise UsageError("--in needs a file or stdin", hint="name the file with -f FILE, or pipe its rows in")
    if all(row.error for row in rows):
        raise UsageError(f"no text to {purpose}", hint=f"such as: {example}")
    return rows


def _row(number: int, text: str) -> Row:
    empty = "" if text.strip() else "the text is empty"
    return Row(text, " ".join(text.split()) or f"text {number}", {"text": text}, empty)
