"""The same requests through several installed models, on one Markdown page, for people to judge: nothing is edited.

`python -m recipes.side_by_side PAGE.md --model plain=NAME --model adapted=NAME`; the requests are `requests.txt`, or a
file that `--requests` names, one a line. Answers are those of `llm ask`: greedy, with its penalty on repetition.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.language import language_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.config import SamplingConfig
    from engine.session import Session

REQUESTS = Path(__file__).with_name("requests.txt")
"""Forty everyday requests, half of them in Chinese; no row of a mixture is one of them."""
LONGEST = 300
"""Tokens after which an answer counts as one that does not stop by itself."""
SHOWN = 20
"""Characters that come again and again in an answer that repeats itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what can be told of it without judging."""

    text: str
    stopped: bool
    language: bool
    """Whether it is in the request's; code alone counts as neither, and so as the request's."""
    repeats: bool


def main(words: Sequence[str] | None = None) -> None:
    """Read the arguments and write the page. Exits with a message where that fails."""
    from engine.errors import EngineError
    from engine.session import Session
    from tui.cli.installed import open_library
    from tui.paths import places

    parser = argparse.ArgumentParser(prog="python -m recipes.side_by_side", description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--model", action="append", required=True, metavar="LABEL=NAME", help="again for each model")
    parser.add_argument("--requests", type=Path, default=REQUESTS)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args(words)
    try:
        asked = requests(arguments.requests)
        columns: dict[str, list[Answer]] = {}
        for label, name in (_named(word) for word in arguments.model):
            folder = open_library(places()).find(name)
            session = Session.open(folder, threads=arguments.threads)
            try:
                columns[label] = answers(session, asked)
            finally:
                session.close()
            # Each model's answers stay, should a later model fail.
            partial = arguments.page.with_name(f".{arguments.page.name}.part")
            partial.write_text(page(asked, columns), encoding="utf-8")
            partial.replace(arguments.page)
    except (EngineError, OSError) as error:
        sys.exit(f"{error}\n{getattr(error, 'hint', '')}".strip())


def _named(word: str) -> tuple[str, str]:
    label, equals, name = word.partition("=")
    if not (label and equals and name):
        raise UsageError(f"expected LABEL=NAME, got {word!r}")
    return label, name


def requests(path: Path) -> list[str]:
    """One a line."""
    return [line.strip() for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def sampling() -> SamplingConfig:
    """As `llm ask` has it unless told otherwise, but for the length."""
    from engine.config import SamplingConfig
    from tui.cli.ask import DEFAULTS

    return SamplingConfig(max_tokens=LONGEST, **DEFAULTS)


def answers(session: Session, asked: Sequence[str]) -> list[Answer]:
    """Each request in a conversation of its own."""
    from engine.loops import ended_at_loops
    from engine.tasks.answer import prompt

    found = []
    for request in asked:
        text, stopped = "", False
        for chunk in ended_at_loops(session.stream(prompt(request, []), sampling()), request):
            text += chunk.text
            stopped = chunk.finish_reason == "stop"
        found.append(Answer(text.strip(), stopped, same_language(request, text), repeats(text)))
    return found


def same_language(request: str, text: str) -> bool:
    """Whether an answer's prose is in the language of the request; what stands in code blocks does not count."""
    prose = "".join(text.split("```")[::2])
    return not prose.strip() or language_of(prose) == language_of(request)


def repeats(text: str) -> bool:
    """Whether a stretch of SHOWN characters comes three times or more, numbers and marks aside."""
    letters = "".join(c for c in text if c.isalpha())
    seen: dict[str, int] = {}
    for at in range(len(letters) - SHOWN + 1):
        stretch = letters[at : at + SHOWN]
        seen[stretch] = seen.get(stretch, 0) + 1
    return any(count >= 3 for count in seen.values())


def page(asked: Sequence[str], columns: dict[str, list[Answer]]) -> str:
    """Counts first, then every answer under its request."""
    total = len(asked)
    lines = ["# Answers side by side", "", "Unedited; greedy decoding.", ""]
    lines += ["| model | stopped by itself | in the request's language | repeats itself |", "|---|--:|--:|--:|"]
    for label, given in columns.items():
        sums = [
            sum(one.stopped for one in given),
            sum(one.language for one in given),
            sum(one.repeats for one in given),
        ]
        lines.append(f"| {label} | " + " | ".join(f"{value} of {total}" for value in sums) + " |")
    for number, request in enumerate(asked):
        lines += ["", f"## {number + 1}. {request}"]
        for label, given in columns.items():
            mark = "" if given[number].stopped else " (cut)"
            lines += ["", f"**{label}**{mark}", "", *(f"> {line}".rstrip() for line in given[number].text.split("\n"))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
