"""`llm classify`: texts sorted under labels of your own, with a probability for each; no training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from engine.errors import EngineError, UsageError
from tui.cli.given import given_rows
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, read_file, with_text
from tui.cli.judging import judge_rows, judged
from tui.cli.opening import Run
from tui.cli.options import MODEL, READING, Options, takes
from tui.cli.row_output import Result
from tui.cli.row_run import InSpec, OutSpec, Resume, out_format

EXAMPLES = """
llm classify --labels spam,ham "You have won a prize, call now!"
llm classify --labels 体育,财经,科技 -f headlines.txt --in lines
llm classify --labels bug,feature --example 'it crashes=bug' --example 'please add=feature' -f issues.txt --in lines
llm classify --labels sport,money,politics --multi --threshold 0.6 -f news.jsonl --in jsonl:text --json
"""


EXAMPLE = "'You have won!=spam'"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("classify", cls=HelpfulCommand, epilog=EXAMPLES)(classify)


@takes(*MODEL, "file", *READING, "output", "json", "stats")
def classify(
    options: Options,
    labels: Annotated[
        str, typer.Option("--labels", help="Comma-separated, or @FILE with one a line.", metavar="A,B,C")
    ],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts, - for stdin.", show_default=False)] = None,
    multi: Annotated[bool, typer.Option("--multi", help="Several labels may fit, or none.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Least probability of a label; 0.5 unless told.", min=0, max=1, metavar="X"),
    ] = None,
    abstain: Annotated[bool, typer.Option("--abstain", help="No label where none reaches the threshold.")] = False,
    example: Annotated[
        list[str] | None, typer.Option("--example", help="A judged text; can be repeated.", metavar="TEXT=LABEL")
    ] = None,
    example_file: Annotated[
        str | None, typer.Option("--example-file", help="Judged texts, TEXT=LABEL, one a line.", metavar="FILE")
    ] = None,
    spec: InSpec = None,
    out: OutSpec = None,
    resume: Resume = None,
) -> None:
    """Sort texts under labels. Prints LABEL<TAB>PROBABILITY for each; with --multi all that fit."""
    if threshold is not None and not (multi or abstain):
        raise UsageError("--threshold needs --multi or --abstain")
    if multi and (example or example_file):
        raise UsageError("--multi takes no examples")
    names = read_labels(labels)
    examples = read_examples(example or [], example_file)
    run = Run(options)
    kind = out_format(run, out, resume)
    rows = given_rows(options, texts or [], spec, "judge", 'llm classify --labels spam,ham "You have won!"')
    least = (0.5 if threshold is None else threshold) if multi or abstain else None
    from engine.tasks import classify as task

    if not multi:
        task.question(names, examples)  # what is wrong with the labels is told before the weights load
    with run.session() as session:

        def work(asked: list[str]) -> Iterator[tuple[int, Result | EngineError]]:
            if multi:
                return enumerate(_fitting(task.fit_each(session, asked, names), session.name, least or 0.0))
            return judged(enumerate(task.classify(session, asked, names, examples)), session.name, threshold=least)

        asked = {"--labels": names, "--multi": multi, "--threshold": least, "--example": examples}
        judge_rows(run, session, rows, work, kind=kind, asked=asked, resume=resume)


def read_labels(text: str) -> list[str]:
    """The labels of an option that takes `a,b,c` or @FILE. Raises UsageError."""
    if text.startswith("@") and len(text) > 1:
        parts = read_file(text[1:]).text.split("\n")
    else:
        parts = argument_text(text, "--labels").replace("，", ",").split(",")
    labels = [part.strip() for part in parts if part.strip()]
    if len(set(labels)) < 2:
        raise UsageError(
            f"--labels expects at least two different labels, got {text!r}",
            hint="such as --labels spam,ham; or --labels @FILE, one a line",
        )
    if twice := next((label for label, count in Counter(labels).items() if count > 1), ""):
        raise UsageError(f"--labels names {twice!r} twice", hint="leave one of them out")
    return labels


def read_examples(given: Sequence[str], file: str | None) -> list[tuple[str, str]]:
    """Judged texts; the label stands after the last `=`. Raises UsageError."""
    lines = [(argument_text(text, "--example"), "--example") for text in given]
    if file:
        text = with_text(read_file(file), file).text
        lines += [(line, f"{file}:{n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    found = []
    for line, where in lines:
        text, equals, label = line.rpartition("=")
        if not equals or not text.strip() or not label.strip():
            raise UsageError(f"{where}: expected TEXT=LABEL, got {line!r}", hint=f"such as {EXAMPLE}")
        found.append((text.strip(), label.strip()))
    return found


def _fitting(results: Iterator[Any], model: str, threshold: float) -> Iterator[Result | EngineError]:
    for scores in results:
        if isinstance(scores, EngineError):
            yield scores
            continue
        fitting = sorted((label for label in scores if scores[label] >= threshold), key=lambda name: -scores[name])
        yield {"model": model, "label": fitting, "score": max(scores.values()), "scores": scores}
