"""Help as people read it: examples first, then what it does, its options, and the exit codes.

`Examples` of a command stand in its `epilog`, one a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def in_chinese(ctx: Any) -> bool:
    """Whether a command line is answered in Chinese: by its `--lang` where it has one, the settings, the locale."""
    from tui.language import language_of, language_of_settings

    chosen = ctx.meta.get(__name__) if ctx else None
    return (language_of(chosen) if chosen else language_of_settings()) == "zh"


def _asked(arguments: list[str]) -> str | None:
    """The value of `--lang`, wherever it stands on a command line: help and usage errors come before it is parsed."""
    chosen = None
    following = iter(arguments)
    for word in following:
        if word == "--":
            break
        flag, given, value = word.partition("=")
        if flag == "--lang":
            chosen = value if given else next(following, None)
    return chosen


def _chinese(command: TyperCommand | TyperGroup, ctx: Any) -> str | None:
    """The help in Chinese where that is wanted."""
    if not in_chinese(ctx):
        return None
    from tui.cli.help_chinese import help_of

    return help_of(command, ctx)


def _completed(command: TyperCommand | TyperGroup, ctx: Any, found: list[Any]) -> list[Any]:
    """What Tab offers, explained in the person's language."""
    if any(item.help for item in found) and in_chinese(ctx):
        from tui.cli.help_chinese import explain

        explain(command, found)
    return found


def _write(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any, exit_codes: Iterable[tuple[str, str]]) -> None:
    if command.epilog:
        with formatter.section("Examples"):
            for line in command.epilog.strip().splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{as_called(line.strip())}\n")
        formatter.write_paragraph()
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    command.format_options(ctx, formatter)
    with formatter.section("Exit codes"):
        formatter.write_text(" · ".join(f"{code} {meaning}" for code, meaning in exit_codes))


class HelpfulCommand(TyperCommand):
    """A command whose help starts with examples."""

    exit_codes = EXIT_CODES

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """With the language known first."""
        if any(parameter.name == "lang" for parameter in self.params):
            ctx.meta[__name__] = _asked(args)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """In the person's language."""
        return _chinese(self, ctx) or super().get_help(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write(self, ctx, formatter, self.exit_codes)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """In the person's language as well."""
        return _completed(self, ctx, super().shell_complete(ctx, incomplete))


class HelpfulGroup(TyperGroup):
    """A group whose help starts with examples."""

    exit_codes = EXIT_CODES
    summaries: Mapping[str, str] | None = None
    """What the help says of each command, where it is not what Typer takes from the command itself."""

    def get_help(self, ctx: Any) -> str:
        """In the person's language."""
        return _chinese(self, ctx) or super().get_help(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write(self, ctx, formatter, self.exit_codes)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """In the person's language as well."""
        return _completed(self, ctx, super().shell_complete(ctx, incomplete))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The summaries."""
        if self.summaries is None:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


def make_app(help_text: str, examples: str, **settings: Any) -> typer.Typer:
    """A Typer app with our help, our short flags and no tracebacks of its own."""
    usual: dict[str, Any] = {"cls": HelpfulGroup, "context_settings": CONTEXT, "rich_markup_mode": None}
    return typer.Typer(help=help_text, epilog=examples, pretty_exceptions_enable=False, **(usual | settings))
