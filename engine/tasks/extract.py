"""A summary in the text's own sentences: those nearest to all the others in meaning, without saying one thing twice.

Degree centrality as in LexRank (arXiv 1109.2128), over the model's embeddings in place of tf-idf, taken by maximal
marginal relevance. Linear in the length of the text: similarities to all sentences are those to their sum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.config import SamplingConfig
from engine.errors import InputError
from engine.language import HAN, language_of
from engine.schema import Chunk, Coverage, Document, SummaryPart, TaskProgress
from engine.tasks.addresses import without_addresses
from engine.tasks.breaks import LINE, PARAGRAPH, lines_in
from engine.tasks.length import Length, words_in
from engine.tasks.sentences import sentences
from engine.tasks.short_text import given, span, stays_whole

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from engine.session import Session
    from engine.tasks.summarize import Event

BATCH = 32
"""Sentences embedded at a time."""
AHEAD = 64
"""Sentences whose likenesses to all others are computed in one product: one by one each reads all the vectors again."""
NOVELTY = 0.5
"""How much likeness to what is already taken counts against a sentence."""
_ITEM = r"[^\S\n]*(?:[-*•]|\d{1,2}[.)、])[^\S\n]+"
"""What begins an item of a list: a sentence does not go on over it."""
_APART = re.compile(rf"((?:\n[^\S\n]*\n|[{LINE}{PARAGRAPH}])\s*|\n(?={_ITEM}))")
LEAD = 0.1
"""What standing first counts for: texts tend to begin with what matters."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document and the lines that it stands on."""

    text: str
    first_line: int
    last_line: int


def extract(
    session: Session, document: Document, *, length: str = "medium", bullets: bool = False, focus: str = ""
) -> Generator[Event, None, None]:
    """Stream the sentences that say most, in the document's order, up to `length`; at the end comes the Coverage.

    `focus`: what they should be about. Raises InputError for a text that is empty, or is long and has no words.
    """
    if not document.text.strip():
        raise InputError(f"{document.name} is empty: nothing to summarize")
    if stays_whole(session, document.text, length):
        yield from given(session, document, language_of(document.text), SamplingConfig(), bullets=bullets)
        return
    found = [sentence for sentence in sentences_of(without_addresses(document.text)) if words_in(sentence.text) >= 1]
    if not found:
        raise InputError(f"{document.name} has no words: nothing to summarize")
    rows = []
    for start in range(0, len(found), BATCH):
        yield TaskProgress(start, len(found))
        yield Chunk("")
        rows.append(session.embed([sentence.text for sentence in found[start : start + BATCH]]))
    towards = session.embed([focus])[0] if focus else None
    wanted = Length.parse(length, document.text).target
    chosen = choose(np.concatenate(rows), [words_in(sentence.text) for sentence in found], wanted, towards)
    between = "\n" if bullets else " " if language_of(document.text) == "en" else ""
    for number, index in enumerate(chosen):
        sentence, last = found[index], number == len(chosen) - 1
        yield SummaryPart(sentence.text, sentence.first_line, sentence.last_line, session.count(sentence.text))
        line = f"- {sentence.text}{_span(sentence)}" if bullets else sentence.text
        yield Chunk(line + ("" if last else between), finish_reason="stop" if last else None)
    tokens = sum(session.count(sentence.text) for sentence in found)
    lines = lines_in(document.text)
    yield Coverage(len(found), len(found), lines, lines, tokens, tokens)


def _span(sentence: Sentence) -> str:
    return span(sentence.first_line, sentence.last_line, "zh" if HAN.search(sentence.text) else "en")


def sentences_of(text: str) -> Iterator[Sentence]:
    """The sentences of every paragraph and every item of a list, on one line each, with where they stand."""
    line = 1
    for block in _APART.split(text):
        for sentence in sentences(re.sub(f"^{_ITEM}", "", block)):
            start = line + sentence[: len(sentence) - len(sentence.lstrip())].count("\n")
            body = sentence.strip()
            line += sentence.count("\n")
            if body:
                joined = re.sub(r"(?<=[\u3400-\u9fff，。！？；：、])\s*\n\s*", "", body)
                yield Sentence(" ".join(joined.split()), start, start + body.count("\n"))


def choose(
    vectors: NDArray[np.float32], sizes: Sequence[float], wanted: float, towards: NDArray[np.float32] | None = None
) -> list[int]:
    """Indices of rows of `vectors` (N, C), unit length, in order: the most central whose `sizes` sum to `wanted`.

    The best one is always taken. `towards` (C,): centrality is likeness to this instead.
    """
    value = vectors @ (vectors.sum(0) if towards is None else towards)
    value = (value - value.mean()) / (float(value.std()) or 1.0)
    value[0] += LEAD
    likeness = np.zeros(len(vectors), dtype=np.float32)
    known: dict[int, NDArray[np.float32]] = {}
    taken: list[int] = []
    lengths, free, room = np.asarray(sizes), np.ones(len(vectors), dtype=bool), wanted
    while len(taken) < len(vectors):
        merit = value - NOVELTY * likeness / max(1e-6, float(likeness.std()) or 1.0)
        if taken:
            merit[~free | (lengths > room)] = -np.inf
        best = int(merit.argmax())
        if taken and not np.isfinite(merit[best]):
            break
        if best not in known:
            known = _likenesses(vectors, merit)
        likeness = np.maximum(likeness, known.pop(best))
        taken.append(best)
        free[best] = False
        room -= sizes[best]
    return sorted(taken)


def _likenesses(vectors: NDArray[np.float32], merit: NDArray[np.float32]) -> dict[int, NDArray[np.float32]]:
    """Of those that will probably be taken next, to all the others."""
    likely = np.argsort(-merit, kind="stable")[:AHEAD]
    return dict(zip(likely.tolist(), vectors[likely] @ vectors.T, strict=True))
