"""`llm serve`: keeps a model in memory for the commands that follow, over a socket that only this user can open."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from tui.cli.console import program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand
from tui.cli.opening import Run
from tui.cli.options import MODEL, Options, takes
from tui.cli.warm import hint, socket_of, sole, start

if TYPE_CHECKING:
    pass

EXAMPLES = """
llm serve --background                   then each command starts in a fraction of a second
llm serve --keep-alive 2h
llm serve --status
llm serve --stop
llm config set warm true                 let the first command start it
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", cls=HelpfulCommand, epilog=EXAMPLES)(serve)


@takes(*MODEL, "json")
def serve(
    options: Options,
    keep_alive: Annotated[
        str | None,
        typer.Option(
            "--keep-alive", help="End when nobody came so long: 90s, 30m, 2h, forever.", metavar="TIME",
            show_default=False,
        ),
    ] = None,
    background: Annotated[bool, typer.Option("--background", help="Return when the server is ready.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say what runs; exits 1 if nothing does.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the server that runs.")] = False,
) -> None:  # fmt: skip
    """Keep a model in memory, so that the same commands answer at once. Ctrl-C ends it."""
    run = Run(options)
    if keep_alive is not None:
        run.settings = run.settings.with_flags({"keep_alive": keep_alive})
    if sum((background, status, stop)) > 1:
        raise UsageError("--background, --status and --stop exclude each other")
    from engine.serving import wire

    if not wire.available():
        raise UsageError("this system has no unix sockets, which the server needs")
    if status:
        _status(run)
    elif stop:
        _stop(run)
    elif background:
        _background(run)
    else:
        _serve(run)


def _status(run: Run) -> None:
    from engine.serving.warm import is_running

    found = is_running(socket_of(run.places))
    if run.options.json:
        print_json(run.console, {"running": found is not None, **(found or {})})
    elif found is None:
        run.console.line("no server runs")
    else:
        run.console.line(_described(found))
    if found is None:
        raise typer.Exit(1)


def _described(found: dict[str, Any]) -> str:
    keep = found["keep_alive_seconds"]
    until = "until it is stopped" if keep is None else f"until nobody came for {keep:.0f} s"
    return (
        f"{found['model']} on {found['device']} ({found['kernel']}), context {found['context']} tokens\n"
        f"pid {found['pid']}, up {found['up_seconds']:.0f} s, {found['requests']} requests, "
        f"{found['clients']} clients, {until}"
    )


def _stop(run: Run) -> None:
    from engine.serving.warm import ask_to_stop

    if not ask_to_stop(socket_of(run.places)):
        run.console.note("no server runs")
        return
    waited_until = time.monotonic() + 15
    while time.monotonic() < waited_until:
        with sole(run.places) as free:
            if free:
                run.console.note("stopped")
                return
        time.sleep(0.05)
    raise UsageError("the server did not end within 15 s", hint=f"see its pid: {program()} serve --status")


def _background(run: Run) -> None:
    summary = run.find_model()
    from engine.serving.warm import is_running

    if is_running(socket_of(run.places)) is not None:
        raise UsageError("a server runs already", hint=hint())
    with run.console.spinner(f"loading {summary.name}"):
        problem = start(run, summary.name)
    if problem:
        raise UsageError(f"the server did not start: {problem}")
    run.console.note(f"{summary.name} is ready; {hint()} ends it")


def _serve(run: Run) -> None:
    summary = run.find_model()
    with sole(run.places) as alone:
        if not alone:
            raise UsageError("a server runs already", hint=hint())
        from engine.serving import wire
        from engine.serving.pool import Pool
        from engine.serving.warm import Terms, WarmServer
        from tui.settings import seconds_of

        settings = run.settings
        terms = Terms.of(Path(summary.path), settings["device"], settings["threads"])
        pool = Pool(lambda: run.load_here(summary))
        path = socket_of(run.places)
        with contextlib.closing(wire.listen(path)) as listener:
            server = WarmServer(pool, terms, listener, keep_alive=seconds_of(settings["keep_alive"]))
            try:
                run.console.note(f"{summary.name} is ready for {program()} commands; Ctrl-C ends it")
                server.serve()
            finally:
                path.unlink(missing_ok=True)
                pool.close()
