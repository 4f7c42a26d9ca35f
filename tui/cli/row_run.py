"""A task over rows: their options, the work in one model load, progress, and the exit code when some failed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import EngineError, UsageError
from tui.cli.console import counted
from tui.cli.deliver import save
from tui.cli.opening import Run
from tui.cli.progress import Progress
from tui.cli.row_journal import Journal
from tui.cli.row_output import OutFormat, Result, RowOutput, appending
from tui.cli.row_settings import Asked, alone_with, check, remember
from tui.cli.rows import Row

Work = Callable[[list[str]], Iterator[tuple[int, Result | EngineError]]]
"""Texts in; for each, in any order, its number and what came of it."""

InSpec = Annotated[
    str | None,
    typer.Option(
        "--in", help="Rows: lines, csv:COLUMN, tsv:COLUMN or jsonl:FIELD.", metavar="SPEC", show_default=False
    ),
]
OutSpec = Annotated[
    OutFormat | None,
    typer.Option("--out", help="Format of the rows; text unless told, jsonl with --resume.", show_default=False),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        help="Write rows to this file; rows it holds are not done again.",
        metavar="FILE",
        show_default=False,
    ),
]


def out_format(run: Run, out: OutFormat | None, resume: Path | None) -> OutFormat:
    """The format asked for. Raises UsageError for options that contradict each other."""
    options = run.options
    if options.json and out not in {None, "jsonl"}:
        raise UsageError(f"--json and --out {out} ask for two formats")
    kind: OutFormat = "jsonl" if options.json else out or ("jsonl" if resume else "text")
    if resume and kind == "text":
        raise UsageError("--resume needs --out csv, tsv or jsonl: text does not say which row it is")
    if resume and options.output:
        raise UsageError("--resume names the output file: --output can't name another")
    if resume == Path("-"):
        raise UsageError("--resume names a file that a later run goes on with: - is none")
    if options.timeout is not None:
        raise UsageError("--timeout is for documents, not for rows")
    return kind


def run_rows(
    run: Run,
    rows: Sequence[Row],
    work: Work,
    *,
    columns: Sequence[str],
    as_text: Callable[[Row, Result], str],
    kind: OutFormat,
    asked: Asked,
    resume: Path | None = None,
    place: str = "",
) -> None:
    """Do all rows and write them in order. A single row's error is raised; among several it exits with 6.

    `asked`: what the results depend on. `place`: model and device, for `--stats`.
    """
    asked = {"--adapter": str(run.adapter or "")} | {**asked}
    lines: list[str] = []
    write: Callable[[str], object] = lines.append if run.options.output else run.console.answer
    output = RowOutput(kind, rows, [*columns, "error"], write, as_text)
    with contextlib.ExitStack() as stack:
        if resume:
            stack.enter_context(alone_with(resume))
            journal = _go_on(run, output, resume, asked, stack, Journal(resume, rows, columns, asked))
        else:
            output.begin()
        on_screen = run.console.stdout_is_terminal and not (resume or run.options.output)
        try:
            _work(run, rows, work, output, place, on_screen)
        except KeyboardInterrupt:
            if run.options.output:
                run.console.warn(f"stopped: {run.options.output} was not written")
            raise
        if resume:
            journal.remove()
    if run.options.output:
        save(run.console, run.options.output, "".join(lines))
    if output.failed:
        run.console.note(f"{output.failed} of {counted(len(rows), 'row')} failed")
        raise typer.Exit(6)


def _go_on(
    run: Run, output: RowOutput, path: Path, asked: Asked, stack: contextlib.ExitStack, journal: Journal
) -> Journal:
    """Write to a file from where an earlier run left it."""
    done, size = output.resume(path)
    if done:
        check(path, asked)
    output.to(stack.enter_context(appending(path, size, run.console)), stack.enter_context(journal))
    remember(path, asked)
    if not size:
        output.begin()
    kept = output.restore()
    more = f", {journal.path.name} {kept} that waited" if kept else ""
    if done or kept:
        run.console.note(f"{path} holds {done} of {counted(output.total, 'row')}{more}: going on after them")
    return journal


def _work(run: Run, rows: Sequence[Row], work: Work, output: RowOutput, place: str, on_screen: bool) -> None:
    """The rows that are not written yet; `on_screen`: they appear where the bar is."""
    started = time.monotonic()
    before = sum(output.has(index) for index in range(len(rows)))
    todo: list[int] = []
    for index in range(len(rows)):
        if output.has(index):
            continue
        if rows[index].error:
            run.console.error(rows[index].name, rows[index].error)
            output.put(index, {"error": rows[index].error})
        else:
            todo.append(index)
    done = len(rows) - len(todo)
    with Progress(run.console, "rows") as progress, contextlib.ExitStack() as waiting:
        # No count moves before the first row is done, and that may be a whole book.
        waiting.enter_context(run.console.spinner("reading"))
        for number, result in work([rows[index].text for index in todo]):
            waiting.close()
            index = todo[number]
            if isinstance(result, EngineError):
                if len(rows) == 1:
                    raise result
                progress.clear()
                run.console.error(rows[index].name, result.message, result.hint)
                result = {"error": result.message}  # noqa: PLW2901
            if on_screen:
                progress.clear()
            output.put(index, result)
            done += 1
            if len(rows) > 1:
                progress.update(done, len(rows))
    count, elapsed = len(rows) - before, max(time.monotonic() - started, 1e-6)
    if count > 1 or run.settings["stats"]:
        where = f"{place} · " if run.settings["stats"] and place else ""
        done_now = f"{counted(count, 'row')} in {elapsed:.1f} s"
        run.console.note(f"{where}{done_now}, {count / elapsed:.1f} rows/s")
