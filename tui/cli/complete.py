"""`llm complete`: what comes next after a text, with no chat template around it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Annotated

import typer

from engine.errors import UsageError
from tui.cli.deliver import Delivery, place_of, show_prompt
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, read_path, stdin_has_input, stdin_once
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
            plain.show(chunks, model=session.name, place=place_of(session), context=session.context)


def _raw(run: Run) -> Delivery:
    return dataclasses.replace(run.delivery, markdown=False)


def _beginning(options: Options, argument: str | None) -> str:
    """The files in the order given, `-` for stdin among them, then the argument; without either, stdin."""
    paths = stdin_once([*(options.file or []), *(["-"] if argument == "-" else [])])
    if argument is None and not paths and stdin_has_input():
        paths = ["-"]
    parts = [read_path(path, options.encoding, options.errors).text for path in paths]
    if argument not in {None, "-"}:
        parts.append(argument_text(str(argument), "the text"))
    if not "".join(parts):
        raise UsageError("no text to continue", hint='such as: llm complete "Once upon a time"')
    return "".join(parts)
