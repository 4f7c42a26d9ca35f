"""What drafts save in the tasks: replies of `summarize` and `ask` over a text, and of a chat, with and without.

    python -m benchmarks.drafted [--model FOLDER] [--rounds N] [--data FILE.jsonl… --limit N]

With data, so many rows of each file: those with a `context` and a `question` are asked, those with a `text` summarized.
Only writing is timed: from each reply's first token to its last. Both ways must write the same, or it says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.installed import default_model
from engine.speed.machine import this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.schema import Language
    from engine.session import Session

SUMMARIES = ("medium", "long", "100w")
QUESTIONS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Which passages speak of water? Quote them.",
        "Say in a paragraph, with the text's own words, what it begins with.",
        "Correct the spelling of the first two paragraphs and give them back.",
    ),
    "zh": (
        "哪些句子讲到造纸的原料？请引用原文。",
        "用原文的话说说开头讲了什么。",
        "改正前两段的错别字，再把它们写出来。",
    ),
}
CHATS = (
    "Tell me a story about a lighthouse keeper.",
    "Write a Python class for a bank account, with three methods and a test for each.",
    "给我讲一个关于灯塔的故事。",
    "Explain to a child why the sky is blue.",
)
LONGEST = 200
"""Tokens of a reply."""
BEGINNING = 2_400
"""Characters of a text: short enough to be read at once."""


class Timed:
    """A session that adds up how long its replies take to write, and how many tokens they have."""

    def __init__(self, session: Session) -> None:
        self._session, self.seconds, self.tokens = session, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def stream(self, *told: Any, **named: Any) -> Iterator[Any]:
        begun = end = 0.0
        first = last = 0
        for chunk in self._session.stream(*told, **named):
            end, last = time.perf_counter(), chunk.output_tokens
            if last and not begun:  # the first chunk comes before the prompt is read, and says nothing
                begun, first = end, last
            yield chunk
        if last > first:
            self.seconds += end - begun
            self.tokens += last - first


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drafted", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model folder of ours; default: the installed default model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="in place of the texts that come with us")
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    from engine.session import Session

    session = Session.open(arguments.model or default_model(), device="cpu", threads=arguments.threads)
    print(f"{session.name}, {arguments.rounds} rounds in turn, {this_machine()}\n")
    print("| | tokens | without, tok/s | with, tok/s | ratio |\n|---|--:|--:|--:|--:|")
    for label, task in [of_file(path, arguments.limit) for path in arguments.data] or tasks():
        ratios, speeds = list[float](), {False: list[float](), True: list[float]()}
        for _ in range(arguments.rounds):
            found = {drafted: measured(session, task, drafted=drafted) for drafted in (False, True)}
            if found[False][2] != found[True][2]:
                sys.exit(f"{label}: drafts changed the text")
            if not found[True][0]:
                sys.exit(f"{label}: nothing was written that takes time")
            for drafted, (tokens, seconds, _) in found.items():
                speeds[drafted].append(tokens / seconds)
            ratios.append(found[False][1] / found[True][1])
        without, with_ = (statistics.median(speeds[drafted]) for drafted in (False, True))
        print(
            f"| {label} | {found[True][0]} | {without:.1f} | {with_:.1f} | {statistics.median(ratios):.2f} |",
            flush=True,
        )


def measured(session: Session, task: Callable[[Any], Iterable[str]], *, drafted: bool) -> tuple[int, float, str]:
    """Tokens and seconds of a task's replies, and its text."""
    from engine import generation
    from engine.drafts import Drafts

    class Never(Drafts):
        def propose(self) -> list[int]:
            return []

    timed = Timed(session.fork())  # with nothing in its cache
    generation.Drafts = Drafts if drafted else Never  # type: ignore[misc]
    try:
        text = "".join(task(timed))
    finally:
        generation.Drafts = Drafts  # type: ignore[misc]
    return timed.tokens, timed.seconds, text


def tasks() -> Iterator[tuple[str, Callable[[Any], Iterable[str]]]]:
    """What is timed together, under one name."""
    from engine import texts

    for language in QUESTIONS:
        text = texts.read("evaluation", language)[:BEGINNING]
        yield f"`summarize`, {language}", partial(summaries, text=text)
        yield f"`ask` over the text, {language}", partial(answers, text=text, language=language)
    yield "chat and code", chats


def of_file(path: Path, limit: int) -> tuple[str, Callable[[Any], Iterable[str]]]:
    """What is timed of a file's first rows, under its name."""
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()][:limit]

    def task(session: Any) -> Iterator[str]:
        for row in rows:
            if "question" in row:
                yield from answered(session, row["question"], row["context"])
            else:
                yield from summarized(session, row["text"], "medium")

    return f"{len(rows)} of `{path.name}`", task


def summaries(session: Any, text: str) -> Iterator[str]:
    for length in SUMMARIES:
        yield from summarized(session, text, length)


def summarized(session: Any, text: str, length: str) -> Iterator[str]:
    from engine.config import SamplingConfig
    from engine.schema import Chunk, Document
    from engine.tasks.summarize import summarize

    events = summarize(session, Document("text", text), sampling=SamplingConfig(max_tokens=LONGEST), length=length)
    yield from (event.text for event in events if isinstance(event, Chunk))


def answers(session: Any, text: str, language: Language) -> Iterator[str]:
    for question in QUESTIONS[language]:
        yield from answered(session, question, text)


def answered(session: Any, question: str, text: str) -> Iterator[str]:
    from engine.config import SamplingConfig
    from engine.schema import Chunk, Document
    from engine.tasks.answer import answer

    events = answer(session, question, [Document("text", text)], SamplingConfig(max_tokens=LONGEST))
    yield from (event.text for event in events if isinstance(event, Chunk))


def chats(session: Any) -> Iterator[str]:
    from engine.config import SamplingConfig
    from engine.tasks.answer import prompt

    for request in CHATS:
        yield from (chunk.text for chunk in session.stream(prompt(request, []), SamplingConfig(max_tokens=LONGEST)))


if __name__ == "__main__":
    main()
