"""`llm doctor`: what runs when you type `llm`, what this machine can do, and whether it really works offline."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from tui.cli import examine
from tui.cli.deliver import print_json
from tui.cli.examine import Finding
from tui.cli.help import HelpfulCommand
from tui.cli.opening import Run
from tui.cli.options import MODEL, Options, takes
from tui.cli.widths import left
from tui.paths import places
from tui.settings import Settings

EXAMPLES = """
llm doctor
llm doctor --json
llm doctor --no-run
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", cls=HelpfulCommand, epilog=EXAMPLES)(doctor)


@takes(*(name for name in MODEL if name != "endpoint"), "json")
def doctor(
    options: Options,
    no_run: Annotated[bool, typer.Option("--no-run", help="Do not load a model.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Hash every file of every model.")] = False,
) -> None:
    """Look at the installation, the machine and the models. Exits 1 if something is broken."""
    settings, broken_settings = Settings.examine(places().config_file)
    run = Run(options, settings)
    findings: list[Finding] = []
    for look in (
        lambda run: examine.settings(run, broken_settings),
        examine.commands_on_path,
        examine.python,
        examine.torch,
        examine.memory,
        examine.devices,
        examine.folders,
        lambda run: examine.models(run, full=full),
        *(() if no_run else (examine.generation,)),
    ):
        with run.console.spinner("looking"):
            found = look(run)
        findings += found
        if not options.json:
            for finding in found:
                _print(run, finding)
    broken = [finding for finding in findings if finding.status == "fail"]
    if options.json:
        print_json(run.console, {"ok": not broken, "checks": [dataclasses.asdict(finding) for finding in findings]})
    if broken:
        raise typer.Exit(1)


def _print(run: Run, finding: Finding) -> None:
    style = {"ok": "green", "note": "yellow", "fail": "red"}[finding.status]
    console = run.console

    def said(text: str) -> str:
        return console.seen(console.said(text))

    status = console.styled(left(said(finding.status), 5), style, sys.stdout)
    text = f"\n{'':17}".join(map(said, finding.text.split("\n")))
    console.write(f"{status}{left(said(finding.name), 12)}{text}\n")
    if finding.hint:
        console.write(f"{'':17}→ {said(finding.hint)}\n")
