"""Translates documents between English and Chinese; what is not text stays, byte for byte, where it stands.

Stretches of a few sentences are translated one by one; each result is checked, and tried once more where it fails.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.errors import InputError, InputTooLong
from engine.schema import Chunk, Coverage, Document, Language, Message
from engine.tasks.doubts import SEVERITY, Doubt, doubt, tidy
from engine.tasks.inline import Hidden, has_words, hide, joined, stretches, words_of
from engine.tasks.markup import Piece, pieces
from engine.tasks.passages import split
from engine.tasks.sentences import sentences
from engine.tasks.summarize import ChunkProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.config import SamplingConfig
    from engine.session import Session

INSTRUCTIONS: dict[Language, str] = {
    "zh": "You are a translator. Translate each message from English into Chinese. Reply with the translation alone.",
    "en": "你是一名翻译。把每条消息从中文翻译成英文，只回复译文。",
}
"""By target language."""
EXAMPLES: tuple[tuple[str, str], ...] = (
    ("What time does the museum open on Sundays?", "博物馆星期天几点开门？"),
    ("Write a short letter to your landlord and ask for a new key.", "给房东写一封短信，请他配一把新钥匙。"),
    (
        "The new bridge, finished in 2019, carries about 40,000 cars a day.",
        "这座新桥于2019年建成，每天约有四万辆汽车通过。",
    ),
    ("Installing the program", "安装程序"),
    ("Run `make test` before you change anything.", "在做任何改动之前，先运行`make test`。"),
    ("She put the photograph back in the drawer and said nothing for a while.", "她把照片放回抽屉，好一会儿没有说话。"),
)
"""Our own, given as turns: a question and a request that are translated, not answered; a heading; code that stays."""
AGAIN: dict[Language, str] = {
    "zh": "请把下面的英文翻译成中文，只写译文：\n\n{text}",
    "en": "Translate the following Chinese text into English. Write only the translation.\n\n{text}",
}
"""The second attempt: another wording, no examples, repetition punished."""
PENALTY = 1.15
SEGMENT_TOKENS = 128
"""The most that is translated at a time; only longer sentences are cut."""
WINDOW = 24
"""Segments that are taken up together and written in order."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Lines of the source whose translation failed a check, also at the second attempt."""

    first_line: int
    last_line: int
    why: Doubt


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Lines that were already in the target language."""

    first_line: int
    last_line: int


Event = Chunk | ChunkProgress | Coverage | Doubtful | Unchanged


def translate(
    session: Session, document: Document, *, sampling: SamplingConfig, to: Language | None = None
) -> Generator[Event, None, None]:
    """Stream the document in the language `to`, by default the other one of the two; at the end comes the Coverage.

    Raises InputError for an empty text and InputTooLong for a context that has no room for a sentence.
    """
    if not document.text.strip():
        raise InputError(f"{document.name} is empty: nothing to translate")
    to = to or target_of(document.text)
    lines = document.text.count("\n") + (not document.text.endswith("\n"))
    work = _Work(session, to, sampling, _limit(session, to), lines)
    window: list[_Segment] = []
    for segment in _segments(work, document.text):
        window.append(segment)
        if sum(bool(other.source) for other in window) == WINDOW:
            yield from _translated(work, window)
            window = []
    yield from _translated(work, window)
    yield replace(work.spent, finish_reason="stop")
    yield Coverage(work.segments, work.segments, lines, lines, work.tokens, work.tokens)


def target_of(text: str) -> Language:
    """The other language than the text's own; its code and addresses don't count."""
    chinese = latin = 0
    for piece in pieces(text):
        found = words_of(piece.words)
        chinese, latin = chinese + found[0], latin + found[1]
        if chinese + latin > 5000:
            break
    return "en" if chinese > latin else "zh"


def prompt(to: Language, text: str) -> list[Message]:
    """The instruction, the examples, and last the text, so that all before it stays in the KV cache."""
    messages = [Message("system", INSTRUCTIONS[to])]
    for english, chinese in EXAMPLES:
        source, target = (english, chinese) if to == "zh" else (chinese, english)
        messages += [Message("user", source), Message("assistant", target)]
    return [*messages, Message("user", text)]


@dataclass(slots=True)
class _Work:
    """What holds for a whole document, and the sums of its runs."""

    session: Session
    to: Language
    sampling: SamplingConfig
    limit: int
    """Tokens a segment."""
    lines: int
    started: float = field(default_factory=time.perf_counter)
    segments: int = 0
    tokens: int = 0
    spent: Chunk = field(default_factory=lambda: Chunk(""))
    """Tokens and seconds so far."""

    def add(self, chunk: Chunk) -> None:
        """Count a finished reply."""
        spent = self.spent
        prefill = spent.prefill_seconds + chunk.prefill_seconds
        self.spent = replace(
            spent,
            prompt_tokens=spent.prompt_tokens + chunk.prompt_tokens,
            cached_tokens=spent.cached_tokens + chunk.cached_tokens,
            output_tokens=spent.output_tokens + chunk.output_tokens,
            prefill_seconds=prefill,
            decode_seconds=max(0.0, time.perf_counter() - self.started - prefill),
        )


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of the document: with a `source` to translate, else it stays as it is."""

    text: str
    source: str
    first_line: int
    last_line: int
    follows: bool = False
    """Whether it goes on with the paragraph of the one before."""
    tokens: int = 0
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One translation of a segment and what speaks against it."""

    text: str
    why: Doubt
    logprobs: tuple[float, ...] = ()


def _limit(session: Session, to: Language) -> int:
    frame = session.count_messages(prompt(to, "")) + 16
    room = (session.context - frame) // 4  # the source, and its translation up to three times as long
    if room < 12:
        raise InputTooLong(f"a context of {session.context} tokens has no room to translate in", hint="Raise --ctx.")
    return min(SEGMENT_TOKENS, room)


def _segments(work: _Work, text: str) -> Iterator[_Segment]:
    """The document in order; a long paragraph in several segments, of which the first holds its text."""
    count = work.session.count
    for piece in pieces(text):
        first, last = piece.first_line, piece.last_line
        if not has_words(piece.words):
            yield _Segment(piece.text, "", first, last)
        elif _is_in(work.to, piece):
            yield _Segment(piece.text, "", first, last, tokens=count(piece.words), unchanged=True)
        else:
            passages = [part for one in sentences(piece.words) for part in split(one, count, work.limit)]
            for number, passage in enumerate(passages):
                source = passage.text.strip()
                yield _Segment("" if number else piece.text, source, first, last, bool(number), passage.tokens)


def _is_in(language: Language, piece: Piece) -> bool:
    """Whether a piece is in a language already; a foreign name or word in it doesn't matter."""
    chinese, latin = words_of(piece.words)
    return chinese > latin if language == "zh" else chinese * 4 < latin


