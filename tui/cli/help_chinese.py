"""Help in Chinese: a copy of a command with its texts looked up, written by a formatter that counts columns.

What Typer's own formatter does not know: a Chinese character is two columns wide, and a line can end after any of them.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typer._click.formatting import HelpFormatter
from typer.core import TyperCommand, TyperGroup

from tui.cli.widths import columns, wrapped
from tui.strings.examples_zh import EXAMPLES
from tui.strings.help_zh import COMMANDS, EXIT_CODES, HEADINGS, NAMES, OPTIONS

_BRACKETS = re.compile(r"(?:^|(?<=  ))\[([^\[\]]*)\]$")


def help_of(command: TyperCommand | TyperGroup, ctx: Any) -> str:
    """The help of a command."""
    formatter = _Formatter(width=ctx.terminal_width, max_width=ctx.max_content_width)
    translated(command, ctx).format_help(ctx, formatter)
    return formatter.getvalue().rstrip("\n")


def translated(command: Any, ctx: Any) -> Any:
    """A copy of the command that says the same in Chinese; what has no Chinese stays as it is."""
    twin = copy.copy(command)
    twin.help = "\n\n".join("".join(map(_said, sentences)) for sentences in texts_of(command.help))
    twin.epilog = "\n".join(EXAMPLES.get(line, line) for line in examples_of(command.epilog))
    twin.params = [_parameter(parameter, ctx) for parameter in command.get_params(ctx)]
    twin.add_help_option = False  # it is among them
    twin.options_metavar = name_of(command.options_metavar)
    twin.exit_codes = tuple((code, EXIT_CODES.get(meaning, meaning)) for code, meaning in command.exit_codes)
    if isinstance(command, TyperGroup):
        twin.subcommand_metavar = name_of(command.subcommand_metavar)
        twin.summaries = {name: _said(text) for name, text in _summaries(command).items()}
    return twin


def explain(command: Any, found: Iterable[Any]) -> None:
    """Put Chinese into what Tab offers: commands of this group, and options."""
    summaries = _summaries(command) if isinstance(command, TyperGroup) else {}
    for item in found:
        item.help = _said(summaries[item.value]) if item.value in summaries else OPTIONS.get(item.help, item.help)


def texts_of(text: str | None) -> list[list[str]]:
    """The paragraphs of a help text: the first as its first sentence and, if there is more, the rest; others whole."""
    if not text:
        return []
    first, *others = (" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))
    sentence, stop, rest = first.partition(". ")
    return [[sentence + stop.strip(), rest] if rest else [first], *([other] for other in others)]


def examples_of(epilog: str | None) -> list[str]:
    """The lines of the examples."""
    return [line.strip() for line in (epilog or "").strip().splitlines()]


def name_of(value: str) -> str:
    """What stands for a value: its name in Chinese, with the choices or the dots that follow it."""
    name, rest = re.fullmatch(r"(.*?)((?::<.*>)?(?:\.\.\.)?)", value).groups()  # type: ignore[union-attr]
    return NAMES.get(value) or NAMES.get(name, name) + rest


def _said(sentence: str) -> str:
    return COMMANDS.get(sentence, sentence)


def _summaries(group: Any) -> Mapping[str, str]:
    if group.summaries is not None:
        return group.summaries
    return {name: texts_of(command.help)[0][0] for name, command in group.commands.items() if not command.hidden}


def _parameter(parameter: Any, ctx: Any) -> Any:
    twin = copy.copy(parameter)
    twin.help = OPTIONS.get(parameter.help, parameter.help)
    twin.metavar = name_of(parameter.make_metavar(ctx=ctx))
    return twin


def _remark(found: re.Match[str]) -> str:
    """Typer's own remark at the end of a line: required, the default, the range."""
    said = [part.replace("default: ", "默认 ").replace("env var: ", "环境变量 ") for part in found[1].split("; ")]
    return f"[{'；'.join('必填' if part == 'required' else part for part in said)}]"


class _Formatter(HelpFormatter):
    """Headings in Chinese, and lines by their columns on the screen."""

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{HEADINGS.get(heading, heading)}：\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        head = f"{HEADINGS['Usage']}：{prog} "
        first, *others = wrapped(args, self.width - columns(head)) or [""]
        self.write("\n".join([head + first, *(" " * columns(head) + line for line in others)]) + "\n")

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        parts = (wrapped(part, self.width - self.current_indent) for part in text.split("\n\n"))
        self.write("\n\n".join("\n".join(indent + line for line in lines) for lines in parts) + "\n")

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        left = min(max(columns(first) for first, _ in rows), col_max) + col_spacing
        for first, second in rows:
            lines = wrapped(_BRACKETS.sub(_remark, second), max(self.width - left - 2, 10))
            head = " " * self.current_indent + first
            if lines and columns(first) <= left - col_spacing:
                head += " " * (left - columns(first)) + lines.pop(0)
            self.write("\n".join([head, *(" " * (left + self.current_indent) + line for line in lines)]) + "\n")
