"""`llm demo`: the main job in a minute, without a terminal: summarize, judge, answer, in both languages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import typer

from engine.schema import Chunk, Coverage, Document
from tui.cli.deliver import collect
from tui.cli.help import HelpfulCommand
from tui.cli.opening import Run
from tui.cli.options import MODEL, Options, takes
from tui.cli.reading import tell_coverage

if TYPE_CHECKING:
    from engine.session import Session

QUESTION = "什么是人工智能？用两句话回答。"
SENTENCES = ("I loved every minute of it.", "房间又脏又吵。")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", cls=HelpfulCommand, epilog="llm demo", hidden=True)(demo)


def article(language: str) -> Document:
    """The bundled article of a language."""
    from importlib import resources

    name = f"evaluation.{language}.txt"
    return Document(name, resources.files("engine.texts").joinpath(name).read_text("utf-8"))


@takes(*MODEL)
def demo(options: Options) -> None:
    """Show the main job on bundled texts."""
    run = Run(options)
    out = run.console
    with run.session() as session:
        from engine.tasks import answer, sentiment

        for language in ("en", "zh"):
            _summary(run, session, article(language))
        for sentence in SENTENCES:
            scores = sentiment.judge(session, sentence)
            out.line(f'$ llm sentiment "{sentence}"\n{scores.label}\t{scores.score:.2f}\n')
        out.line(f'$ llm ask "{QUESTION}"')
        with contextlib.closing(
            answer.answer(session, QUESTION, [], run.sampling(max_tokens=160, repetition_penalty=1.1))
        ) as chunks:
            for chunk in chunks:
                if isinstance(chunk, Chunk):
                    out.answer(chunk.text)
        out.answer("\n")


def _summary(run: Run, session: Session, document: Document) -> None:
    from engine.tasks.summarize import summarize

    run.console.line(f"$ llm summarize --length short {document.name}")
    read: list[Coverage] = []

    def on_event(event: Any) -> None:
        if isinstance(event, Coverage):
            read.append(event)

    events = summarize(session, document, language=None, sampling=run.sampling(repetition_penalty=1.1), length="short")
    with run.console.spinner("reading"):
        result = collect(events, lambda text: None, on_event=on_event)
    run.console.line(result.text.strip() + "\n")
    for coverage in read:
        tell_coverage(run.console, coverage, document.name)
    if result.interrupted:
        raise KeyboardInterrupt
