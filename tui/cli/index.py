"""`llm index`: the files that `llm search` looks in."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import InputError, UsageError
from tui.cli.console import counted, program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand, make_app
from tui.cli.inputs import read_file
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.options import MODEL, READING, Options, takes
from tui.cli.progress import Progress, size
from tui.cli.widths import left
from tui.pages import page_of

if TYPE_CHECKING:
    from engine.index import Index
    from engine.schema import ModelSummary
    from engine.tasks.indexing import FileSeen

app = make_app(
    "Keep texts ready for search: their words, and vectors of what they say.",
    """
    llm index add notes/
    llm index add report.txt 报告.txt
    llm index add                            look again at everything that was added
    llm index list
    llm search "when is the meeting?"
    """,
    no_args_is_help=True,
)
VECTORS = tuple(name for name in MODEL if name != "ctx")
"""Options of what makes vectors: a text may be of any length."""
_NAMED = 10
"""Skipped files told by name; the rest is counted."""
Paths = Annotated[list[str] | None, typer.Argument(help="Files and folders.", metavar="PATH", show_default=False)]


@contextlib.contextmanager
def opened(run: Run) -> Iterator[Index]:
    """The user's index, made where it is missing."""
    from engine.index import Index
    from tui.paths import ensure

    ensure(run.places.index.parent)
    with Index(run.places.index) as index:
        yield index


def absolute(paths: Sequence[str] | None) -> list[str]:
    """Paths as the index knows them, each once. Raises UsageError for one that is no text."""
    for path in paths or []:
        if not path:
            raise UsageError("a path is empty", hint="check the quotes, and the variable that holds it")
    return list(dict.fromkeys(os.path.abspath(path) for path in paths or []))


def shown(path: str) -> str:
    """A path as people would type it here."""
    with contextlib.suppress(ValueError, OSError):  # another drive; a folder that is gone
        relative = os.path.relpath(path)
        if not relative.startswith(".."):
            return relative
    return path


@app.command("add", cls=HelpfulCommand, epilog="llm index add notes/\nllm index add\nllm index add old/ --words")
@takes(*VECTORS, *READING, "json")
def add(
    options: Options,
    paths: Paths = None,
    words: Annotated[bool, typer.Option("--words", help="Words alone: no vectors, no model.")] = False,
) -> None:
    """Read files that are new or changed, folders with all below; without a path, everything added before.

    Hidden files and folders, binary files, and links to folders are left out.
    """
    if words and options.model:
        raise UsageError("--words uses no model: leave out --model")
    run = Run(options)
    model = None if words else _model(run)
    with opened(run) as index:
        roots = absolute(paths) or index.roots()
        if not roots:
            raise UsageError("nothing to index", hint="such as: llm index add notes/ (more: --help)")
        try:
            counts = _read(run, index, roots)
            made = _embed(run, index, model, roots) if model else 0
        except (KeyboardInterrupt, Terminated):
            run.console.note("stopped; what is done is kept, and the same command goes on from here")
            raise
    if options.json:
        print_json(run.console, {**counts, "vectors": made, "model": model.name if model else None})
    if counts["failed"]:
        raise typer.Exit(6)


def _model(run: Run) -> ModelSummary | None:
    """The model that makes vectors; None, and said so, where none is installed and none was asked for."""
    if run.settings["model"] or run.settings["endpoint"] or run.library.names():
        return run.find_model()
    run.console.note(f"no model is installed: words alone; for meaning: {program()} models pull, then index add")
    return None


def _read(run: Run, index: Index, roots: list[str]) -> dict[str, int]:
    from engine.tasks.indexing import add as bring

    counts = dict.fromkeys(("read", "unchanged", "gone", "binary", "linked", "failed"), 0)
    skipped: list[FileSeen] = []
    failed: list[str] = []
    started = time.monotonic()
    pages: list[str] = []
    remembered = set(index.roots())
    with Progress(run.console, "files") as progress:
        text_of = partial(_text, run.options, pages)
        for seen in bring(index, roots, text_of, anew=run.options.html is not None):
            counts[seen.state] += 1
            progress.update(sum(counts.values()))
            if seen.state in {"binary", "linked"}:
                skipped.append(seen)
            elif seen.state == "failed":
                progress.clear()
                failed.append(seen.path)
                _tell_failure(run, seen, asked_before=seen.path in remembered)
    for seen in skipped if run.options.verbose else skipped[:_NAMED]:
        path = shown(seen.path)
        run.console.note(f"skipped, {seen.reason}: {path}" if seen.reason else f"skipped, binary: {path}")
    if len(skipped) > _NAMED and not run.options.verbose:
        run.console.note(f"… and {len(skipped) - _NAMED} more were skipped (-v names all)")
    if failed and (kept := len(index.files(failed))):
        stay = "file stays in the index as it was" if kept == 1 else "files stay in the index as they were"
        run.console.note(f"of what could not be read, {kept} {stay}")
    if pages and not run.options.html:
        one = "page, read as its text; --html source reads it as it is"
        more = "pages, read as their text; --html source reads them as they are"
        run.console.note(f"{len(pages)} web {one if len(pages) == 1 else more}")
    total, elapsed = sum(counts.values()) - counts["gone"] - counts["linked"], max(time.monotonic() - started, 1e-6)
    parts = [f"{count} {word}" for word, count in counts.items() if count or word == "read"]
    run.console.note(f"{counted(total, 'file')} in {elapsed:.1f} s, {total / elapsed:.0f} files/s: {', '.join(parts)}")
    return counts


