"""The command `llm` (also `local-llm`): all groups in one Typer app, and errors turned into exit codes."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from engine.errors import CheckpointError, EngineError, InputTooLong, ModelNotFound, OutputError, UsageError
from tui.cli.console import Console, current, note_console, program
from tui.cli.help import in_chinese, make_app
from tui.cli.interrupt import Terminated, raise_on_sigterm
from tui.cli.lazy import Entry, LazyGroup

if TYPE_CHECKING:
    from engine.schema import Language


class Commands(LazyGroup):
    """Every command, in the order of the help."""

    TABLE: ClassVar[dict[str, Entry]] = {
        "ask": Entry("Answer a question."),
        "chat": Entry("Talk with a model."),
        "complete": Entry("Continue a text, raw."),
        "summarize": Entry(
            "Summarize each text, all of it, in chunks if it is long; one no longer than its summary comes out whole."
        ),
        "translate": Entry("Translate each text; code, addresses and Markdown's marks stay as they are."),
        "sentiment": Entry("Judge texts."),
        "classify": Entry("Sort texts under labels."),
        "batch": Entry("Run one prompt for each row, several at once; order is kept, and an error stays in its row."),
        "finetune": Entry("Teach a model on rows of your own (an adapter), or train a small one from nothing."),
        "tokens": Entry("Count the tokens of a text."),
        "eval": Entry(
            "Measure a task on rows with known answers: figures with 95% intervals (bootstrap), and rows/s.",
            module="evaluate",
        ),
        "bench": Entry("Measure how fast a model is on this machine: medians of rounds, with their spread."),
        "doctor": Entry("Look at the installation, the machine and the models."),
        "paths": Entry("Print the folders and files of this program, with their sizes."),
        "completion": Entry("Install Tab completion for llm and local-llm."),
        "embed": Entry("Print a vector of length 1 for each text, as JSONL."),
        "search": Entry("Find passages in the indexed files, by words and meaning."),
        "history": Entry("Find, show, export and delete the conversations that are kept."),
        "serve": Entry("Keep a model in memory, so that the same commands answer at once."),
        "demo": Entry("Show the main job on bundled texts.", hidden=True),
        "models": Entry("Get, list, show and remove models."),
        "config": Entry("Show and change settings."),
        "index": Entry("Keep texts ready for search: their words, and vectors of what they say."),
    }


app = make_app(
    "Language models in your terminal, on your own machine.",
    """
    llm models pull                          get the default model (once)
    llm ask "Why is the sky blue?"
    cat notes.txt | llm ask "What is still open?"
    llm summarize report.txt
    printf 'I loved every minute' | llm sentiment
    llm chat
    """,
    cls=Commands,
    no_args_is_help=False,
    invoke_without_command=True,
    subcommand_metavar="COMMAND …",
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("local-llm")
        except PackageNotFoundError:  # run from a folder of sources
            number = "(not installed)"
        Console().line(f"{program()} {number} (local-llm)")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    _version_flag: Annotated[
        bool, typer.Option("-V", "--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Language models in your terminal, on your own machine."""
    if ctx.invoked_subcommand is None:
        sys.stderr.write(ctx.get_help() + "\n")
        raise typer.Exit(2)


def exit_code(error: BaseException) -> int:
    """The documented exit code of an error."""
    if isinstance(error, typer.TyperException | UsageError):
        return 2
    if isinstance(error, ModelNotFound | CheckpointError):
        return 3
    return 4 if isinstance(error, InputTooLong) else 5 if isinstance(error, OutputError) else 1


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; errors are told in three lines at most."""
    note_console(Console(), debug=bool(arguments and "--debug" in arguments))
    try:
        status = typer.main.get_command(app).main(arguments, prog_name=program(), standalone_mode=False)
        _flush()
    except (KeyboardInterrupt, Terminated) as stop:
        return 143 if isinstance(stop, Terminated) else 130
    except (BrokenPipeError, SystemExit) as left:
        return _left(left)
    except Exception as error:  # noqa: BLE001  (the one place where everything is told to a person)
        return _report(error)
    return status if isinstance(status, int) else 0


def _left(error: BrokenPipeError | SystemExit) -> int:
    """The exit code of a reader that is gone, which Typer turns into an exit of its own, and of other exits."""
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        _silence()
        return 141
    return error.code if isinstance(error.code, int) else 0


def _report(error: Exception) -> int:
    console, debug = current()
    if debug:
        traceback.print_exception(error)
    context = getattr(error, "ctx", None)
    where = context.command_path if context else program()
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error}\n")
    elif isinstance(error, typer.TyperException):
        console.language = "zh" if in_chinese(context) else "en"
        console.error(where, _usage(error.format_message(), console.language), f"{where} --help")
    elif isinstance(error, EngineError):
        console.error(where, error.message, error.hint)
    elif isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        console.error(where, f"{name}{error.strerror or error}")
    elif isinstance(error, MemoryError):
        console.error(where, "not enough memory", "try a smaller model, or a smaller --ctx")
    else:
        console.error(where, f"unexpected {type(error).__name__}: {error}", "--debug shows where it happened")
    return exit_code(error)


def _usage(message: str, language: Language) -> str:
    """Typer's message, with its list of options worded as ours."""
    if language == "zh":
        from tui.strings.usage_zh import usage_error

        return usage_error(message)
    head, _, tail = message.partition(" (Possible options: ")
    return f"{head}. Did you mean {tail.rstrip(')')}?" if tail else message


def _flush() -> None:
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _silence() -> None:
    """Nothing more can be written to stdout: let Python's own flush at exit find an open nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(code: list[int]) -> None:
    """End the process there and then where PyTorch was loaded, which Python takes a third of a second to take apart.

    Or where its libraries may still be on their way in: to take apart what a thread is linking ends in a crash.
    """
    if code and sys.modules.keys() & {"torch", "engine.ahead"}:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code[0])


def main() -> None:
    """The console script."""
    ended: list[int] = []
    atexit.register(_end, ended)  # first of all, so that it runs last: all others who want to be called have been
    raise_on_sigterm()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Chinese must come out of a pipe in any locale; what no terminal can show becomes an escape.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # one more Ctrl-C ends what is left, without a traceback
    try:
        _flush()
    except BrokenPipeError:
        _silence()
        code = 141
    ended.append(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
