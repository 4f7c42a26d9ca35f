"""Summarizing a text of twenty pages: ours, beside llama.cpp given the same prompts and as many tokens to write.

    python -m benchmarks.pages [--pages N] [--rounds N] [--peer-python P --peer-model GGUF]

Both are loaded before the clock starts. Ours reads the passages in the order and company that it likes; the peer takes
prompt by prompt, and keeps in its cache what a prompt shares with the one before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import by_prompt
from benchmarks.installed import default_model
from engine.speed.machine import this_machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.session import Session

WORDS = 500
"""Of a page."""


def text_of(pages: int) -> str:
    """English prose of so many pages; after some fifteen it comes again, cut in other places."""
    from engine import texts

    words = f"{texts.read('evaluation', 'en')} {texts.read('calibration', 'en')}".split()
    lines = (" ".join(words[at % len(words) :][:100]) for at in range(0, pages * WORDS, 100))
    return "\n\n".join(lines) + "\n"


class Recorded:
    """A session, and what it was asked: each prompt, and the tokens of its reply."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.prompts: list[str] = []
        self.tokens: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def _asked(self, messages: Any) -> int:
        self.prompts.append(self._session.prompt_text(messages))
        self.tokens.append(0)
        return len(self.tokens) - 1

    def stream(self, messages: Any, *told: Any, **named: Any) -> Iterator[Any]:
        at = self._asked(messages)
        for chunk in self._session.stream(messages, *told, **named):
            self.tokens[at] = chunk.output_tokens
            yield chunk

    def stream_many(self, conversations: Iterable[Any], *told: Any, **named: Any) -> Iterator[Any]:
        first = len(self.tokens)
        noted = (messages for messages in conversations if self._asked(messages) >= first)
        for index, chunk in self._session.stream_many(noted, *told, **named):
            self.tokens[first + index] = chunk.output_tokens  # type: ignore[union-attr]
            yield index, chunk


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model folder of ours; default: the installed default model")
    parser.add_argument("--pages", type=int, default=20)
    by_prompt.add_flags(parser)
    arguments = parser.parse_args()
    from engine.session import Session

    session = Session.open(arguments.model or default_model(), device="cpu", threads=arguments.threads)
    text, ours, theirs = text_of(arguments.pages), list[float](), list[float]()
    for _ in range(arguments.rounds):
        session = session.fork()  # with nothing in its cache
        seconds, recorded = summarized(session, text)
        ours.append(seconds)
        asked = {"prompts": recorded.prompts, "tokens": recorded.tokens}
        if (peer := by_prompt.seconds(arguments, asked)) is not None:
            theirs.append(peer)
    about = f"{arguments.pages} pages, {session.count(text)} tokens, in {len(recorded.prompts)} prompts"
    print(
        f"{session.name}, {about}, {sum(recorded.tokens)} tokens written; {arguments.threads} threads, {this_machine()}"
    )
    print(f"\n| | seconds | times ours |\n|---|--:|--:|\n| `summarize` | {statistics.median(ours):.1f} | 1.00 |")
    if theirs:
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        print(f"| llama.cpp Q8_0, prompt by prompt | {statistics.median(theirs):.1f} | {ratio:.2f} |")


def summarized(session: Session, text: str) -> tuple[float, Recorded]:
    """Seconds of a short summary, and what it took."""
    from engine.config import SamplingConfig
    from engine.schema import Document
    from engine.tasks.summarize import summarize

    recorded: Any = Recorded(session)
    begun = time.perf_counter()
    for _ in summarize(recorded, Document("pages", text), sampling=SamplingConfig(), length="short"):
        pass
    return time.perf_counter() - begun, recorded


if __name__ == "__main__":
    main()
