"""Answers a question, from documents where some are given; what does not fit is never cut in silence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.errors import InputTooLong
from engine.language import language_of
from engine.loops import ended_at_loops
from engine.schema import Chunk, Citation, Coverage, Document, Language, Message, TaskProgress
from engine.tasks.breaks import shown
from engine.tasks.cite import cite
from engine.tasks.cut import cut_documents, joined, lines_of
from engine.tasks.retrieve import retrieve
from engine.tasks.unsaid import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from engine.config import Overflow, SamplingConfig
    from engine.session import Session
    from engine.structure import Grammar

    Ask = Callable[[str, Sequence[Document], str | None], list[Message]]
    """Question, documents and system text -> the conversation that asks."""

READ_TOKENS = 4096
"""Read whole; of more, a small model finds less than a search does, and reading it takes minutes."""
PASSAGES_TOKENS = 1536
"""Read of longer documents."""
PROMPTS: dict[Language, str] = {
    "en": "Answer the question briefly, using only the text below. "
    "If the text does not answer it, reply: The text does not say.\n\n{documents}\n\nQuestion: {question}",
    "zh": "{documents}\n\n只根据上面的文字，简短地回答问题。"
    "如果文字中没有答案，就回答：文中没有提到。\n问题：{question}",
}
"""The order measured better so in each language, with the plain model on development questions (English 36, Chinese 36,
a third of them unanswerable): found in the answer 0.83 and 0.42, token F1 0.50 and 0.58, refused where it should 0.50
and 0.17."""


REFUSALS: dict[Language, str] = {"en": "The text does not say.", "zh": "文中没有提到。"}
"""In the words that the prompts ask for."""


def prompt(question: str, documents: Sequence[Document], system: str | None = None) -> list[Message]:
    """The conversation that asks a question; documents stand before it, each in a block with its name."""
    start = [Message("system", system)] if system else []
    if not documents:
        return [*start, Message("user", question)]
    before, after = PROMPTS[language_of(question)].split("{documents}")
    blocks = [block(document) for document in documents]
    # Not `format`: what people ask or give may hold braces.
    asked = before + "\n\n".join(blocks) + after.replace("{question}", question)
    return [*start, Message("user", asked)]


def block(document: Document) -> str:
    """A document as the model sees it: delimited, with its name, and the line that a passage begins at."""
    name = document.name.replace('"', "'").replace("\n", " ")
    name = name.encode("utf-8", "backslashreplace").decode()  # of a file, whose name may be no text
    line = f' line="{document.first_line}"' if document.first_line > 1 else ""
    return f'<document name="{name}"{line}>\n{shown(document.text).strip()}\n</document>'


def plan(
    session: Session,
    question: str,
    documents: Sequence[Document],
    *,
    system: str | None = None,
    ask: Ask = prompt,
) -> tuple[str, int]:
    """The prompt as the model would get it, and its tokens; nothing is run."""
    messages = ask(question, documents, system)
    return session.prompt_text(messages), session.count_messages(messages)


def answer(
    session: Session,
    question: str,
    documents: Sequence[Document],
    sampling: SamplingConfig,
    *,
    system: str | None = None,
    overflow: Overflow = "error",
    ask: Ask = prompt,
    grammar: Grammar | None = None,
    end_loops: bool = False,
) -> Generator[Chunk | TaskProgress | Coverage | Citation, None, None]:
    """Stream the answer; where documents had to be shortened, their Coverage comes first. Last come its Citations.

    `overflow` `search`: of more than READ_TOKENS the passages that matter for the question are read.
    `ask` and `grammar`: another way to put the question, and what the answer is held to. `end_loops`: an answer that
    says the same again and again ends, with the finish reason `repeated`.

    Raises InputTooLong if the prompt and the reply's room exceed the context and `overflow` is `error`, or if the
    question alone is too long.
    """

    def put(some: Sequence[Document]) -> list[Message]:
        return ask(question, some, system)

    documents, sources = yield from _fitted(session, question, documents, sampling, overflow, put)
    if documents and ask is prompt and grammar is None:
        refusal = REFUSALS[language_of(question)]
        chunks = answered(session, question, documents, sampling, ask=put, refusal=refusal)
    else:
        chunks = session.stream(put(documents), sampling, grammar=grammar)
    text = ""
    for chunk in ended_at_loops(chunks, question) if end_loops and grammar is None else chunks:
        text += chunk.text
        yield chunk
    if text.strip() not in REFUSALS.values():  # a line may hold its words and says nothing of the question
        yield from cite(text, question, sources)


def _fitted(
    session: Session,
    question: str,
    documents: Sequence[Document],
    sampling: SamplingConfig,
    overflow: Overflow,
    put: Callable[[Sequence[Document]], list[Message]],
) -> Generator[Chunk | TaskProgress | Coverage, None, tuple[Sequence[Document], Sequence[Document]]]:
    """What is read of documents, and what of that may be cited. Raises InputTooLong."""
    tokens = session.count_messages(put(documents))
    room = session.context - sampling.max_tokens
    if documents and overflow == "search":
        room = min(room, READ_TOKENS)
    if tokens <= room:
        return documents, documents
    if not documents or overflow == "error":
        raise _too_long(session, tokens, sampling.max_tokens, bool(documents))
    frame = session.count_messages(put([replace(d, text="") for d in documents]))
    budget = room - frame - 8 * len(documents)  # borders merge differently once a text is cut
    if budget < 1:
        raise _too_long(session, frame, sampling.max_tokens, False)
    if overflow == "summarize":
        return (yield from _summaries(session, documents, budget, sampling)), []
    if overflow == "search":
        found, coverage = yield from retrieve(session, question, documents, min(budget, PASSAGES_TOKENS))
        if not found:  # asked without a passage, a model answers from what it has heard
            raise _too_long(session, tokens, sampling.max_tokens, False)
        yield coverage
        return found, found
    kept, coverage = cut_documents(documents, session.count, budget, overflow)
    yield coverage
    return kept, []  # lines left out have moved the others


def _too_long(session: Session, tokens: int, reply: int, documents: bool) -> InputTooLong:
    if reply >= session.context or (tokens < session.context and not documents):
        hint = "lower --max-tokens"
    elif documents:
        hint = "--overflow search, head, tail, middle or summarize fits the documents; or raise --ctx."
    else:
        hint = "shorten the question; or raise --ctx."
    return InputTooLong(f"input {tokens} tok + {reply} for the reply > {session.context} context", hint=hint)


def _summaries(
    session: Session, documents: Sequence[Document], budget: int, sampling: SamplingConfig
) -> Generator[Chunk | Coverage, None, list[Document]]:
    """Documents with a summary of all of it in place of each long one; the empty chunks let the caller stop."""
    from engine.tasks.short_text import stays_whole
    from engine.tasks.summarize import summarize

    shortened, read = [], []
    share = max(64, budget // len(documents))
    for document in documents:
        if (tokens := session.count(document.text)) <= share:
            shortened.append(document)
            lines = len(lines_of(document.text))
            read.append(Coverage(1, 1, lines, lines, tokens, tokens))
            continue
        text = ""
        length = "50%" if stays_whole(session, document.text, "long") else "long"  # its own is too long here
        brief = replace(sampling, max_tokens=min(share, 512))
        for event in summarize(session, document, sampling=brief, length=length):
            if isinstance(event, Coverage):
                read.append(event)
            elif isinstance(event, Chunk):
                text += event.text
            yield Chunk("")
        shortened.append(Document(document.name, text))
    yield joined(read)
    return shortened
