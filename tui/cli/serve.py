"""`llm serve`: keeps a model in memory for the commands that follow, over a socket that only this user can open."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import EngineError, UsageError
from tui.cli.console import program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand
from tui.cli.opening import Run
from tui.cli.options import MODEL, Options, takes
from tui.cli.warm import hint, socket_of, sole, start
from tui.paths import write_private

if TYPE_CHECKING:
    from engine.serving.http import HttpServer
    from engine.serving.warm import WarmServer

EXAMPLES = """
llm serve --background                   then each command starts in a fraction of a second
llm serve --keep-alive 2h
llm serve --http                         for editors: the OpenAI-compatible API on this machine
llm serve --status
llm serve --stop
llm config set warm true                 let the first command start it
"""

PORT = 8757


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", cls=HelpfulCommand, epilog=EXAMPLES)(serve)


@takes(*(name for name in MODEL if name not in {"adapter", "endpoint"}), "json")
def serve(
    options: Options,
    keep_alive: Annotated[
        str | None,
        typer.Option(
            "--keep-alive", help="End when nobody came so long: 90s, 2h, forever; 30m unless told.", metavar="TIME",
            show_default=False,
        ),
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Speak the OpenAI-compatible HTTP API as well.")] = False,
    host: Annotated[str, typer.Option("--host", help="Address for --http.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port for --http; 0: any that is free.", metavar="N", min=0, max=65535)
    ] = PORT,
    expose: Annotated[bool, typer.Option("--expose", help="Let --host be an address that others reach.")] = False,
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
    address = (host, port) if http else None
    if address:
        _check_host(host, expose)
    elif expose or (host, port) != ("127.0.0.1", PORT):
        raise UsageError("--host, --port and --expose belong to --http")
    if status:
        _status(run)
    elif stop:
        _stop(run)
    elif background:
        _background(run, [f"--host={host}", f"--port={port}", "--http", *["--expose"] * expose] if http else [])
    else:
        _serve(run, address)


def _check_host(host: str, expose: bool) -> None:
    """Raises UsageError for an address that is none, or that others reach though nobody said they may."""
    from engine.serving.http import is_loopback

    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise UsageError(f"--host expects an IP address such as 127.0.0.1, got {host!r}") from error
    if not is_loopback(host) and not expose:
        raise UsageError(
            f"{host} can be reached by other machines, and HTTP is not encrypted", hint="--expose if that is meant"
        )


def _token(run: Run) -> str:
    """The token of the HTTP server: made once, in a file that only this user can read."""
    path = run.places.token_file
    try:
        status = os.stat(path)
        token = path.read_text("ascii").strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        write_private(path, f"{token}\n".encode())
        return token
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{path} can't be read: {error}", hint="remove it: a new token is made") from error
    if len(token) < 32:
        raise EngineError(f"{path} holds no token of ours", hint="remove it: a new one is made")
    if os.name == "posix" and status.st_mode & 0o077:
        raise EngineError(f"{path} can be read by others", hint=f"chmod 600 {path}, or remove it for a new token")
    return token


def _status(run: Run) -> None:
    from engine.serving.warm import is_running

    found = is_running(socket_of(run.places))
    if run.options.json:
        print_json(run.console, {"running": found is not None, **(found or {})})
    elif found is None:
        run.console.line(run.console.said("no server runs"))
    else:
        run.console.line(run.console.said(_described(found)))
    if found is None:
        raise typer.Exit(1)


def _described(found: dict[str, Any]) -> str:
    keep = found["keep_alive_seconds"]
    until = "until it is stopped" if keep is None else f"until nobody came for {keep:.0f} s"
    return (
        f"{found['model']} on {found['device']} ({found['kernel']}), context {found['context']} tokens\n"
        f"pid {found['pid']}, up {found['up_seconds']:.0f} s, {found['requests']} requests, "
        f"{found['clients']} clients, {until}"
        + (f"\n{found['url']}, token in {found['token_file']}" if "url" in found else "")
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
    raise EngineError("the server did not end within 15 s", hint=f"see its pid: {program()} serve --status")


def _background(run: Run, extra: list[str]) -> None:
    summary = run.find_installed()
    from engine.serving.warm import is_running

    if is_running(socket_of(run.places)) is not None:
        raise UsageError("a server runs already", hint=hint())
    with run.console.spinner(f"loading {summary.name}"):
        start(run.places, run.settings, summary.name, *extra)
    found = is_running(socket_of(run.places)) or {}
    run.console.note(f"{summary.name} is ready{_at(found)}; {hint()} ends it")


def _at(found: dict[str, Any]) -> str:
    return f" at {found['url']} (token in {found['token_file']})" if "url" in found else ""


def _serve(run: Run, address: tuple[str, int] | None) -> None:
    summary = run.find_installed()
    with sole(run.places) as alone:
        if not alone:
            raise UsageError("a server runs already", hint=hint())
        from engine.serving import wire
        from engine.serving.pool import Pool
        from engine.serving.warm import Terms, WarmServer
        from tui.settings import seconds_of

        settings = run.settings
        terms = Terms.of(Path(summary.path), settings["device"], settings["threads"])
        with _http(run, address) as http:
            pool = Pool(lambda: run.load_here(summary))
            path = socket_of(run.places)
            with contextlib.closing(wire.listen(path)) as listener:
                server = WarmServer(pool, terms, listener, keep_alive=seconds_of(settings["keep_alive"]))
                try:
                    with _answering(run, server, http):
                        at = _at(server.facts)
                        run.console.note(f"{summary.name} is ready for {program()} commands{at}; Ctrl-C ends it")
                        server.serve()
                finally:
                    path.unlink(missing_ok=True)
                    pool.close()


def _http(run: Run, address: tuple[str, int] | None) -> HttpServer | contextlib.nullcontext[None]:
    """The HTTP server beside the socket, if there is one. Raises EngineError where the port can't be had."""
    if address is None:
        return contextlib.nullcontext()
    from engine.serving.http import HttpServer

    try:
        return HttpServer(*address, _token(run))
    except OSError as error:  # the command line was right: another program has the port
        elsewhere = error.errno == errno.EADDRNOTAVAIL
        hint = "give --host an address of this machine, such as 127.0.0.1" if elsewhere else "try --port 0"
        raise EngineError(f"{address[0]} port {address[1]}: {error.strerror or error}", hint=hint) from error


@contextlib.contextmanager
def _answering(run: Run, server: WarmServer, http: HttpServer | None) -> Iterator[None]:
    """While it is entered, the HTTP server takes requests, if there is one."""
    if http is None:
        yield
        return
    from engine.serving.api import Api

    server.facts = {"url": http.url, "token_file": str(run.places.token_file)}
    with http.answering(Api(server.pool), server):
        yield
