"""Summarizes all of a text: in one pass where it fits, else by map and reduce over passages, as deep as it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.errors import InputError, InputTooLong
from engine.language import language_of
from engine.schema import Chunk, Coverage, Document, Language, Message
from engine.tasks.length import Length
from engine.tasks.passages import split

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from engine.config import SamplingConfig
    from engine.session import Session

PASSAGE_TOKENS = 1536
"""Read at a time: small models lose the thread of longer passages, and attention grows with the square."""

WHOLE: dict[Language, str] = {
    "en": "{text}\n\nSummarize the text above in {length}. Write only the summary, in English.",
    "zh": "{text}\n\n请用{length}概括上面的文字，只写摘要，使用中文。",
}
PART: dict[Language, str] = {
    "en": "{text}\n\nThe text above is part {number} of {total} of a document. "
    "Summarize this part in {length}, keeping names, numbers and results. Write only the summary, in English.",
    "zh": "{text}\n\n上面是一篇文档的第{number}部分（共{total}部分）。"
    "请用{length}概括这一部分，保留人名、数字和结论。只写摘要，使用中文。",
}
REDUCE: dict[Language, str] = {
    "en": "{text}\n\nThe paragraphs above summarize the consecutive parts of one document. "
    "Combine them into one summary of the whole document in {length}. Write only the summary, in English.",
    "zh": "{text}\n\n上面各段依次概括了同一篇文档的各个部分。"
    "请把它们合并成整篇文档的摘要，用{length}。只写摘要，使用中文。",
}


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """How many of the model runs that a summary takes are done."""

    done: int
    total: int


Event = Chunk | ChunkProgress | Coverage


def summarize(
    session: Session,
    document: Document,
    *,
    sampling: SamplingConfig,
    language: Language | None = None,
    length: str = "medium",
) -> Generator[Event, None, None]:
    """Stream a summary of all of the document, in its own language unless told; at the end comes the Coverage.

    `length`: short, medium, long, N% or Nw. Raises InputError for an empty text and InputTooLong for a context that
    has no room for a passage.
    """
    if not document.text.strip():
        raise InputError(f"{document.name} is empty: nothing to summarize")
    language = language or language_of(document.text)
    wanted = Length.parse(length, document.text)
    passages = split(document.text, session.count, _passage_limit(session, wanted, sampling))
    if len(passages) == 1:
        ask = WHOLE[language].format(text=document.text.strip(), length=wanted.words(language))
        yield from _run(session, ask, sampling, wanted)
    else:
        yield from _map_reduce(session, [passage.text.strip() for passage in passages], language, wanted, sampling)
    tokens = sum(passage.tokens for passage in passages)
    lines = document.text.count("\n") + (not document.text.endswith("\n"))
    yield Coverage(len(passages), len(passages), lines, lines, tokens, tokens)


def _passage_limit(session: Session, wanted: Length, sampling: SamplingConfig) -> int:
    frame = 200  # the instructions and the chat format around a passage
    room = session.context - frame - min(sampling.max_tokens, wanted.tokens)
    if room < 64:
        raise InputTooLong(
            f"a context of {session.context} tokens has no room to summarize in", hint="Raise --ctx or ask for less."
        )
    return min(PASSAGE_TOKENS, room)


def _map_reduce(
    session: Session, parts: Sequence[str], language: Language, wanted: Length, sampling: SamplingConfig
) -> Generator[Event, None, None]:
    """Summarize each part, then the summaries; a long summary is the parts' own, one after the other."""
    runs = len(parts) + 1
    share = wanted.share(len(parts))
    yield ChunkProgress(0, runs)
    summaries: list[str] = []
    for number, text in enumerate(parts, 1):
        ask = PART[language].format(text=text, number=number, total=len(parts), length=share.words(language))
        if wanted.concatenated(len(parts)):
            yield from _unfinished(_run(session, ask, sampling, share), "" if number == len(parts) else "\n\n")
        else:
            summaries.append((yield from _quietly(session, ask, sampling, share)))
        yield ChunkProgress(number, runs)
    if wanted.concatenated(len(parts)):
        return
    groups = split("\n\n".join(summaries), session.count, _passage_limit(session, wanted, sampling))
    if len(groups) > 1 and len(groups) < len(parts):
        yield from _map_reduce(session, [group.text.strip() for group in groups], language, wanted, sampling)
        return
    ask = REDUCE[language].format(text="\n\n".join(summaries), length=wanted.words(language))
    yield from _run(session, ask, sampling, wanted)


def _run(session: Session, ask: str, sampling: SamplingConfig, length: Length) -> Generator[Chunk, None, None]:
    limited = replace(sampling, max_tokens=min(sampling.max_tokens, length.tokens))
    return session.stream([Message("user", ask)], limited)


def _quietly(session: Session, ask: str, sampling: SamplingConfig, length: Length) -> Generator[Chunk, None, str]:
    """Run to the end and return the text; the empty chunks let the caller stop in between."""
    text = ""
    for chunk in _run(session, ask, sampling, length):
        text += chunk.text
        yield Chunk("")
    return text.strip()


def _unfinished(chunks: Iterable[Chunk], ending: str) -> Generator[Chunk, None, None]:
    """The chunks of one part of an answer: only the last part may finish it."""
    for chunk in chunks:
        if ending and chunk.finish_reason:
            yield replace(chunk, text=chunk.text + ending, finish_reason=None)
        else:
            yield chunk
