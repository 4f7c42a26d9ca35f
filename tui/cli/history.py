"""`llm history`: list, search, show, export, import and delete the conversations that are kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from engine.errors import InputError, UsageError
from tui.cli.console import Console, counted, program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand, make_app
from tui.cli.history_file import complete_ids, model_of, open_history
from tui.cli.opening import Run
from tui.cli.options import DECODING, MODEL, Options, takes
from tui.cli.widths import right
from tui.paths import write_output

if TYPE_CHECKING:
    from tui.records import Hit, Kept
    from tui.store import Store

app = make_app(
    "Find, show, export and delete the conversations that are kept.",
    """
    llm history list
    llm history search 电池
    llm history show 12
    llm history export 12 -o chat.md
    llm history rm 12
    llm chat -c                              go on with the last one
    """,
    no_args_is_help=True,
)
One = Annotated[int, typer.Argument(help="A conversation.", autocompletion=complete_ids, metavar="ID")]
Many = Annotated[
    list[int] | None,
    typer.Argument(help="Conversations.", autocompletion=complete_ids, metavar="ID", show_default=False),
]


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"


@app.command("list", cls=HelpfulCommand, epilog="llm history list\nllm history list -n 100 --json")
@takes("json")
def list_(
    options: Options,
    count: Annotated[int, typer.Option("-n", "--count", help="How many.", min=1)] = 20,
) -> None:
    """List conversations: pinned ones (*) first, then the newest."""
    run = Run(options)
    with open_history(run) as store:
        found = store.recent(count + 1)
    if options.json:
        print_json(run.console, [dataclasses.asdict(kept) for kept in found[:count]])
        return
    for kept in found[:count]:
        run.console.line(_row(run.console, kept))
    if not found:
        run.console.note(f"no conversation is kept yet; {program()} chat begins one")
    elif len(found) > count:
        run.console.note(f"there are more: {program()} history list -n {count * 5}")


def _row(console: Console, kept: Kept) -> str:
    mark = "*" if kept.pinned else " "
    messages = right(console.said(counted(kept.messages, "message")), 12)
    return f"{mark}{kept.id:>5}  {_when(kept.updated)}  {messages}  {kept.title}"


@app.command(
    "search", cls=HelpfulCommand, epilog="llm history search 电池\nllm history search 'what eats metal' --meaning"
)
@takes(*(name for name in MODEL if name != "ctx"), "json")
def search(
    options: Options,
    query: Annotated[str, typer.Argument(help="Words, or with --meaning what it is about.", metavar="QUERY")],
    count: Annotated[int, typer.Option("-n", "--count", help="Most hits.", min=1)] = 10,
    meaning: Annotated[bool, typer.Option("--meaning", help="By the model's own embeddings.")] = False,
) -> None:
    """Find messages by their words or by the conversation's title; with --meaning by what they say."""
    run = Run(options)
    if not query.strip():
        raise UsageError("the query is empty", hint="such as: llm history search bees")
    with open_history(run) as store:
        hits = _by_meaning(run, store, query, count) if meaning else store.search(query, count)
    if options.json:
        print_json(run.console, [dataclasses.asdict(hit) for hit in hits])
        return
    for hit in hits:
        run.console.line(f"{hit.conversation}:{hit.message}  {hit.title}\n    {hit.role}: {hit.excerpt}")
    if not hits:
        run.console.note("nothing was found")


def _by_meaning(run: Run, store: Store, query: str, count: int) -> list[Hit]:
    from tui.cli.progress import Progress
    from tui.meaning import catch_up, find

    with run.session() as session, Progress(run.console, "embedding") as progress:
        done = 0
        for fresh, left in catch_up(store, session):
            done += fresh
            progress.update(done, done + left)
        return find(store, session, query, count)


@app.command("show", cls=HelpfulCommand, epilog="llm history show 12\nllm history show 12 --all --json")
@takes("json")
def show(
    options: Options,
    number: One,
    all_: Annotated[bool, typer.Option("--all", help="Every branch, not only the shown one.")] = False,
) -> None:
    """Print a conversation."""
    from tui import transfer

    run = Run(options)
    with open_history(run) as store:
        kept = store.kept(number)
        entries = store.messages(number) if all_ else store.shown(number)
    if options.json:
        print_json(run.console, transfer.to_json(kept, entries))
    else:
        run.console.line(transfer.to_markdown(kept, entries).rstrip("\n"))


