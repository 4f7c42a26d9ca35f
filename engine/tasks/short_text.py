"""A text that is no longer than the summary asked for comes out whole: nothing can be left out, only made up."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from engine.language import language_of
from engine.schema import Chunk, Coverage, Document, SummaryPart
from engine.tasks.breaks import lines_in, numbered, shown
from engine.tasks.length import Length

if TYPE_CHECKING:
    from collections.abc import Generator

    from engine.config import SamplingConfig
    from engine.schema import Language
    from engine.session import Session


def stays_whole(session: Session, text: str, length: str) -> bool:
    """Whether a text is no longer than the summary asked for, and so is its own. Raises UsageError."""
    wanted = Length.parse(length, text)
    return wanted.whole and session.count(text) <= wanted.tokens  # not all that is long has spaces between its words


def given(
    session: Session, document: Document, language: Language, sampling: SamplingConfig, *, bullets: bool = False
) -> Generator[Chunk | SummaryPart | Coverage, None, None]:
    """The text itself, in another language translated; `bullets`: each of its lines as one."""
    text = document.text
    if language != language_of(text):
        from engine.tasks.translate import translate

        events = translate(session, Document(document.name, shown(text)), sampling=sampling, to=language)
        with contextlib.closing(events):
            text = "".join([event.text for event in events if isinstance(event, Chunk)])
    if bullets:
        each = [(number, bare(line.strip())) for number, line in numbered(text) if line.strip()]
        numbers = [number for number, line in numbered(document.text) if line.strip()]
        kept = numbers if len(numbers) == len(each) else [number for number, _ in each]  # as a rule by a translation
        said = [(number, line) for number, (_, line) in zip(kept, each, strict=True)]
        yield from (SummaryPart(line, number, number, session.count(line)) for number, line in said)
        text = "\n".join(f"- {line}{span(number, number, language)}" for number, line in said)
    yield Chunk(shown(text).strip(), finish_reason="stop")
    tokens, lines = session.count(document.text), lines_in(document.text)
    yield Coverage(1, 1, lines, lines, tokens, tokens, given_whole=True)


def span(first: int, last: int, language: Language) -> str:
    """The lines that a bullet is about, as they stand behind it."""
    lines = f"{first}–{last}" if first != last else str(first)
    return f" （第{lines}行）" if language == "zh" else f" (line {lines})" if first == last else f" (lines {lines})"


def bare(line: str) -> str:
    """A line without the mark of a list."""
    return re.sub(r"^(?:[-*•]|\d+[.)、])\s+", "", line)
