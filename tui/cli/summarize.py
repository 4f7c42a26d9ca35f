"""`llm summarize`: summaries of whole documents, however long, with proof of what was read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.errors import EngineError, UsageError
from engine.schema import Chunk, Coverage, Document, Language, SummaryPart, TaskProgress
from engine.tasks.length import Length
from tui.cli.console import counted
from tui.cli.deliver import Result, place_of
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.options import ANSWER, MODEL, READING, SAMPLING, Options, takes
from tui.cli.progress import Progress
from tui.cli.reading import coverage_json, tell_coverage
from tui.cli.row_output import OutFormat
from tui.cli.row_run import InSpec, OutSpec, Resume, out_format, run_rows
from tui.cli.rows import Row, read_rows
from tui.cli.whole import in_turn, named, or_stdin, read_whole

EXAMPLES = """
llm summarize report.txt
llm summarize 报告.txt --language en --length short
curl -s https://example.org/page.html | llm summarize
llm summarize contract.md --bullets --focus "notice periods"
llm summarize *.txt --out jsonl --resume summaries.jsonl
"""
Style = Literal["abstractive", "extractive"]
GIVEN_WHOLE = "no longer than the summary asked for: given whole"
LESS = "30%"
DEFAULTS: dict[str, Any] = {"repetition_penalty": 1.1}
"""How summaries are drawn where nobody said anything else."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("summarize", cls=HelpfulCommand, epilog=EXAMPLES)(summarize)


@dataclass(frozen=True)
class Wanted:
    """The options that say what kind of summary."""

    length: str
    language: Language | None
    bullets: bool
    style: Style
    focus: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"short|medium|long|[1-9]\d?%|[1-9]\d{0,4}w", self.length):
            raise UsageError(f"--length expects short, medium, long, N% or Nw, got {self.length!r}")
        if self.style == "extractive" and self.language:
            raise UsageError("--style extractive takes the text's own sentences: --language can't change them")

    @property
    def wish(self) -> dict[str, Any]:
        """As the task takes them."""
        return {"length": self.length, "language": self.language, "bullets": self.bullets, "focus": self.focus}

    def told_whole(self, text: str) -> str:
        """What is said of a text that is its own summary, and how to ask for less where there is less."""
        more = not self.length.endswith("%") and not Length.parse(LESS, text).whole
        return f"{GIVEN_WHOLE} (--length {LESS} asks for less)" if more else GIVEN_WHOLE


@takes(*MODEL, *SAMPLING, "file", *READING, *ANSWER)
def summarize(
    options: Options,
    files: Annotated[list[str] | None, typer.Argument(help="Files, - for stdin.", show_default=False)] = None,
    length: Annotated[
        str, typer.Option("--length", help="short, medium, long, N% or Nw (words).", metavar="LENGTH")
    ] = "medium",
    language: Annotated[
        Language | None, typer.Option("--language", help="Of the summary; the text's own unless told.")
    ] = None,
    bullets: Annotated[bool, typer.Option("--bullets", help="One line a part, with the lines it is about.")] = False,
    style: Annotated[Style, typer.Option("--style", help="New words, or the sentences that say most.")] = "abstractive",
    focus: Annotated[str, typer.Option("--focus", help="What to look for.", metavar="TEXT", show_default=False)] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither use nor keep results of passages.")] = False,
    spec: InSpec = None,
    out: OutSpec = None,
    resume: Resume = None,
) -> None:
    """Summarize each text, all of it, in chunks if it is long; one no longer than its summary comes out whole."""
    wanted = Wanted(length, language, bullets, style, argument_text(focus, "--focus"))
    paths = or_stdin(named(options, files), "summarize", "llm summarize report.txt")
    run = Run(options)
    if spec or out or resume:
        kind = out_format(run, out, resume)
        rows = read_rows(options, paths, spec, by_line=True)
        with run.session() as session, _memory(run, wanted, no_cache) as memory:
            _rows(run, session, rows, wanted, memory, kind, resume)
        return
    if len(paths) > 1 and options.output:
        raise UsageError("--output takes one summary", hint="--out jsonl gives several in one file")
    # A wrong path is told before the weights load.
    alone = read_whole(options, paths[0], "summarize") if len(paths) == 1 else None
    with run.session() as session, _memory(run, wanted, no_cache) as memory:
        if alone:
            _one(run, session, alone, wanted, memory)
            return

        def one(document: Document) -> None:
            _one(run, session, document, wanted, memory, heading=True)

        in_turn(run, session.name, paths, "summarize", one)