@app.command("export", cls=HelpfulCommand, epilog="llm history export 12 -o chat.md\nllm history export -o all.json")
@takes("output")
def export(
    options: Options,
    numbers: Many = None,
    form: Annotated[
        Literal["md", "json"] | None,
        typer.Option("--as", help="Format; by the name of the --output file, or md.", show_default=False),
    ] = None,
) -> None:
    """Write conversations as Markdown or JSON (which `import` reads); all of them without an id."""
    from tui import transfer

    run = Run(options)
    as_json = form == "json" or (form is None and options.output is not None and options.output.suffix == ".json")
    with open_history(run) as store:
        wanted = numbers or [kept.id for kept in _all(store)]
        if not wanted:
            raise UsageError("no conversation is kept yet")
        if as_json:
            rows = [transfer.to_json(store.kept(number), store.messages(number)) for number in wanted]
            text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
        else:
            text = "\n".join(transfer.to_markdown(store.kept(number), store.shown(number)) for number in wanted)
    if options.output is None:
        run.console.line(text.rstrip("\n"))
        return
    write_output(options.output, text.encode())
    run.console.note(f"wrote {options.output}")


def _all(store: Store) -> Iterator[Kept]:
    last = None
    while page := store.recent(200, after=last):
        yield from page
        last = page[-1]


@app.command("import", cls=HelpfulCommand, epilog="llm history import conversations.json\nllm history import chat.json")
@takes(*DECODING, "json")
def import_(
    options: Options,
    path: Annotated[Path, typer.Argument(help="Ours, or conversations.json of a ChatGPT export.", metavar="FILE")],
) -> None:
    """Take conversations in from a file, branches and all: every one of them or, if anything fails, none."""
    from tui import transfer
    from tui.cli.inputs import read_path

    run = Run(options)
    document = read_path(str(path), options.encoding, options.errors)
    found = transfer.read(document.text, document.name)
    incoming = [conversation for conversation in found if conversation.nodes]
    if not incoming:
        raise InputError(f"{document.name} holds no messages")
    with open_history(run) as store, store.together():
        ids = [transfer.put(store, conversation) for conversation in incoming]
    if options.json:
        print_json(run.console, {"imported": ids})
    else:
        run.console.note(f"imported {counted(len(ids), 'conversation')}: {program()} history list")
    if empty := len(found) - len(incoming):
        run.console.note(f"left out {counted(empty, 'conversation')} without a message")


@app.command("rename", cls=HelpfulCommand, epilog="llm history rename 12 'Batteries'")
@takes("json")
def rename(
    options: Options, number: One, title: Annotated[str, typer.Argument(help="Its new title.", metavar="TITLE")]
) -> None:
    """Give a conversation a title."""
    run = Run(options)
    with open_history(run) as store:
        store.rename(number, title)
        kept = store.kept(number)
    if options.json:
        print_json(run.console, dataclasses.asdict(kept))
    else:
        run.console.note(f"{number} is called {kept.title}")


@app.command("pin", cls=HelpfulCommand, epilog="llm history pin 12\nllm history pin 12 --off --json")
@takes("json")
def pin(options: Options, number: One, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False) -> None:
    """Keep a conversation at the head of the list, and whatever its age."""
    run = Run(options)
    with open_history(run) as store:
        store.pin(number, not off)
        kept = store.kept(number)
    if options.json:
        print_json(run.console, dataclasses.asdict(kept))
    else:
        run.console.note(f"{number} is {'no longer pinned' if off else 'pinned'}")


@app.command("rm", cls=HelpfulCommand, epilog="llm history rm 12 13\nllm history rm --all --yes")
@takes("yes", "no_input", "json")
def rm(
    options: Options,
    numbers: Many = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
) -> None:
    """Delete conversations, from the disk as well. Asks on a terminal; elsewhere it needs --yes."""
    run = Run(options)
    if bool(numbers) == all_:
        raise UsageError("name conversations, or give --all", hint=f"{program()} history list names them")
    with open_history(run) as store:
        wanted = [store.kept(number) for number in numbers or [kept.id for kept in _all(store)]]
        named = wanted[0].title if len(wanted) == 1 else f"{len(wanted)} conversations"
        if wanted:
            run.be_sure(f"Delete {named} for good?", f"deleting {named} needs a yes", "nothing was deleted")
        deleted = store.delete([kept.id for kept in wanted])
        store.scrub()
    if options.json:
        print_json(run.console, {"deleted": deleted})
    else:
        run.console.note(f"deleted {counted(deleted, 'conversation')}")


@app.command("replay", cls=HelpfulCommand, epilog="llm history replay 12\nllm history replay 12 --json")
@takes(*MODEL, "json")
def replay(options: Options, number: One) -> None:
    """Draw each answer again as it was drawn, and say whether it is identical or where it differs."""
    from tui.cli.replaying import replayed

    run = Run(options)
    with open_history(run) as store:
        kept, path = store.kept(number), store.shown(number)
    run.settings = run.settings.with_flags({"model": options.model or model_of(kept, path)})
    with run.session() as session:
        results = []
        for result in replayed(session, kept, path):
            results.append(result)
            if not options.json:
                run.console.line(f"{result['message']}  {run.console.said(result['says'])}")
    if options.json:
        print_json(run.console, {"conversation": number, "answers": results})
    if not all(result["identical"] in (True, None) for result in results):
        raise typer.Exit(1)
