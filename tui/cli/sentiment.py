"""`llm sentiment`: are texts positive or negative, and how surely? From probabilities, never generated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from engine.errors import EngineError
from tui.cli.given import by_line, given_rows
from tui.cli.help import HelpfulCommand
from tui.cli.judging import judge_rows, judged
from tui.cli.opening import Run
from tui.cli.options import MODEL, READING, Options, takes
from tui.cli.row_output import Result
from tui.cli.row_run import InSpec, OutSpec, Resume, out_format

EXAMPLES = """
llm sentiment "I loved every minute"
printf '房间又脏又吵' | llm sentiment --json
llm sentiment -f reviews.txt --in lines
llm sentiment -f reviews.csv --in csv:review --out csv --resume judged.csv
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sentiment", cls=HelpfulCommand, epilog=EXAMPLES)(sentiment)


@takes(*MODEL, "file", *READING, "output", "json", "stats")
def sentiment(
    options: Options,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts, - for stdin.", show_default=False)] = None,
    neutral: Annotated[bool, typer.Option("--neutral", help="Allow neutral as a third label.")] = False,
    per: Annotated[
        Literal["file", "line"] | None, typer.Option("--per", help="One label for each.", show_default=False)
    ] = None,
    spec: InSpec = None,
    out: OutSpec = None,
    resume: Resume = None,
) -> None:
    """Judge texts. Prints LABEL<TAB>PROBABILITY for each; several also with the text or its name."""
    spec = by_line(per, spec)
    run = Run(options)
    kind = out_format(run, out, resume)
    rows = given_rows(options, texts or [], spec, "judge", 'llm sentiment "I loved every minute"')
    with run.session() as session:
        from engine.tasks import sentiment as task

        def work(asked: list[str]) -> Iterator[tuple[int, Result | EngineError]]:
            return judged(task.judge_many(session, asked, neutral=neutral), session.name)

        judging = {"probe": sorted(session.probes)} if session.probes and not neutral else {}
        asked = {"--neutral": neutral, **judging}
        judge_rows(run, session, rows, work, kind=kind, asked=asked, resume=resume)
