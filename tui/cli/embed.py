"""`llm embed`: texts as vectors, for programs of one's own that compare, group or search them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from engine.errors import EngineError
from tui.cli.deliver import place_of
from tui.cli.given import by_line, given_rows
from tui.cli.help import HelpfulCommand
from tui.cli.index import VECTORS
from tui.cli.opening import Run
from tui.cli.options import READING, Options, takes
from tui.cli.row_output import OutFormat, Result
from tui.cli.row_run import InSpec, Resume, out_format, run_rows

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
    out: Annotated[
        OutFormat | None, typer.Option("--out", help="Format of the rows; jsonl unless told.", show_default=False)
    ] = None,
    resume: Resume = None,
) -> None:
    """Print a vector of length 1 for each text, as JSONL. The product of two vectors says how near their texts are."""
    spec = by_line(per, spec)
    run = Run(options)
    kind = out_format(run, out or "jsonl", resume)
    rows = given_rows(options, texts or [], spec, "embed", 'llm embed "a cat on a mat"')
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
            asked={"--model": session.name},
            resume=resume,
            place=f"{session.name} on {place_of(session)}",
        )
