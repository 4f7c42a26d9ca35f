"""`llm paths`: where everything is kept, and how much room it takes."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from tui.cli.console import Console
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand
from tui.cli.options import Options, takes
from tui.cli.progress import size
from tui.cli.widths import left
from tui.paths import HOME_VARIABLE, places

EXAMPLES = """
llm paths
llm paths --json
LOCAL_LLM_HOME=/data/llm llm paths
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("paths", cls=HelpfulCommand, epilog=EXAMPLES)(paths)


def bytes_in(path: Path) -> int | None:
    """Bytes of a file or of all files in a folder; None if it does not exist. Links are not followed."""
    try:
        if not path.is_dir():
            return path.lstat().st_size
    except OSError:
        return None
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return total


@takes("json")
def paths(options: Options) -> None:
    """Print the folders and files of this program, with their sizes."""
    console = Console(options.color or "auto", quiet=options.quiet)
    found = {name: (path, bytes_in(path)) for name, path in places().named().items()}
    if options.json:
        print_json(console, {name: {"path": str(path), "bytes": held} for name, (path, held) in found.items()})
        return
    for name, (path, held) in found.items():
        console.line(f"{left(console.said(name), 8)}{'-' if held is None else size(held):>10}  {path}")
    if moved := os.environ.get(HOME_VARIABLE):
        console.note(f"moved by {HOME_VARIABLE}={moved}")
