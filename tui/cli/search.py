"""`llm search`: the passages of indexed files that answer a query, as grep would print them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import InputError, UsageError
from tui.cli.console import counted, program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand
from tui.cli.index import VECTORS, Paths, absolute, opened, shown
from tui.cli.inputs import argument_text
from tui.cli.opening import Run
from tui.cli.options import Options, takes

if TYPE_CHECKING:
    from engine.index import Index
    from engine.schema import ModelSummary
    from engine.session import Session
    from engine.tasks.search import Hit

EXAMPLES = """
llm search "when is the meeting?"
llm search 会议什么时候开 notes/ -n 5
llm search deadline --words
llm search "how to undo a commit" --meaning --json
"""
_WIDTH = 160
"""Characters of a line that are shown."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search", cls=HelpfulCommand, epilog=EXAMPLES)(search)


@takes(*VECTORS, "json")
def search(
    options: Options,
    query: Annotated[str, typer.Argument(help="What to look for, in words of any kind.", metavar="QUERY")],
    paths: Paths = None,
    count: Annotated[int, typer.Option("-n", "--count", help="Most hits.", metavar="N", min=1)] = 10,
    words: Annotated[bool, typer.Option("--words", help="By words alone: quick, no model.")] = False,
    meaning: Annotated[bool, typer.Option("--meaning", help="By meaning alone.")] = False,
) -> None:
    """Find passages in the indexed files, by words and meaning. Prints FILE:LINE: LINE SCORE, the best first."""
    if words and meaning:
        raise UsageError("--words and --meaning exclude each other; without either, both count")
    if words and options.model:
        raise UsageError("--words uses no model: leave out --model")
    if not argument_text(query, "the query").strip():
        raise UsageError("the query is empty", hint='such as: llm search "notice period"')
    run = Run(options)
    if not run.places.index.exists():
        raise InputError("nothing is indexed yet", hint=f"{program()} index add PATH")
    with opened(run) as index:
        under = absolute(paths)
        if not index.count(under=under)[0]:
            where = f"at {', '.join(paths)}" if paths else "yet"
            raise InputError(f"nothing is indexed {where}", hint=f"{program()} index add {(paths or ['PATH'])[0]}")
        from engine.tasks.search import search as find

        model = None if words else _model(run, index, under, needed=meaning)
        with run_session(run, model) as session:
            name = run.vectors_of(model) if model else ""
            hits = find(index, query, count=count, session=session, model=name, words=not meaning, under=under)
    if options.json:
        mode = "words" if model is None else "meaning" if meaning else "both"
        rows = [dataclasses.asdict(hit) for hit in hits]
        print_json(run.console, {"query": query, "model": model.name if model else None, "by": mode, "hits": rows})
    else:
        for hit in hits:
            _print(run, query, hit)
    if not hits:
        run.console.note("nothing was found")
    _tell_changes(run, hits)


@contextlib.contextmanager
def run_session(run: Run, model: ModelSummary | None) -> Any:
    """The model's session; None without a model, and then torch is not loaded."""
    session: Session | None = run.load(model) if model else None
    try:
        yield session
    finally:
        if session:
            session.close()


def _model(run: Run, index: Index, under: list[str], *, needed: bool) -> ModelSummary | None:
    """The model whose vectors are there; else None, and why. Raises InputError where they are `needed`."""
    if run.settings["model"] or run.settings["endpoint"] or run.library.names() or needed:
        model = run.find_model()
        passages, vectors = index.count(run.vectors_of(model), under)
        if vectors:
            if vectors < passages:
                left = f"{passages - vectors} of {counted(passages, 'passage')}"
                run.console.note(f"found by words alone: {left}, until: {_again(run)}")
            return model
        others = sorted({other.split()[0] for other in index.models()})
        why = f"the index has vectors of {', '.join(others)}" if others else "the index has no vectors"
        if model.name in others:
            why = f"{model.name} was changed since the index was made"
    else:
        why = "no model is installed"
    if needed:
        raise InputError(f"can't search by meaning: {why}", hint=_again(run))
    run.console.note(f"by words alone: {why}" + (f"; for meaning: {_again(run)}" if run.library.names() else ""))
    return None


def _again(run: Run) -> str:
    return f"{program()} index add" + (f" -m {run.options.model}" if run.options.model else "")


def _print(run: Run, query: str, hit: Hit) -> None:
    from engine.words import excerpt, words_of

    console = run.console
    place = console.styled(console.seen(shown(hit.path)), "green", sys.stdout) + f":{hit.line}:"
    score = console.styled(f"{hit.score:.2f}", "dim", sys.stdout)
    best = excerpt(hit.best, words_of(query), _WIDTH)
    console.write(f"{place} {console.seen(best)}  {score}\n")


def _tell_changes(run: Run, hits: list[Hit]) -> None:
    changed = set()
    for hit in hits:
        try:
            status = os.stat(hit.path)
            if (status.st_size, status.st_mtime_ns) != (hit.size, hit.mtime_ns):
                changed.add(hit.path)
        except OSError:
            changed.add(hit.path)
    if changed:
        run.console.note(
            f"changed or gone since: {', '.join(shown(path) for path in sorted(changed))}; "
            f"look again with: {program()} index add"
        )
