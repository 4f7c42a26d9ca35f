"""`llm translate`: documents from English into Chinese and back, with their structure; what is doubtful is said."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import EngineError, UsageError
from engine.schema import Chunk, Coverage, Document, Language, TaskProgress
from tui.cli.deliver import place_of
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, with_text
from tui.cli.opening import Run
from tui.cli.options import DECODING, MODEL, SAMPLING, Options, takes
from tui.cli.progress import Progress
from tui.cli.reading import coverage_json, named_lines, tell_coverage
from tui.cli.row_output import OutFormat, Result
from tui.cli.row_run import InSpec, OutSpec, Resume, out_format, run_rows
from tui.cli.rows import read_rows
from tui.cli.whole import in_turn, named, or_stdin, read_whole

EXAMPLES = """
llm translate README.md > README.zh.md
llm translate --to en 报告.txt -o report.txt
llm translate --text "Where is the station?"
llm translate *.md --json > translated.jsonl
llm translate --in csv:comment --out csv comments.csv > translated.csv
"""
NAMES: dict[Language, str] = {"en": "English", "zh": "Chinese"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("translate", cls=HelpfulCommand, epilog=EXAMPLES)(translate)


@takes(*MODEL, *SAMPLING, "file", *DECODING, "output", "json", "no_stream", "stats")
def translate(
    options: Options,
    files: Annotated[list[str] | None, typer.Argument(help="Files, - for stdin.", show_default=False)] = None,
    to: Annotated[
        Language | None, typer.Option("--to", help="Into; the other language unless told.", show_default=False)
    ] = None,
    source: Annotated[
        Language | None, typer.Option("--from", help="From; found out unless told.", show_default=False)
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Translate this text.", metavar="TEXT", show_default=False)
    ] = None,
    spec: InSpec = None,
    out: OutSpec = None,
    resume: Resume = None,
) -> None:
    """Translate each text; code, addresses and Markdown's marks stay as they are."""
    options = replace(options, html="source")  # marks stay as they are, a page's too
    if source and source == to:
        raise UsageError(f"--from and --to are both {to}", hint="one of them is enough")
    if source:
        to = "en" if source == "zh" else "zh"
    paths = named(options, files)
    if text is not None and paths:
        raise UsageError("--text and files can't go together")
    if spec or out or resume:
        if text is not None:
            raise UsageError("--text is one text: --in, --out and --resume are for files and stdin")
        _rows(options, paths, to, spec, out, resume)
        return
    if text is None:
        paths = or_stdin(paths, "translate", "llm translate README.md")
    if len(paths) > 1 and options.output:
        raise UsageError("--output takes one translation", hint="redirect stdout for several")
    run = Run(options)
    alone = None  # a wrong path is told before the weights load
    if text is not None:
        alone = with_text(Document("--text", argument_text(text, "--text")), "-", "translate")
    elif len(paths) == 1:
        alone = read_whole(options, paths[0], "translate")
    with run.session() as session:
        if alone:
            _one(run, session, alone, to)
        else:
            in_turn(
                run, session.name, paths, "translate", lambda document: _one(run, session, document, to, heading=True)
            )


def _rows(
    options: Options,
    paths: list[str],
    to: Language | None,
    spec: str | None,
    out: OutFormat | None,
    resume: Path | None,
) -> None:
    """Each row a text, many of them decoded together."""
    run = Run(options)
    kind = out_format(run, out, resume)
    rows = read_rows(options, paths, spec)
    with run.session() as session:
        run_rows(
            run,
            rows,
            lambda texts: _results(run, session, texts, to),
            columns=("translation", "doubtful"),
            as_text=lambda _row, result: result["translation"],
            kind=kind,
            asked={"--model": session.name, "--to": to},
            resume=resume,
            place=f"{session.name} on {place_of(session)}",
        )


