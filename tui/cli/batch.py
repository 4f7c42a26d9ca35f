"""`llm batch`: one prompt for each of many rows; with `--schema` every answer is an object of that shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import EngineError, UsageError
from tui.cli.ask import DEFAULTS
from tui.cli.console import counted
from tui.cli.deliver import place_of, print_json
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, text_or_file
from tui.cli.opening import Run
from tui.cli.options import MODEL, READING, SAMPLING, Options, takes
from tui.cli.row_output import Result
from tui.cli.row_run import InSpec, OutSpec, Resume, out_format, run_rows
from tui.cli.rows import Row, read_rows
from tui.cli.shaped import SchemaOption, cells_of, columns_of, read_schema, value_of

if TYPE_CHECKING:
    from engine.schema import Chunk
    from engine.structure import Grammar

EXAMPLES = """
llm batch "Who is it?" --schema 'name, age int' --in lines people.txt --out csv
llm batch "Translate into French: {text}" --in csv:title news.csv --out csv -o french.csv
llm batch 提取订单信息 --schema '商品, 数量 int' --in jsonl:留言 orders.jsonl --resume done.jsonl
"""
ANSWER = "answer"
"""The column of an answer that has no schema."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("batch", cls=HelpfulCommand, epilog=EXAMPLES)(batch)


@takes(
    *MODEL, "system", *(name for name in SAMPLING if name != "timeout"), *READING, "output", "json", "stats", "dry_run"
)
def batch(
    options: Options,
    prompt: Annotated[
        str,
        typer.Argument(help="What to do with each row: {text} stands for it, or it is a document.", metavar="PROMPT"),
    ],
    files: Annotated[list[str] | None, typer.Argument(help="Files, - for stdin.", show_default=False)] = None,
    schema: SchemaOption = None,
    spec: InSpec = None,
    out: OutSpec = None,
    resume: Resume = None,
) -> None:
    """Run one prompt for each row, several at once; order is kept, and an error stays in its row."""
    run = Run(options)
    question = argument_text(prompt, "the prompt").strip()
    if not question:
        raise UsageError("the prompt is empty", hint='such as: llm batch "Who is it?" --in lines people.txt')
    grammar = None if schema is None else read_schema(run, schema)
    columns = [ANSWER] if grammar is None else columns_of(grammar)
    kind = out_format(run, out, resume)
    if grammar is not None and kind == "jsonl":
        columns = [*(name for name in columns if name != "data"), "data"]
    system = text_or_file(run.settings["system"], "--system") if run.settings["system"] else None
    sampling = run.sampling(**({} if grammar else DEFAULTS))
    rows = read_rows(options, files or [], spec)
    with run.session() as session:
        from engine.tasks import fill

        if options.dry_run:
            _show_first(run, session, question, rows, grammar, system)
            return

        cut = 0

        def work(texts: list[str]) -> Iterator[tuple[int, Result | EngineError]]:
            nonlocal cut
            for number, said in fill.each(session, question, texts, sampling, system=system, grammar=grammar):
                if isinstance(said, EngineError):
                    yield number, said
                    continue
                cut += said.finish_reason == "length"
                yield number, _result(session.name, said, grammar, kind)

        try:
            run_rows(
                run,
                rows,
                work,
                columns=columns,
                as_text=lambda _row, result: as_text(result, grammar),
                kind=kind,
                asked={
                    "--model": session.name,
                    "PROMPT": question,
                    "--system": system,
                    "--schema": grammar and grammar.schema,
                },
                resume=resume,
                place=f"{session.name} on {place_of(session)}",
            )
        finally:
            if cut:
                where = f"{cut} of {counted(len(rows), 'row')}"
                at = counted(sampling.max_tokens, "token")
                run.console.note(f"{where}: cut at {at}; --max-tokens gives more room")


def _result(model: str, said: Chunk, grammar: Grammar | None, kind: str) -> Result:
    """What an answer adds to its row: `answer`; or `data`, in tables a column for each of its fields."""
    if grammar is None:
        return {"model": model, ANSWER: said.text, "finish_reason": said.finish_reason}
    value = value_of(grammar, said.text)
    if kind in {"csv", "tsv"}:
        return cells_of(grammar, value)
    return {"model": model, "data": value}


def as_text(result: Result, grammar: Grammar | None) -> str:
    """One line, whatever the answer holds."""
    if grammar is not None:
        return json.dumps(result["data"], ensure_ascii=False)
    return " ".join(str(result[ANSWER]).split())


def _show_first(
    run: Run, session: Any, question: str, rows: list[Row], grammar: Grammar | None, system: str | None
) -> None:
    """The first row's prompt, and its tokens."""
    from engine.tasks import fill

    text = next((row.text for row in rows if not row.error), "")
    messages = fill.conversation(question, text, system=system, grammar=grammar)
    prompt, count = session.prompt_text(messages), session.count_messages(messages)
    if run.options.json:
        print_json(run.console, {"model": session.name, "rows": len(rows), "prompt_tokens": count, "prompt": prompt})
    else:
        run.console.line(prompt)
        run.console.note(f"the first of {counted(len(rows), 'row')}: {count} of {session.context} tokens")
