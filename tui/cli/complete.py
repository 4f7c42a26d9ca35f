"""`llm complete`: what comes next after a text, with no chat template around it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Annotated

import typer

from engine.errors import UsageError
from tui.cli.deliver import Delivery, place_of, show_prompt
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, read_file, read_stdin, stdin_has_input
from tui.cli.opening import Run
from tui.cli.options import ANSWER, DECODING, MODEL, SAMPLING, Options, takes

EXAMPLES = """
llm complete "def fibonacci(n):" --max-tokens 80
llm complete -m gemma3-270m "从前有座山，"
head -20 story.txt | llm complete --temperature 0.8 --seed 7
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("complete", cls=HelpfulCommand, epilog=EXAMPLES)(complete)


@takes(*MODEL, *SAMPLING, "file", *DECODING, *ANSWER, "dry_run")
def complete(
    options: Options,
    text: Annotated[str | None, typer.Argument(help="The beginning; without it, stdin.", show_default=False)] = None,
) -> None:
    """Continue a text, raw. The continuation alone is printed."""
    run = Run(options)
    beginning = _beginning(options, text)
    with run.session() as session:
        if options.dry_run:
            show_prompt(run.console, options, session, beginning, session.count(beginning))
            return
        # A continuation is no Markdown of its own: it may begin in the middle of a word.
        plain = run.delivery if options.md else _raw(run)
        with contextlib.closing(session.complete(beginning, run.sampling())) as chunks:
            plain.show(chunks, model=session.name, place=place_of(session))


def _raw(run: Run) -> Delivery:
    return dataclasses.replace(run.delivery, markdown=False)


def _beginning(options: Options, argument: str | None) -> str:
    parts = [read_file(path, options.encoding, options.errors).text for path in options.file or [] if path != "-"]
    if argument is not None and argument != "-":
        parts.append(argument_text(argument, "the text"))
    elif argument == "-" or "-" in (options.file or []) or (not parts and stdin_has_input()):
        parts.append(read_stdin(options.encoding, options.errors).text)
    if not "".join(parts):
        raise UsageError("no text to continue", hint='such as: llm complete "Once upon a time"')
    return "".join(parts)
