"""Translates documents between English and Chinese; what is not text stays, byte for byte, where it stands.

Sentence by sentence, several decoded together; each result is checked, and tried once more where it fails.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.errors import EngineError, InputError, InputTooLong
from engine.schema import Chunk, Coverage, Document, Language, Message, TaskProgress
from engine.tasks.breaks import lines_in
from engine.tasks.doubts import SEVERITY, Doubt, doubt, tidy
from engine.tasks.inline import Hidden, hide, joined, stretches
from engine.tasks.segments import Segment, segments, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.config import SamplingConfig
    from engine.session import Session

INSTRUCTIONS: dict[Language, str] = {
    "zh": "You are a translator. Translate each message from English into Chinese. Reply with the translation alone.",
    "en": "你是一名翻译。把每条消息从中文翻译成英文，只回复译文。",
}
"""By target language, in the source's: measured best. chrF into Chinese and English on 60 development pairs (Tatoeba),
greedy, by the default model: 26.9 and 48.2; the same in the target language 25.9 and 47.9; the instruction again in
each turn 24.7 and 48.1, after the text 24.4 (Chinese). Without examples: 21.0 and 44.1; asked in the user's turn in
English 20.8 and 42.5, in Chinese 21.7 and 44.8. With 3 examples 24.6 and 44.3, with 12 24.8 and 46.4."""
EXAMPLES: tuple[tuple[str, str], ...] = (
    ("What time does the museum open on Sundays?", "博物馆星期天几点开门？"),
    ("Write a short letter to your landlord and ask for a new key.", "给房东写一封短信，请他配一把新钥匙。"),
    (
        "The new bridge, finished in 2019, carries about 40,000 cars a day.",
        "这座新桥于2019年建成，每天约有四万辆汽车通过。",
    ),
    ("Installing the program", "安装程序"),
    ("Run `make test` before **any** change.", "在做**任何**改动之前，先运行`make test`。"),
    ("She put the photograph back in the drawer and said nothing for a while.", "她把照片放回抽屉，好一会儿没有说话。"),
)
"""Our own, given as turns: a question and a request that are translated, not answered; a heading; marks that stay."""
AGAIN: dict[Language, str] = {
    "zh": "Translate the following text into Chinese. Write only the translation.\n\n{text}",
    "en": "把下面的文字翻译成英文，只写译文。\n\n{text}",
}
"""The second attempt: the same examples, the instruction in each turn."""
ALONE = "把下面的文字翻译成中文，只写译文。\n\n{text}"
"""The second attempt into Chinese, but for questions: no examples. Of 160 development pairs each way 11 and 20 were
doubted. The instruction in each turn mended 4 and 14 of them (questions nearly always), this 8 and 10 (of the 8 with
English words left in the Chinese 7, the other only 1), the first prompt with repetition punished 0 and 2. Words that
are left then stay, and are told: asked for alone, 5 of 12 came back untranslated each way, and others wrong."""
PENALTY = 1.1
"""On repetition, at the second attempt."""
SEGMENT_TOKENS = 128
"""The most that is translated at a time; only longer sentences are cut. chrF on eight paragraphs of our own, into
Chinese and English: sentence by sentence 26.2 and 54.8; with the two before as turns 26.2 and 55.1, but then they can't
be decoded together; by paragraphs 25.6 and 53.4."""
LANGUAGES: tuple[Language, ...] = ("en", "zh")
WINDOW = 24
"""Segments that are taken up together and written in order."""
LONGEST_WINDOW = 1000
"""Segments and what stands between them, held back at most."""


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


Event = Chunk | TaskProgress | Coverage | Doubtful | Unchanged


def translate(
    session: Session, document: Document, *, sampling: SamplingConfig, to: Language | None = None
) -> Generator[Event, None, None]:
    """Stream the document in the language `to`, by default the other one of the two; at the end comes the Coverage.

    Raises InputError for an empty text and InputTooLong for a context that has no room for a sentence.
    """
    with contextlib.closing(translate_many(session, [document], sampling=sampling, to=to)) as events:
        for _, event in events:
            if isinstance(event, InputError):
                raise event
            yield event


def translate_many(
    session: Session, documents: Iterable[Document], *, sampling: SamplingConfig, to: Language | None = None
) -> Generator[tuple[int, Event | InputError], None, None]:
    """`translate` for several documents, sentences of all decoded together: each event with its document's number.

    One document's events end before the next one's begin. An empty one gives the InputError that `translate` raises.
    """
    window: list[_Task] = []
    asked = 0
    for task in _tasks(session, documents, to):
        window.append(task)
        asked += task.is_asked
        if asked == WINDOW or len(window) == LONGEST_WINDOW:
            yield from _translated(session, sampling, window)
            window, asked = [], 0
    yield from _translated(session, sampling, window)


def _tasks(session: Session, documents: Iterable[Document], to: Language | None) -> Iterator[_Task]:
    limits = {language: _limit(session, language) for language in LANGUAGES if to in {None, language}}
    for number, document in enumerate(documents):
        if not document.text.strip():
            error = InputError(f"{document.name} is empty: nothing to translate")
            yield _Task(_Work(number, LANGUAGES[0], 0), None, error)
            continue
        into = to or target_of(document.text)
        work = _Work(number, into, lines_in(document.text))
        for segment in segments(document.text, into, session.count, limits[into]):
            yield _Task(work, segment)
        yield _Task(work, None)


def prompt(to: Language, text: str) -> list[Message]:
    """The instruction, the examples, and last the text, so that all before it stays in the KV cache."""
    return [Message("system", INSTRUCTIONS[to]), *_turns(to, text, "{text}")]


def again(to: Language, text: str, why: Doubt) -> list[Message]:
    """What is asked at the second attempt."""
    if to == "zh" and why != "question":
        return [Message("user", ALONE.replace("{text}", text))]
    return _turns(to, text, AGAIN[to])


def _turns(to: Language, text: str, ask: str) -> list[Message]:
    messages = []
    for english, chinese in EXAMPLES:
        source, target = (english, chinese) if to == "zh" else (chinese, english)
        messages += [Message("user", ask.replace("{text}", source)), Message("assistant", target)]
    return [*messages, Message("user", ask.replace("{text}", text))]


def _limit(session: Session, to: Language) -> int:
    frame = session.count_messages(prompt(to, "")) + 16
    room = (session.context - frame) // 4  # the source, and its translation up to three times as long
    if room < 12:
        raise InputTooLong(f"a context of {session.context} tokens has no room to translate in", hint="Raise --ctx.")
    return min(SEGMENT_TOKENS, room)


@dataclass(slots=True)
class _Work:
    """A document's target, and the sums of its runs."""

    number: int
    to: Language
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
class _Task:
    """A segment of a document; without one, its end."""

    work: _Work
    segment: Segment | None
    error: InputError | None = None

    @property
    def is_asked(self) -> bool:
        """Whether the model has to do something."""
        return bool(self.segment and self.segment.source)

    @property
    def source(self) -> str:
        """What is to be translated."""
        return self.segment.source if self.segment else ""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One translation of a segment and what speaks against it."""

    text: str
    why: Doubt
    logprobs: tuple[float, ...] = ()


Numbered = Generator[tuple[int, Event | InputError], None, None]
Attempts = Generator[tuple[int, _Attempt | None], None, None]
"""Finished attempts by the number of their task; None in between, so that the caller can stop."""


def _translated(session: Session, sampling: SamplingConfig, window: Sequence[_Task]) -> Numbered:
    """Translate some segments together; each is written when it and all before it are settled."""
    asked = [task for task in window if task.is_asked]
    settled: dict[int, _Attempt] = {}
    doubtful: dict[int, _Attempt] = {}
    writer = _Writer(window)
    yield from writer.write(settled)
    for index, attempt in _first(session, sampling, asked):
        if attempt and attempt.why:
            doubtful[index] = attempt
        elif attempt:
            settled[index] = attempt
        yield from writer.write(settled)
    for index, attempt in _second(session, sampling, asked, doubtful):
        if attempt:
            settled[index] = min(doubtful[index], attempt, key=lambda tried: SEVERITY.index(tried.why))
        yield from writer.write(settled)


def _first(session: Session, sampling: SamplingConfig, asked: Sequence[_Task]) -> Attempts:
    hidden = [hide(task.source) for task in asked]
    asks = [prompt(task.work.to, one.text) for task, one in zip(asked, hidden, strict=True)]
    for index, reply in _replies(session, sampling, asks, asked):
        yield index, _judged(hidden[index], asked[index], reply) if reply else None


def _second(
    session: Session, sampling: SamplingConfig, asked: Sequence[_Task], doubtful: dict[int, _Attempt]
) -> Attempts:
    """Where marks were lost, the words between them one by one; else another prompt."""
    others = [index for index, attempt in doubtful.items() if attempt.why != "marks"]
    tasks = [asked[index] for index in others]
    hidden = [hide(task.source) for task in tasks]
    asks = [
        again(task.work.to, one.text, doubtful[index].why)
        for index, task, one in zip(others, tasks, hidden, strict=True)
    ]
    punished = replace(sampling, repetition_penalty=max(PENALTY, sampling.repetition_penalty))
    for at, reply in _replies(session, punished, asks, tasks):
        yield others[at], _judged(hidden[at], tasks[at], reply) if reply else None
    for index in (index for index, attempt in doubtful.items() if attempt.why == "marks"):
        yield from ((index, attempt) for attempt in _in_stretches(session, sampling, asked[index]))


def _in_stretches(session: Session, sampling: SamplingConfig, task: _Task) -> Generator[_Attempt | None, None, None]:
    to, parts = task.work.to, stretches(task.source)
    said = [at for at, (_, words) in enumerate(parts) if words]
    texts = [part for part, _ in parts]
    asks = [prompt(to, texts[at].strip()) for at in said]
    for at, reply in _replies(session, sampling, asks, [task] * len(said)):
        if reply:
            source = parts[said[at]][0]
            text = tidy(reply.text, source.strip(), to)
            texts[said[at]] = source if doubt(text, source, to) in {"empty", "language", "repeats"} else text
        yield None
    text = joined(texts, spaced=to == "en")
    yield _Attempt(text, doubt(text, task.source, to))


def _judged(hidden: Hidden, task: _Task, reply: Chunk) -> _Attempt:
    to = task.work.to
    text, whole = hidden.show(tidy(reply.text, hidden.text, to))
    why = doubt(text, task.source, to, cut=reply.finish_reason == "length")
    if not whole and SEVERITY.index(why) < SEVERITY.index("marks"):
        why = "marks"
    return _Attempt(text, why, reply.logprobs)


def _replies(
    session: Session, sampling: SamplingConfig, asks: Sequence[Sequence[Message]], tasks: Sequence[_Task]
) -> Generator[tuple[int, Chunk | None], None, None]:
    """Each reply, whole, when it is complete; None in between."""
    if not asks:
        return
    longest = max(task.segment.tokens for task in tasks if task.segment)
    room = min(sampling.max_tokens, 32 + 2 * longest)
    replies = [Chunk("") for _ in asks]
    for index, chunk in session.stream_many(asks, replace(sampling, max_tokens=room)):
        if isinstance(chunk, EngineError):
            yield index, Chunk("", finish_reason="length")
            continue
        so_far = replies[index]
        replies[index] = replace(chunk, text=so_far.text + chunk.text, logprobs=so_far.logprobs + chunk.logprobs)
        if chunk.finish_reason:
            tasks[index].work.add(chunk)
        yield index, replies[index] if chunk.finish_reason else None


class _Writer:
    """Puts a window out in order, as far as it is settled."""

    def __init__(self, window: Sequence[_Task]) -> None:
        self._window = window
        self._at = self._asked = 0

    def write(self, settled: dict[int, _Attempt]) -> Numbered:
        """What can be written now; an empty chunk where nothing can."""
        while self._at < len(self._window):
            task = self._window[self._at]
            if task.is_asked and self._asked not in settled:
                yield task.work.number, replace(task.work.spent, text="")
                return
            self._at += 1
            if task.error:
                yield task.work.number, task.error
                continue
            events = _written(task, settled.get(self._asked))
            self._asked += task.is_asked
            yield from ((task.work.number, event) for event in events)


def _written(task: _Task, attempt: _Attempt | None) -> list[Event]:
    """What a settled task adds to the output."""
    work, segment = task.work, task.segment
    if segment is None:
        coverage = Coverage(work.segments, work.segments, work.lines, work.lines, work.tokens, work.tokens)
        return [replace(work.spent, finish_reason="stop"), coverage]
    work.tokens += segment.tokens
    if attempt is None or not task.is_asked:
        unchanged = [Unchanged(segment.first_line, segment.last_line)] if segment.unchanged else []
        return [replace(work.spent, text=segment.text), *unchanged]
    work.segments += 1
    gap = " " if segment.follows and work.to == "en" else ""
    doubtful = [Doubtful(segment.first_line, segment.last_line, attempt.why)] if attempt.why else []
    return [
        replace(work.spent, text=gap + attempt.text, logprobs=attempt.logprobs),
        TaskProgress(segment.last_line, work.lines),
        *doubtful,
    ]
