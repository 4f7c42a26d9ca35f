"""`llm sentiment`: is a text positive or negative, and how surely? From probabilities, never generated."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

import typer

from engine.errors import EngineError, UsageError
from engine.schema import LabelScores
from tui.cli.deliver import save
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, read_file, read_stdin, stdin_has_input
from tui.cli.opening import Run
from tui.cli.options import DECODING, MODEL, Options, takes

EXAMPLES = """
llm sentiment "I loved every minute"
printf '房间又脏又吵' | llm sentiment --json
llm sentiment -f reviews.txt --per line
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sentiment", cls=HelpfulCommand, epilog=EXAMPLES)(sentiment)


@takes(*MODEL, "file", *DECODING, "output", "json", "stats")
def sentiment(
    options: Options,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts, - for stdin.", show_default=False)] = None,
    neutral: Annotated[bool, typer.Option("--neutral", help="Allow neutral as a third label.")] = False,
    per: Annotated[Literal["file", "line"], typer.Option("--per", help="One label for each.")] = "file",
) -> None:
    """Judge texts. Prints LABEL<TAB>PROBABILITY for each; several also with the text or its name."""
    rows = _rows(options, texts or [], per)
    run = Run(options)
    lines: list[str] = []
    started = time.monotonic()
    with run.session() as session:
        from engine.tasks import sentiment as task

        failed = 0
        for name, text in rows:
            begun = time.monotonic()
            try:
                scores = task.judge(session, text, neutral=neutral)
            except EngineError as error:
                if len(rows) == 1:
                    raise
                failed += 1
                run.console.error(name, error.message, error.hint)
                row: dict[str, Any] = {"name": name, "error": error.message}
                if options.json:
                    _out(run, lines, _json(row))
                continue
            if options.json:
                row = _row(session.name, scores, time.monotonic() - begun)
                _out(run, lines, _json(row | ({"name": name} if len(rows) > 1 else {})))
            else:
                tail = f"\t{' '.join(name.split())}" if len(rows) > 1 else ""
                _out(run, lines, f"{scores.label}\t{scores.score:.2f}{tail}")
        if run.settings["stats"]:
            elapsed = time.monotonic() - started
            run.console.note(f"{session.name} on {session.device}/{session.kernel} · {len(rows)} in {elapsed:.2f} s")
    if options.output:
        save(run.console, options.output, "\n".join(lines))
    if failed:
        raise typer.Exit(6)


def _out(run: Run, lines: list[str], line: str) -> None:
    if run.options.output:
        lines.append(line)
    else:
        run.console.line(line)


def _json(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _row(model: str, scores: LabelScores, seconds: float) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex[:16],
        "model": model,
        "label": scores.label,
        "score": scores.score,
        "scores": scores.scores,
        "duration_ms": round(seconds * 1000),
    }


def _rows(options: Options, texts: list[str], per: str) -> list[tuple[str, str]]:
    """Each text to judge with the name it is shown by. Raises UsageError without any."""
    files = options.file or []
    if [*texts, *files].count("-") > 1:
        raise UsageError("- (stdin) can be named only once")
    found = [(text, argument_text(text)) for text in texts if text != "-"]
    sources = [read_file(path, options.encoding, options.errors) for path in files if path != "-"]
    if "-" in [*texts, *files] or (not texts and not files and stdin_has_input()):
        sources.append(read_stdin(options.encoding, options.errors))
    for source in sources:
        if per == "line":
            found += [(line.strip(), line.strip()) for line in source.text.splitlines() if line.strip()]
        else:
            found.append((source.name, source.text))
    found = [(name, text.strip()) for name, text in found if text.strip()]
    if not found:
        raise UsageError("no text to judge", hint='such as: llm sentiment "I loved every minute"')
    return found
