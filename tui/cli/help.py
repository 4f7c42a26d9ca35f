"""Help as people read it: examples first, then what it does, its options, and the exit codes.

`Examples` of a command stand in its `epilog`, one a line.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tui.cli.console import as_called

EXIT_CODES = (
    ("0", "done"),
    ("1", "run-time error"),
    ("2", "usage"),
    ("3", "model missing or not loadable"),
    ("4", "the input does not fit and --overflow is error"),
    ("5", "output failed its schema or labels"),
    ("6", "one or more rows failed"),
    ("130", "Ctrl-C"),
    ("141", "the reader is gone (| head)"),
    ("143", "SIGTERM"),
)
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _write(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    if command.epilog:
        with formatter.section("Examples"):
            for line in command.epilog.strip().splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{as_called(line.strip())}\n")
        formatter.write_paragraph()
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    command.format_options(ctx, formatter)
    with formatter.section("Exit codes"):
        formatter.write_text(" · ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES))


class HelpfulCommand(TyperCommand):
    """A command whose help starts with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write(self, ctx, formatter)


class HelpfulGroup(TyperGroup):
    """A group whose help starts with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write(self, ctx, formatter)


def make_app(help_text: str, examples: str, **settings: Any) -> typer.Typer:
    """A Typer app with our help, our short flags and no tracebacks of its own."""
    usual: dict[str, Any] = {"cls": HelpfulGroup, "context_settings": CONTEXT, "rich_markup_mode": None}
    return typer.Typer(help=help_text, epilog=examples, pretty_exceptions_enable=False, **(usual | settings))
