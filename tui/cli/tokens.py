"""`llm tokens`: how many tokens a text has for a model, and which; needs its tokenizer only, not its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UsageError
from engine.schema import Document
from engine.tasks.breaks import shown
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, documents
from tui.cli.opening import Run
from tui.cli.options import READING, Options, takes

EXAMPLES = """
llm tokens "Hello, 世界"
llm tokens "Hello, 世界" --pieces
cat *.txt | llm tokens
llm tokens -f a.txt -f b.txt --json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tokens", cls=HelpfulCommand, epilog=EXAMPLES)(tokens)


@takes("model", "yes", "no_input", "file", *READING, "json")
def tokens(
    options: Options,
    text: Annotated[str | None, typer.Argument(help="The text; without it, stdin.", show_default=False)] = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="List each token: id, piece, bytes.")] = False,
) -> None:
    """Count the tokens of a text."""
    run = Run(options)
    paths = list(options.file or [])
    if text == "-":
        paths.append("-")
    given = [Document("text", argument_text(text))] if text not in {None, "-"} else []
    if not given or paths:
        given += documents(paths, encoding=options.encoding, errors=options.errors, html=options.html)
    if not given:
        raise UsageError("no text to count", hint='such as: llm tokens "Hello" or llm tokens -f FILE')
    summary = run.find_installed()
    from engine.counter import load_tokenizer

    tokenizer = load_tokenizer(Path(summary.path))
    for document in given:
        said = shown(document.text)
        listed = tokenizer.pieces(said) if pieces else []
        count = len(listed) if pieces else tokenizer.count(said)
        if options.json:
            row = {
                "model": summary.name,
                "name": document.name,
                "tokens": count,
                "characters": len(said),
                "bytes": len(said.encode()),
                "context": summary.context,
            }
            if pieces:
                row["pieces"] = [{"id": id_, "piece": piece, "bytes": data.hex()} for id_, piece, data in listed]
            print_json(run.console, row)
            continue
        for id_, piece, data in listed:
            run.console.line(f"{id_}\t{piece!r}\t{data.hex(' ')}")
        run.console.line(f"{count}\t{document.name}" if len(given) > 1 else str(count))
