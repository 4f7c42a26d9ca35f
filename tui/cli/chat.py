"""`llm chat`: a conversation, line by line. Without a terminal each line of stdin is a turn."""

from __future__ import annotations

import os
import shutil
from typing import Annotated, Literal

import typer

from engine.errors import UsageError
from tui import commands
from tui.cli.console import Console, counted, program
from tui.cli.help import HelpfulCommand
from tui.cli.history_file import chosen, complete_ids, open_history, take_its_model
from tui.cli.inputs import as_read, read_file, text_or_file
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.options import MODEL, READING, SAMPLING, Options, takes
from tui.cli.widths import columns as wide

LangChoice = Literal["auto", "en", "zh"]
EXAMPLES = """
llm chat
llm chat --plain
llm chat -m qwen2.5-coder-1.5b-instruct -s "Answer briefly."
llm chat -c
llm chat -c 12
llm chat -f notes.txt
printf 'My name is Ada.\\nWhat is my name?\\n' | llm chat
"""


def wants_app(run: Run, *, plain: bool) -> bool:
    """Whether the full-screen app fits: a person at a terminal that can move its cursor."""
    if plain or run.options.raw or run.options.no_input or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        return False
    console = run.console  # the app draws on stderr, so that stdout stays free
    return console.stdin_is_terminal and console.stdout_is_terminal and console.stderr_is_terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("chat", cls=HelpfulCommand, epilog=EXAMPLES)(chat)


@takes(*MODEL, "system", *SAMPLING, "file", *READING, "raw", "md", "stats")
def chat(
    options: Options,
    which: Annotated[
        int | None,
        typer.Argument(
            help="With -c: the conversation to go on with.",
            metavar="ID",
            show_default=False,
            autocompletion=complete_ids,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("-c", "--continue", help="Go on with the last conversation, or with ID.")
    ] = False,
    number: Annotated[
        int | None,
        typer.Option("--id", help="The same as -c ID.", metavar="ID", show_default=False),
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="Keep nothing of this conversation.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Line by line, for screen readers too; no app.")] = False,
    lang: Annotated[LangChoice | None, typer.Option("--lang", help="Language of the app's own words.")] = None,
) -> None:
    """Talk with a model. On a terminal a full-screen app opens, else it goes line by line; F1 or /help explains."""
    if which is not None and not resume:
        raise UsageError(f"{which} is the number of a conversation", hint=f"{program()} chat -c {which}")
    if which is not None and number not in {None, which}:
        raise UsageError(f"-c {which} and --id {number} are two conversations", hint="give one of them")
    number = number if which is None else which
    run = _chatting(Run(options, lang=lang))
    system = text_or_file(run.settings["system"], "--system") if run.settings["system"] else None
    if no_save and (resume or number is not None):
        raise UsageError("--no-save can't go on with what is kept", hint="leave one of them out")
    given = [as_read(read_file(path, options.encoding, options.errors), options.html) for path in options.file or []]
    store = None if no_save or not run.settings["history"] else open_history(run)
    wanted = chosen(store, resume=resume, number=number)
    gone = take_its_model(run, store, wanted) if store and wanted else ""
    if wants_app(run, plain=plain):
        from tui.cli.full_screen import model_for_app, open_app

        raise typer.Exit(open_app(run, model_for_app(run), system, given, store, wanted, gone))
    summary = run.find_model()
    from tui.cli import slash
    from tui.cli.deliver import place_of
    from tui.cli.line_chat import Chat
    from tui.cli.prompt import open_lines
    from tui.cli.repl import converse
    from tui.keeper import Keeper
    from tui.talk import Talk

    lines = open_lines(run.places.history_file, run.library.names)
    session = run.load(summary)
    line_chat = Chat(run, session, lines, Keeper(store), Talk(system), given)
    try:
        if wanted is not None:
            line_chat.talk = line_chat.keeper.open(wanted)
            messages = counted(len(line_chat.talk.path), "message")
            run.console.note(f"resumed {wanted}: {messages}; /load takes up another")
            if gone:
                run.console.note(f"{gone} wrote it and is not installed: {session.name} goes on")
        if lines.interactive:
            columns = shutil.get_terminal_size((80, 24)).columns
            run.console.quote(banner(run.console, f"{session.name} on {place_of(session)}", columns))
        code = converse(line_chat)
    except Terminated:
        if line_chat.talk.path and store is None and not no_save:
            slash.obey(line_chat, commands.find("save"), "")
        raise
    finally:
        line_chat.session.close()
        if store:
            store.close()
    if code:
        raise typer.Exit(code)


def _chatting(run: Run) -> Run:
    """With the model that chats, where there is one and no other was named."""
    if not run.options.model and not run.settings["endpoint"]:
        run.settings = run.settings.with_flags({"model": run.settings["chat_model"]})
    return run


def banner(console: Console, where: str, columns: int) -> str:
    """What the line chat begins with: one line, or as many as a narrow terminal needs."""
    lines = [console.said(where)]
    for part in (console.said("/help lists the words"), console.said("Ctrl-D leaves")):
        together = f"{lines[-1]} · {part}"
        if wide(together) < columns:
            lines[-1] = together
        else:
            lines.append(part)
    return "\n".join(lines)