def _translated(work: _Work, window: Sequence[_Segment]) -> Generator[Event, None, None]:
    """Translate some segments together; each is written when it and all before it are settled."""
    asked = [segment for segment in window if segment.source]
    settled: dict[int, _Attempt] = {}
    doubtful: dict[int, _Attempt] = {}
    writer = _Writer(work, window)
    for index, attempt in _first(work, asked):
        if attempt and attempt.why:
            doubtful[index] = attempt
        elif attempt:
            settled[index] = attempt
        yield from writer.write(settled)
    for index, attempt in _second(work, asked, doubtful):
        if attempt:
            settled[index] = min(doubtful[index], attempt, key=lambda tried: SEVERITY.index(tried.why))
        yield from writer.write(settled)
    yield from writer.write(settled)


Attempts = Generator[tuple[int, _Attempt | None], None, None]
"""Finished attempts by the number of their segment; None in between, so that the caller can stop."""


def _first(work: _Work, asked: Sequence[_Segment]) -> Attempts:
    hidden = [hide(segment.source) for segment in asked]
    for index, reply in _replies(work, [prompt(work.to, one.text) for one in hidden], asked, 1.0):
        yield index, _judged(hidden[index], asked[index], reply, work.to) if reply else None


def _second(work: _Work, asked: Sequence[_Segment], doubtful: dict[int, _Attempt]) -> Attempts:
    """Where marks were lost, the words between them one by one; else another prompt."""
    others = [index for index, attempt in doubtful.items() if attempt.why != "marks"]
    hidden = [hide(asked[index].source) for index in others]
    asks = [[Message("user", AGAIN[work.to].replace("{text}", one.text))] for one in hidden]
    for at, reply in _replies(work, asks, [asked[index] for index in others], PENALTY):
        yield others[at], _judged(hidden[at], asked[others[at]], reply, work.to) if reply else None
    for index in (index for index, attempt in doubtful.items() if attempt.why == "marks"):
        yield from ((index, attempt) for attempt in _in_stretches(work, asked[index]))