def _memory(run: Run, wanted: Wanted, without: bool) -> Any:
    """Results of passages that were read before, or nothing: sentences that are taken as they are leave none."""
    from engine.result_cache import ResultCache

    if without or wanted.style == "extractive":
        return contextlib.nullcontext()
    return ResultCache(run.places.cache / "results.db")


def _events(run: Run, session: Any, document: Document, wanted: Wanted, memory: Any) -> Any:
    """The task's events for one document."""
    if wanted.style == "extractive":
        from engine.tasks.extract import extract

        return extract(session, document, length=wanted.length, bullets=wanted.bullets, focus=wanted.focus)
    from engine.tasks.summarize import summarize as summarize_document

    sampling = run.sampling(**DEFAULTS)
    return summarize_document(session, document, sampling=sampling, memory=memory, **wanted.wish)


def _one(run: Run, session: Any, document: Document, wanted: Wanted, memory: Any, heading: bool = False) -> Result:
    read: list[Coverage] = []
    parts: list[dict[str, Any]] = []
    known = 0
    with Progress(run.console, f"reading {document.name}") as progress:

        def on_event(event: Any) -> None:
            nonlocal known
            if isinstance(event, TaskProgress):
                known = event.done
                progress.update(event.done, event.total)
            elif isinstance(event, SummaryPart):
                parts.append({"text": event.text, "first_line": event.first_line, "last_line": event.last_line})
            elif isinstance(event, Coverage):
                read[:] = [event]

        def settled() -> Any:
            with contextlib.closing(_events(run, session, document, wanted, memory)) as events:
                for event in events:
                    if getattr(event, "text", ""):
                        progress.clear()
                    yield event

        def extra() -> dict[str, Any]:
            named = {"name": document.name} | ({"parts": parts} if parts else {})
            return named | ({"given_whole": read[0].given_whole} | coverage_json(read[0]) if read else {})

        if heading and not run.options.json:
            run.console.line(f"## {document.name}\n")
        try:
            result = run.delivery.show(
                settled(),
                model=session.name,
                place=place_of(session),
                extra=extra,
                on_event=on_event,
                waiting="",
            )
        except (KeyboardInterrupt, Terminated):
            progress.clear()
            if known and memory:
                run.console.note("stopped: what was read is kept, and the same command goes on from there")
            raise
    for coverage in read:
        if coverage.given_whole:
            run.console.note(f"{document.name}: {wanted.told_whole(document.text)}")
        else:
            tell_coverage(run.console, coverage, document.name)
    return result


def _rows(
    run: Run, session: Any, rows: list[Row], wanted: Wanted, memory: Any, kind: OutFormat, resume: Path | None
) -> None:
    from engine.tasks.short_text import stays_whole

    short = 0

    def work(texts: list[str]) -> Iterator[tuple[int, Any]]:
        if wanted.style == "extractive":
            for number, text in enumerate(texts):
                events = _events(run, session, Document("the text", text), wanted, memory)
                try:
                    yield number, "".join(event.text for event in events if isinstance(event, Chunk)).strip()
                except EngineError as error:
                    yield number, error
            return
        from engine.tasks.summarize import summarize_rows

        yield from summarize_rows(session, texts, sampling=run.sampling(**DEFAULTS), memory=memory, **wanted.wish)

    def results(texts: list[str]) -> Iterator[tuple[int, dict[str, Any] | EngineError]]:
        nonlocal short
        for number, result in work(texts):
            if isinstance(result, str):
                whole = stays_whole(session, texts[number], wanted.length)
                short += whole
                yield number, {"summary": result, "given_whole": whole}
            else:
                yield number, result

    run_rows(
        run,
        rows,
        results,
        columns=["summary"],
        as_text=lambda row, result: f"{' '.join(result['summary'].split())}\t{row.name}",
        kind=kind,
        asked={"--model": session.name} | {f"--{name}": value for name, value in asdict(wanted).items()},
        resume=resume,
        place=f"{session.name} on {place_of(session)}",
    )
    if short:
        run.console.note(f"{short} of {counted(len(rows), 'row')}: {GIVEN_WHOLE}")
