"""`llm embed`: texts as vectors, for programs of one's own that compare, group or search them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import typer

from engine.errors import EngineError, UsageError
from tui.cli.deliver import place_of
from tui.cli.help import HelpfulCommand
from tui.cli.index import VECTORS
from tui.cli.inputs import argument_text, stdin_has_input
from tui.cli.opening import Run
from tui.cli.options import READING, Options, takes
from tui.cli.row_output import Result
from tui.cli.row_run import InSpec, OutSpec, Resume, out_format, run_rows
from tui.cli.rows import Row, read_rows

EXAMPLES = """
llm embed "a cat on a mat"
llm embed -f notes.txt --per line > notes.jsonl
cat report.txt | llm embed
llm embed -f reviews.csv --in csv:review --resume vectors.jsonl
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("embed", cls=HelpfulCommand, epilog=EXAMPLES)(embed)


@takes(*VECTORS, "file", *READING, "output", "json", "stats")
def embed(
    options: Options,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts, - for stdin.", show_default=False)] = None,
    per: Annotated[
        Literal["file", "line"] | None, typer.Option("--per", help="One vector for each.", show_default=False)
    ] = None,
    spec: InSpec = None,
    out: OutSpec = None,
    resume: Resume = None,
) -> None:
    """Print a vector of length 1 for each text, as JSONL. The product of two vectors says how near their texts are."""
    if per and spec:
        raise UsageError("--per and --in say the same thing: use --in")
    run = Run(options)
    kind = out_format(run, out or "jsonl", resume)
    rows = _texts(options, texts or [], spec or ("lines" if per == "line" else None))
    with run.session() as session:
        from engine.tasks.search import TOGETHER

        def work(asked: list[str]) -> Iterator[tuple[int, Result | EngineError]]:
            for start in range(0, len(asked), TOGETHER):
                for offset, vector in enumerate(session.embed(asked[start : start + TOGETHER])):
                    numbers = [round(float(value), 6) for value in vector]
                    yield start + offset, {"model": session.name, "embedding": numbers}

        run_rows(
            run,
            rows,
            work,
            columns=("model", "embedding"),
            as_text=lambda _row, result: " ".join(map(str, result["embedding"])),
            kind=kind,
            resume=resume,
            place=f"{session.name} on {place_of(session)}",
        )


def _texts(options: Options, texts: Sequence[str], spec: str | None) -> list[Row]:
    """Texts given as arguments, then those of files and stdin. Raises UsageError without any."""
    files = options.file or []
    if [*texts, *files].count("-") > 1:
        raise UsageError("- (stdin) can be named only once")
    given = [argument_text(text) for text in texts if text != "-"]
    found = [Row(text, " ".join(text.split()), {"text": text}) for text in given if text.strip()]
    paths = [*files, *(["-"] if "-" in texts else [])]
    if paths or (not texts and stdin_has_input()):
        found += read_rows(options, paths, spec)
    elif spec:
        raise UsageError("--in and --per line need a file or stdin")
    if not found:
        raise UsageError("no text to embed", hint='such as: llm embed "a cat on a mat"')
    return found
