"""Whether a text answers a question: it is read whole before the answer, then once more where the answer stands.

A small model takes what is of the kind that was asked for. With the answer's sentence alone before it, it sees more
plainly that this speaks of another year, of another person, or of the opposite.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.tasks.sentences import sentences
from engine.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from engine.config import SamplingConfig
    from engine.schema import Chunk, Document, Message
    from engine.session import Session

POSSIBLE = -4.0
"""Log-probability of the refusal, in the first reading, below which there is no second: the answer streams at once."""
MARGIN = -1.0
"""What its log-probability less that of the answer must exceed in the second. On 307 English development questions, 124
of them unanswerable, the two refused 0.540 of these and left the others an F1 of 0.684, with the adapter that shipped
before today's; one threshold on the first reading gave 0.476 and 0.649, or 0.524 and 0.625 (docs/prompts.md)."""
DOUBT = -1.5
"""Log-probability of the refusal from which on it is given where there can be no second reading."""
LONGEST = 24
"""Tokens of an answer that one sentence may give; the first words of a longer one are held back no longer."""
WIDEST = 1000
"""Characters of what is read again: without full stops a text would be read whole twice."""


def answered(
    session: Session,
    question: str,
    documents: Sequence[Document],
    sampling: SamplingConfig,
    *,
    ask: Callable[[Sequence[Document]], list[Message]],
    refusal: str,
) -> Generator[Chunk, None, None]:
    """The reply to what `ask` makes of documents, or the refusal in its place; no word is let out before that is clear.

    An endpoint has no scores: it answers as it does.
    """
    messages = ask(documents)
    if not session.has_scores:
        yield from session.stream(messages, sampling)
        return
    whole = sum(session.score(messages, [refusal])[0])
    with contextlib.closing(session.stream(messages, sampling)) as reply:
        held = (yield from _drawn(reply)) if whole > POSSIBLE else []
        if not held or not _unsaid(session, whole, held, question, documents, ask, refusal):
            yield from held
            yield from reply
            return
    from engine.structure import literally

    yield from session.stream(messages, replace(sampling, stop=()), grammar=literally(refusal))


def _unsaid(
    session: Session,
    whole: float,
    held: Sequence[Chunk],
    question: str,
    documents: Sequence[Document],
    ask: Callable[[Sequence[Document]], list[Message]],
    refusal: str,
) -> bool:
    """Whether the refusal is to be given in place of what was drawn."""
    text = "".join(chunk.text for chunk in held).strip()
    if text == refusal:
        return False
    near = bearing(text, question, documents) if text and held[-1].finish_reason else None
    if near is None:
        return whole > DOUBT
    # A cache of its own leaves the text read for what comes next.
    unsaid, said = (sum(logs) for logs in session.fork().score(ask([near]), [refusal, text]))
    return unsaid - said > MARGIN


def _drawn(reply: Generator[Chunk, None, None]) -> Generator[Chunk, None, list[Chunk]]:
    """A reply's chunks up to its end or LONGEST; what is yielded meanwhile says nothing and lets the caller stop."""
    held: list[Chunk] = []
    for chunk in reply:
        held.append(chunk)
        if chunk.finish_reason is None:
            if chunk.output_tokens >= LONGEST:
                break
            yield replace(chunk, text="", ids=(), logprobs=())
    return held


def bearing(answer: str, question: str, documents: Sequence[Document]) -> Document | None:
    """The sentence that an answer stands in as it is, and the one before it; of several that most like the question.

    None where it stands in none, as an answer in the model's own words does, or where that has no end.
    """
    said, asked = _plain(answer), words_of(question)
    best, near = -1, None
    for document in documents:
        before = ""
        for sentence in sentences(document.text):
            alike = len(set(words_of(sentence)).intersection(asked))
            if alike > best and said in _plain(sentence):
                best, near = alike, replace(document, text=(before + sentence).strip(), first_line=1)
            before = sentence
    return near if said and near and len(near.text) <= WIDEST else None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".。")