def _in_stretches(work: _Work, segment: _Segment) -> Generator[_Attempt | None, None, None]:
    parts = stretches(segment.source)
    said = [at for at, (_, words) in enumerate(parts) if words]
    texts = [part for part, _ in parts]
    for at, reply in _replies(work, [prompt(work.to, texts[at].strip()) for at in said], [segment] * len(said), 1.0):
        if reply:
            source = parts[said[at]][0]
            texts[said[at]] = tidy(reply.text, source.strip(), work.to)
            if doubt(texts[said[at]], source, work.to) in {"empty", "language", "repeats"}:
                texts[said[at]] = source
        yield None
    text = joined(texts, spaced=work.to == "en")
    yield _Attempt(text, doubt(text, segment.source, work.to))


def _judged(hidden: Hidden, segment: _Segment, reply: Chunk, to: Language) -> _Attempt:
    text, whole = hidden.show(tidy(reply.text, hidden.text, to))
    why = doubt(text, segment.source, to, cut=reply.finish_reason == "length")
    if not whole and SEVERITY.index(why) < SEVERITY.index("marks"):
        why = "marks"
    return _Attempt(text, why, reply.logprobs)


def _replies(
    work: _Work, asks: Sequence[Sequence[Message]], segments: Sequence[_Segment], penalty: float
) -> Generator[tuple[int, Chunk | None], None, None]:
    """Each reply, whole, when it is complete; None in between."""
    if not asks:
        return
    room = min(work.sampling.max_tokens, 32 + 2 * max(segment.tokens for segment in segments))
    punished = max(penalty, work.sampling.repetition_penalty)
    sampling = replace(work.sampling, max_tokens=room, repetition_penalty=punished)
    replies = [Chunk("") for _ in asks]
    for index, chunk in work.session.stream_many(asks, sampling):
        if isinstance(chunk, InputTooLong):
            yield index, Chunk("", finish_reason="length")
            continue
        so_far = replies[index]
        replies[index] = replace(chunk, text=so_far.text + chunk.text, logprobs=so_far.logprobs + chunk.logprobs)
        if chunk.finish_reason:
            work.add(chunk)
        yield index, replies[index] if chunk.finish_reason else None


class _Writer:
    """Puts a window out in order, as far as it is settled."""

    def __init__(self, work: _Work, window: Sequence[_Segment]) -> None:
        self._work, self._window = work, window
        self._at = self._asked = 0

    def write(self, settled: dict[int, _Attempt]) -> Generator[Event, None, None]:
        """What can be written now; an empty chunk where nothing can."""
        yield replace(self._work.spent, text="")
        while self._at < len(self._window):
            segment = self._window[self._at]
            if segment.source and self._asked not in settled:
                return
            self._at += 1
            self._work.tokens += segment.tokens
            if segment.source:
                yield from self._translation(segment, settled[self._asked])
                self._asked += 1
                continue
            yield replace(self._work.spent, text=segment.text)
            if segment.unchanged:
                yield Unchanged(segment.first_line, segment.last_line)

    def _translation(self, segment: _Segment, attempt: _Attempt) -> Generator[Event, None, None]:
        gap = " " if segment.follows and self._work.to == "en" else ""
        self._work.segments += 1
        yield replace(self._work.spent, text=gap + attempt.text, logprobs=attempt.logprobs)
        yield ChunkProgress(segment.last_line, self._work.lines)
        if attempt.why:
            yield Doubtful(segment.first_line, segment.last_line, attempt.why)
