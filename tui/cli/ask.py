"""`llm ask`: one question, about documents or not, one answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from engine.config import Overflow
from engine.errors import UsageError
from engine.schema import Document
from tui.cli.deliver import place_of, show_prompt
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, as_read, documents, read_file, read_stdin, stdin_has_input, text_or_file
from tui.cli.opening import Run
from tui.cli.options import ANSWER, MODEL, READING, SAMPLING, Options, takes
from tui.cli.reading import Sources, tell_citations
from tui.cli.shaped import SchemaOption, read_schema, show_value

EXAMPLES = """
llm ask "Why is the sky blue?"
llm ask 什么是人工智能？
cat notes.txt | llm ask "What is still open?"
llm ask "What differs?" -f old.py -f new.py
echo "Why is the sky blue?" | llm ask
llm ask "Name three colours" --json --temperature 0.7 --seed 1
echo "Anna is 37 and glad" | llm ask "Who is it?" --schema 'name, age int, mood in happy|sad'
"""
DEFAULTS: dict[str, Any] = {"repetition_penalty": 1.1}
"""How replies are drawn where nobody said anything else."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ask", cls=HelpfulCommand, epilog=EXAMPLES)(ask)


@takes(*MODEL, "system", *SAMPLING, "overflow", "file", *READING, *ANSWER, "dry_run")
def ask(
    options: Options,
    question: Annotated[str | None, typer.Argument(help="The question; without it, stdin.", show_default=False)] = None,
    schema: SchemaOption = None,
) -> None:
    """Answer a question. Files and piped text are documents that the answer is taken from."""
    run = Run(options)
    grammar = None if schema is None else read_schema(run, schema)
    question, given = read_question(options, question)
    system = text_or_file(run.settings["system"], "--system") if run.settings["system"] else None
    sampling = run.sampling(**({} if grammar else DEFAULTS))  # JSON repeats its marks: nothing punishes that
    policy: Overflow = run.settings["overflow"] or "search"
    with run.session() as session:
        from engine.tasks import answer, fill

        if options.dry_run:
            way = fill.asking(grammar.schema) if grammar else answer.prompt
            prompt, count = answer.plan(session, question, given, system=system, ask=way)
            show_prompt(run.console, options, session, prompt, count)
            return
        sources = Sources(run.console)
        if grammar:
            chunks = fill.fill(session, question, given, grammar, sampling, system=system, overflow=policy)
            show_value(run, session, grammar, chunks, on_event=sources.take, extra=sources.to_json)
            return
        result = run.delivery.show(
            answer.answer(
                session, question, given, sampling, system=system, overflow=policy, end_loops=run.settings["end_loops"]
            ),
            model=session.name,
            place=place_of(session),
            extra=sources.to_json,
            on_event=sources.take,
        )
        tell_citations(run.console, sources.cited, result.text)


def read_question(options: Options, argument: str | None) -> tuple[str, list[Document]]:
    """The question and its documents, by the join rule. Raises UsageError where there is no question."""
    files = options.file or []
    if argument not in {None, "-"}:
        given = documents(files, encoding=options.encoding, errors=options.errors, html=options.html)
        question = argument_text(str(argument), "the question")
    elif "-" in files:
        raise UsageError("stdin can't be the question and a document", hint='give the question: llm ask "…" -f -')
    else:
        if argument is None and not stdin_has_input():
            raise UsageError("no question", hint='such as: llm ask "Why is the sky blue?" (more: llm ask --help)')
        question = read_stdin(options.encoding, options.errors).text
        given = [as_read(read_file(path, options.encoding, options.errors), options.html) for path in files]
    if not question.strip():
        raise UsageError("the question is empty", hint='such as: llm ask "Why is the sky blue?"')
    return question.strip(), given