def _results(
    run: Run, session: Any, texts: list[str], to: Language | None
) -> Iterator[tuple[int, Result | EngineError]]:
    from engine.tasks import translate as task

    documents = [Document("the text", text) for text in texts]
    translation, doubtful = "", list[str]()
    for number, event in task.translate_many(session, documents, sampling=run.sampling(), to=to):
        if isinstance(event, EngineError):
            yield number, event
        elif isinstance(event, Chunk):
            translation += event.text
        elif isinstance(event, task.Doubtful):
            doubtful.append(event.why)
        elif isinstance(event, Coverage):
            yield number, {"model": session.name, "translation": translation, "doubtful": doubtful}
            translation, doubtful = "", []


@dataclass
class _Notes:
    """What came beside the translation."""

    coverage: Coverage | None = None
    doubtful: list[tuple[int, int, str]] = field(default_factory=list)
    """First and last line, and why."""
    unchanged: list[tuple[int, int]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The keys that `--json` adds."""
        doubtful = [{"lines": [first, last], "why": why} for first, last, why in self.doubtful]
        found = {"doubtful": doubtful, "unchanged": [list(lines) for lines in self.unchanged]}
        return found | (coverage_json(self.coverage) if self.coverage else {})


def _one(run: Run, session: Any, document: Document, to: Language | None, heading: bool = False) -> None:
    from engine.tasks import translate as task
    from engine.tasks.segments import target_of

    to = to or target_of(document.text)
    notes = _Notes()
    options = run.options
    # A bar would write into lines of a translation that appears on the same terminal.
    bar = not run.console.stdout_is_terminal or options.json or options.no_stream or bool(options.output)
    with Progress(run.console, f"translating {document.name}") as progress:

        def on_event(event: Any) -> None:
            if isinstance(event, TaskProgress) and bar:
                progress.update(event.done, event.total)
            elif isinstance(event, Coverage):
                notes.coverage = event
            elif isinstance(event, task.Doubtful):
                notes.doubtful.append((event.first_line, event.last_line, event.why))
            elif isinstance(event, task.Unchanged):
                notes.unchanged.append((event.first_line, event.last_line))

        if heading and not run.options.json:
            run.console.line(f"## {document.name}\n")
        try:
            replace(run.delivery, markdown=False).show(
                _with_ends(run, document, task.translate(session, document, sampling=run.sampling(), to=to)),
                model=session.name,
                place=place_of(session),
                extra=lambda: {"name": document.name, "to": to} | notes.to_json(),
                on_event=on_event,
                waiting="" if bar else "translating",
            )
        finally:
            progress.clear()
            _tell(run, document.name, to, notes)


def _with_ends(run: Run, document: Document, events: Generator[Any, None, None]) -> Iterator[Any]:
    """The events; lines end as those of the document do, but on a terminal, which knows newlines."""
    kept = document.crlf and (run.options.output or not run.console.stdout_is_terminal)
    with contextlib.closing(events):
        for event in events:
            whole = kept and isinstance(event, Chunk)
            yield replace(event, text=event.text.replace("\n", "\r\n")) if whole else event


def _tell(run: Run, name: str, to: Language, notes: _Notes) -> None:
    """On stderr: what was read, what was in the language already, what is doubtful."""
    if notes.coverage and notes.coverage.chunks_total:
        tell_coverage(run.console, notes.coverage, name)
    elif notes.coverage and not notes.unchanged:
        run.console.warn(f"{name}: no text to translate, nothing was changed")
    if notes.unchanged:
        whole = notes.coverage and not notes.coverage.chunks_total
        where = "all of it" if whole else named_lines(notes.unchanged)
        run.console.note(f"{name}: {NAMES[to]} already, left unchanged: {where}")
    if notes.doubtful:
        lines = named_lines([(first, last) for first, last, _ in notes.doubtful])
        run.console.warn(f"{name}: {len(notes.doubtful)} doubtful, check {lines}")
        for first, last, why in notes.doubtful:
            run.console.detail(f"  {named_lines([(first, last)])}: {REASONS[why]}")


REASONS = {
    "question": "a question became none, or the reverse",
    "mixed": "words of the source were left",
    "number": "a number is missing",
    "length": "much longer or shorter than translations are",
    "marks": "code, links or marks were lost",
    "cut": "it had no end",
    "repeats": "it repeats itself",
    "language": "it is in the wrong language",
    "empty": "nothing came",
}
