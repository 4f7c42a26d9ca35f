"""Finds the passages of long documents that matter for a question, and says what was left unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.schema import Chunk, Coverage, Document, TaskProgress
from engine.tasks.breaks import lines_in, shown
from engine.tasks.cut import stretches
from engine.tasks.passages import Passage, split
from engine.tasks.search import rank

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from engine.session import Session

PASSAGE_TOKENS = 192
"""Of a passage: a paragraph or two, so that a few of them from different places fit."""
MOST_READ = 32
"""Passages whose meaning is compared: those that share the most words with the question. Bounds time on large files."""


def retrieve(
    session: Session, question: str, documents: Sequence[Document], budget: int
) -> Generator[Chunk | TaskProgress, None, tuple[list[Document], Coverage]]:
    """The best passages of at most `budget` tokens together, as documents in the order of the text.

    Neighbours are joined; each is named by its document and its lines. Lines of the coverage count through all
    documents.
    """
    passages: list[tuple[int, Passage]] = []
    before = [0]
    for number, document in enumerate(documents):
        passages += [(number, passage) for passage in split(document.text, session.count, PASSAGE_TOKENS)]
        before.append(before[-1] + lines_in(document.text))
    yield TaskProgress(0, len(passages))
    yield Chunk("")
    ranked = rank(session, question, [shown(passage.text) for _, passage in passages], most=MOST_READ)
    chosen: set[int] = set()
    for index, _score in ranked:
        budget -= passages[index][1].tokens + 24  # the block around it
        if budget < 0:
            break
        chosen.add(index)
    runs = _runs(passages, chosen)
    read = _lines(runs, before)
    left_out = _lines(_runs(passages, set(range(len(passages))) - chosen), before)
    return [_document(documents, run) for run in runs], Coverage(
        chunks_read=len(chosen),
        chunks_total=len(passages),
        lines_read=before[-1] - len(left_out - read),
        lines_total=before[-1],
        tokens_read=sum(passages[index][1].tokens for index in chosen),
        tokens_total=sum(passage.tokens for _, passage in passages),
        unread_lines=tuple(stretches(left_out - read)),
        partly_read=tuple(stretches(left_out & read)),
    )


def _runs(passages: Sequence[tuple[int, Passage]], chosen: set[int]) -> list[list[tuple[int, Passage]]]:
    """Chosen passages, those that follow each other in one document together."""
    runs: list[list[tuple[int, Passage]]] = []
    for index in sorted(chosen):
        if index - 1 in chosen and passages[index - 1][0] == passages[index][0]:
            runs[-1].append(passages[index])
        else:
            runs.append([passages[index]])
    return runs


def _document(documents: Sequence[Document], run: Sequence[tuple[int, Passage]]) -> Document:
    number, first = run[0]
    text = "".join(passage.text for _, passage in run)
    blank = text[: len(text) - len(text.lstrip())].rfind("\n") + 1  # a passage's first line is the first that is not
    return Document(documents[number].name, text[blank:].rstrip("\n"), first_line=first.first_line)


def _lines(runs: Sequence[Sequence[tuple[int, Passage]]], before: Sequence[int]) -> set[int]:
    """The lines of all documents that runs stand on, from the first to the last of each."""
    return {before[run[0][0]] + line for run in runs for line in range(run[0][1].first_line, run[-1][1].last_line + 1)}
