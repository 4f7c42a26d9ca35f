"""`llm chat`: a conversation, line by line. Without a terminal each line of stdin is a turn."""

from __future__ import annotations

import typer

from engine.schema import Document
from tui import commands
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import read_file, text_or_file
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.options import DECODING, MODEL, SAMPLING, Options, takes

EXAMPLES = """
llm chat
llm chat -m qwen2.5-coder-1.5b-instruct -s "Answer briefly."
llm chat -f notes.txt
printf 'My name is Ada.\\nWhat is my name?\\n' | llm chat
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("chat", cls=HelpfulCommand, epilog=EXAMPLES)(chat)


@takes(*MODEL, "system", *SAMPLING, "file", *DECODING, "raw", "md", "stats")
def chat(options: Options) -> None:
    """Talk with a model. /help in the chat lists its words; Ctrl-C stops an answer, Ctrl-D leaves."""
    run = Run(options)
    system = text_or_file(run.settings["system"], "--system") if run.settings["system"] else None
    given = [read_file(path, options.encoding, options.errors) for path in options.file or []]
    summary = run.find_model()
    from tui.cli import slash
    from tui.cli.conversation import Conversation
    from tui.cli.prompt import open_lines
    from tui.cli.repl import converse
    from tui.cli.turns import Chat, place

    lines = open_lines(run.places.history_file, run.library.names)
    session = run.load(summary)
    pending = [Document(document.name, document.text) for document in given]
    talk = Chat(run, session, lines, Conversation(system, pending=pending))
    try:
        if lines.interactive:
            run.console.note(f"{session.name} on {place(talk)} · /help lists the words · Ctrl-D leaves")
        code = converse(talk)
    except Terminated:
        if talk.conversation.turns:
            slash.obey(talk, commands.find("save"), "")
        raise
    finally:
        talk.session.close()
    if code:
        raise typer.Exit(code)
