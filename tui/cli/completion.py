"""`llm completion`: Tab completion of commands, options and model names, for both of our names at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.errors import UsageError
from tui.cli.console import Console
from tui.cli.help import HelpfulCommand
from tui.cli.options import Options, takes

NAMES = ("llm", "local-llm")
EXAMPLES = """
llm completion
llm completion zsh
llm completion bash --show
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("completion", cls=HelpfulCommand, epilog=EXAMPLES)(completion)


@takes()
def completion(
    options: Options,
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell"] | None,
        typer.Argument(help="The shell; yours unless told.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the script; install nothing.")] = False,
) -> None:
    """Install Tab completion for llm and local-llm."""
    from typer import completion as typers

    console = Console(options.color or "auto", quiet=options.quiet)
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    if chosen not in {"bash", "zsh", "fish", "powershell"}:
        raise UsageError("your shell was not recognized", hint="name it: llm completion bash")
    if chosen == "powershell" and not show:  # installing it would loosen the user's execution policy
        raise UsageError(
            "for PowerShell, put the script into $PROFILE yourself", hint="llm completion powershell --show"
        )
    for name in NAMES:
        variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
        if show:
            console.line(typers.get_completion_script(prog_name=name, complete_var=variable, shell=chosen))  # type: ignore[attr-defined]
            continue
        used, path = typers.install(shell=chosen, prog_name=name, complete_var=variable)  # type: ignore[attr-defined]
        console.note(f"{name}: {used} completion installed in {path}; it takes effect in a new terminal")