def _text(options: Options, pages: list[str], path: str) -> str:
    """What a file says; `pages` gets those that are web pages. One that a script writes says nothing."""
    document = read_file(path, options.encoding, options.errors)
    try:
        page = page_of(document, options.html)
    except InputError:
        return ""
    if page:
        pages.append(path)
    return (page or document).text


def _tell_failure(run: Run, seen: FileSeen, *, asked_before: bool) -> None:
    path = shown(seen.path)
    reason = seen.reason.replace(seen.path, path).removeprefix(f"can't read {path}: ")
    gone_for_good = asked_before and not os.path.lexists(seen.path)
    run.console.error(path, reason, f"to forget it: llm index rm {shlex.quote(path)}" if gone_for_good else "")


def _embed(run: Run, index: Index, model: ModelSummary, roots: list[str]) -> int:
    """Make missing vectors; returns how many."""
    name = run.vectors_of(model)
    if not index.without_vector(name, roots):
        return 0
    others = [other.split()[0] for other in index.models() if other != name]
    if others:
        run.console.note(f"vectors of {', '.join(others)} here are made again with {model.name}")
    from engine.tasks.indexing import embed_missing

    started, done = time.monotonic(), 0
    session = run.load(model)
    try:
        with Progress(run.console, "passages") as progress:
            for done, total in embed_missing(index, session, name, roots):
                progress.update(done, total)
    finally:
        session.close()
    elapsed = max(time.monotonic() - started, 1e-6)
    passages = counted(done, "passage")
    run.console.note(f"{passages} embedded with {model.name} in {elapsed:.1f} s, {done / elapsed:.1f}/s")
    return done


@app.command("list", cls=HelpfulCommand, epilog="llm index list\nllm index list notes/ --json")
@takes("json")
def list_(options: Options, paths: Paths = None) -> None:
    """List the indexed files with their passages."""
    run = Run(options)
    files = []
    if run.places.index.exists():
        with opened(run) as index:
            files = index.files(absolute(paths))
    if options.json:
        print_json(run.console, [dataclasses.asdict(file) for file in files])
        return
    for file in files:
        run.console.line(f"{file.passages:>6}  {size(file.size):>9}  {shown(file.path)}")
    if not files:
        run.console.note(f"nothing is indexed{' there' if paths else ''}; add files with: {program()} index add PATH")


@app.command("rm", cls=HelpfulCommand, epilog="llm index rm notes/\nllm index rm --all --yes")
@takes("json", "yes", "no_input")
def rm(
    options: Options,
    paths: Paths = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
) -> None:
    """Forget files: their words, passages and vectors leave the index. The files themselves stay."""
    if bool(paths) == all_:
        raise UsageError("name files or folders to forget, or --all", hint="such as: llm index rm notes/")
    run = Run(options)
    if not run.places.index.exists():
        raise InputError("nothing is indexed: there is nothing to forget", hint=f"{program()} index add PATH")
    with opened(run) as index:
        below = absolute(paths)
        files = index.files(below)
        if not files and not all_ and not set(below) & set(index.roots()):
            raise InputError(f"nothing is indexed at {', '.join(paths or [])}", hint="llm index list shows what is")
        if all_:
            question = f"Forget all that is indexed, {counted(len(files), 'file')}?"
            run.be_sure(question, "forgetting all that is indexed needs a yes", "nothing was removed")
        removed = index.remove_below(below)
    run.console.note(f"forgot {counted(removed, 'file')}")
    if options.json:
        print_json(run.console, {"removed": removed})


@app.command("stats", cls=HelpfulCommand, epilog="llm index stats\nllm index stats --json")
@takes("json")
def stats(options: Options) -> None:
    """Say how much is indexed, and with which models."""
    run = Run(options)
    facts: dict[str, Any] = {
        "path": str(run.places.index), "bytes": 0, "roots": [], "files": 0, "passages": 0, "vectors": {}
    }  # fmt: skip
    if run.places.index.exists():
        with opened(run) as index:
            files = index.files()
            vectors = Counter[str]()
            for model, count in index.models().items():
                vectors[model.split()[0]] += count
            facts |= {
                "bytes": run.places.index.stat().st_size,
                "roots": index.roots(),
                "files": len(files),
                "passages": sum(file.passages for file in files),
                "vectors": dict(vectors),
            }
    if options.json:
        print_json(run.console, facts)
        return
    facts["bytes"] = size(facts["bytes"])
    facts["roots"] = ", ".join(map(shown, facts["roots"])) or "-"
    facts["vectors"] = ", ".join(f"{count} of {model}" for model, count in facts["vectors"].items()) or "0"
    for name, value in facts.items():
        run.console.line(f"{left(run.console.said(name), 9)} {run.console.said(str(value))}")
