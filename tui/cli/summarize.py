"""`llm summarize`: summaries of whole documents, however long, with proof of what was read."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any

import typer

from engine.errors import EngineError, UsageError
from engine.schema import Coverage, Document, Language
from tui.cli.deliver import Result, print_json
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import read_file, read_stdin, stdin_has_input
from tui.cli.opening import Run
from tui.cli.options import ANSWER, DECODING, MODEL, SAMPLING, Options, takes
from tui.cli.progress import Progress
from tui.cli.reading import coverage_json, tell_coverage

EXAMPLES = """
llm summarize report.txt
llm summarize 报告.txt --language en --length short
curl -s https://example.org/long.txt | llm summarize
llm summarize *.txt --json > summaries.jsonl
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("summarize", cls=HelpfulCommand, epilog=EXAMPLES)(summarize)


@takes(*MODEL, *SAMPLING, "file", *DECODING, *ANSWER)
def summarize(
    options: Options,
    files: Annotated[list[str] | None, typer.Argument(help="Files, - for stdin.", show_default=False)] = None,
    length: Annotated[
        str, typer.Option("--length", help="short, medium, long, N% or Nw (words).", metavar="LENGTH")
    ] = "medium",
    language: Annotated[
        Language | None, typer.Option("--language", help="Of the summary; the text's own unless told.")
    ] = None,
) -> None:
    """Summarize each text, all of it: what does not fit the context is read in chunks."""
    if not re.fullmatch(r"short|medium|long|[1-9]\d?%|[1-9]\d{0,4}w", length):
        raise UsageError(f"--length expects short, medium, long, N% or Nw, got {length!r}")
    paths = [*(files or []), *(options.file or [])]
    if not paths:
        if not stdin_has_input():
            raise UsageError("nothing to summarize", hint="such as: llm summarize report.txt (more: --help)")
        paths = ["-"]
    if paths.count("-") > 1:
        raise UsageError("- (stdin) can be named only once")
    if len(paths) > 1 and options.output:
        raise UsageError("--output takes one summary", hint="redirect stdout for several")
    run = Run(options)
    first = _read(options, paths[0]) if len(paths) == 1 else None  # a wrong path is told before the weights load
    with run.session() as session:
        if first:
            _one(run, session, first, length, language)
        else:
            _many(run, session, paths, length, language)


def _read(options: Options, path: str) -> Document:
    if path == "-":
        document = read_stdin(options.encoding, options.errors)
    else:
        document = read_file(path, options.encoding, options.errors)
    if not document.text.strip():
        raise UsageError(f"{document.name} is empty: nothing to summarize")
    return document


def _one(
    run: Run, session: Any, document: Document, length: str, language: Language | None, heading: bool = False
) -> Result:
    from engine.tasks.summarize import ChunkProgress
    from engine.tasks.summarize import summarize as summarize_document

    read: list[Coverage] = []
    with Progress(run.console, f"reading {document.name}") as progress:

        def on_event(event: Any) -> None:
            if isinstance(event, ChunkProgress):
                progress.update(event.done, event.total)
            elif isinstance(event, Coverage):
                read[:] = [event]

        def settled() -> Any:
            with contextlib.closing(
                summarize_document(
                    session, document, language=language, sampling=run.sampling(repetition_penalty=1.1), length=length
                )
            ) as events:
                for event in events:
                    if getattr(event, "text", ""):
                        progress.clear()
                    yield event

        if heading and not run.options.json:
            run.console.line(f"## {document.name}\n")
        result = run.delivery.show(
            settled(),
            model=session.name,
            place=f"{session.device}/{session.kernel}",
            extra=lambda: {"name": document.name} | (coverage_json(read[0]) if read else {}),
            on_event=on_event,
            waiting="",
        )
    for coverage in read:
        tell_coverage(run.console, coverage, document.name)
    return result


def _many(run: Run, session: Any, paths: list[str], length: str, language: Language | None) -> None:
    failed = 0
    for number, path in enumerate(paths):
        try:
            if number and not run.options.json:
                run.console.line("")
            _one(run, session, _read(run.options, path), length, language, heading=True)
        except EngineError as error:
            failed += 1
            run.console.error(path, error.message, error.hint)
            if run.options.json:
                print_json(run.console, {"model": session.name, "name": path, "error": error.message})
    if failed:
        run.console.note(f"{failed} of {len(paths)} failed")
        raise typer.Exit(6)
