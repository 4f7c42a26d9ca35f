"""Commands that take documents whole: which are named, how one is read, and several in turn."""

from __future__ import annotations

from collections.abc import Callable

import typer

from engine.errors import EngineError, UsageError
from engine.schema import Document
from tui.cli.deliver import print_json
from tui.cli.inputs import as_read, read_path, stdin_has_input, stdin_once, with_text
from tui.cli.opening import Run
from tui.cli.options import Options


def named(options: Options, files: list[str] | None) -> list[str]:
    """Every path that was given, by argument and by --file. Raises UsageError for stdin given twice."""
    return stdin_once([*(files or []), *(options.file or [])])


def or_stdin(paths: list[str], purpose: str, example: str) -> list[str]:
    """The paths, or stdin where there are none. Raises UsageError where nothing comes from there either."""
    if not paths and not stdin_has_input():
        raise UsageError(f"nothing to {purpose}", hint=f"such as: {example} (more: --help)")
    return paths or ["-"]


def read_whole(options: Options, path: str, purpose: str) -> Document:
    """A file, or stdin for `-`. Raises InputError, and UsageError for stdin without a text."""
    document = with_text(read_path(path, options.encoding, options.errors), path, purpose)
    return as_read(document, options.html)


def in_turn(run: Run, model: str, paths: list[str], purpose: str, one: Callable[[Document], object]) -> None:
    """Read each file and do what is done with one; what can't be done is told, and the next has its turn.

    Raises Exit(6) in the end if any failed.
    """
    failed = 0
    for number, path in enumerate(paths):
        try:
            if number and not run.options.json:
                run.console.line("")
            one(read_whole(run.options, path, purpose))
        except EngineError as error:
            failed += 1
            run.console.error(path, error.message, error.hint)
            if run.options.json:
                print_json(run.console, {"model": model, "name": path, "error": error.message})
    if failed:
        run.console.note(f"{failed} of {len(paths)} failed")
        raise typer.Exit(6)
