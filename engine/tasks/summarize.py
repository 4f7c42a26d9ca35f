"""Summarizes all of a text: in one pass where it fits, else passage by passage, several decoded together.

A long text's summary is made of parts, each about a stretch of lines: passages are summarized, and neighbours'
summaries combined, as deep as it takes, until as many parts are left as the wished length has room for. So no stretch
is lost in one last reduction, and every part can say which lines it speaks of.

A text that is no longer than the summary asked for comes out whole: a model has nothing to leave out there, and adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import EngineError, InputError, InputTooLong
from engine.language import language_of
from engine.loops import Watch, ended_at_loops
from engine.schema import Chunk, Coverage, Document, FinishReason, Language, Message, SummaryPart, TaskProgress
from engine.tasks.addresses import without_addresses
from engine.tasks.breaks import lines_in, shown
from engine.tasks.length import Length, words_in
from engine.tasks.passages import Passage, split
from engine.tasks.sentences import sentences
from engine.tasks.short_text import bare, given, span, stays_whole

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from engine.config import SamplingConfig
    from engine.session import Session

SINGLE_TOKENS = 2048
"""Read in one pass."""
PASSAGE_TOKENS = 1024
"""Of a longer text read at a time: small models lose the thread, and attention grows with the square."""

RECIPE = 4
"""Counts changes of what is made of a reply: results kept under another recipe are written again."""
_TOLERANCE = 1.5
"""Times the asked words that a part may have."""
_ECHO: dict[Language, int] = {"en": 24, "zh": 12}
"""Characters of an instruction by which it is known where a reply begins to repeat it."""

WHOLE: dict[Language, str] = {
    "en": "{text}\n\nSummarize the text above in {length}.{focus} Write only the summary, in English.",
    "zh": "{text}\n\n请用{length}概括上面的文字，{focus}只写摘要，使用中文。",
}
PART: dict[Language, str] = {
    "en": "{text}\n\nThe text above is a part of a document. Summarize this part in {length}, keeping names, numbers "
    "and results.{focus} Write only the summary, in English.",
    "zh": "{text}\n\n上面是一篇文档的一部分。请用{length}概括这一部分，保留人名、数字和结论。"
    "{focus}只写摘要，使用中文。",
}
COMBINE: dict[Language, str] = {
    "en": "{text}\n\nThe paragraphs above summarize the consecutive parts of a text. "
    "Combine them into one summary in {length}.{focus} Write only the summary, in English.",
    "zh": "{text}\n\n上面各段依次概括了同一篇文字的各个部分。请把它们合并成一个摘要，用{length}。"
    "{focus}只写摘要，使用中文。",
}
FOCUS: dict[Language, str] = {
    "en": " Tell only what it says about this: {focus}.",
    "zh": "只写与“{focus}”有关的内容，",
}


class Memory(Protocol):
    """Where what the model wrote about a passage is kept, so that the same passage is not read twice."""

    def get(self, key: str) -> str | None:
        """What was kept."""

    def put(self, key: str, text: str) -> None:
        """Keep it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What kind of summary is wanted."""

    language: Language
    length: Length
    bullets: bool = False
    focus: str = ""

    def ask(self, template: dict[Language, str], text: str, length: Length) -> str:
        """The prompt for a text."""
        # Not `format` on the whole: what people give may hold braces.
        before, after = template[self.language].split("{text}")
        focus = FOCUS[self.language].replace("{focus}", self.focus) if self.focus else ""
        return before + shown(text) + after.replace("{length}", length.words(self.language)).replace("{focus}", focus)

    def echo(self, template: dict[Language, str], length: Length) -> str:
        """How what is asked begins: a reply that says it has nothing more of its own to say."""
        return self.ask(template, "", length).strip()[: _ECHO[self.language]]


Event = Chunk | TaskProgress | SummaryPart | Coverage


def summarize(
    session: Session,
    document: Document,
    *,
    sampling: SamplingConfig,
    language: Language | None = None,
    length: str = "medium",
    bullets: bool = False,
    focus: str = "",
    memory: Memory | None = None,
) -> Generator[Event, None, None]:
    """Stream a summary of all of the document, in its own language unless told; at the end comes the Coverage.

    `length`: short, medium, long, N% or Nw. `bullets`: one line a part, with the lines it is about. `focus`: what to
    look for. Raises InputError for an empty text and InputTooLong for a context that has no room for a passage.
    """
    if not document.text.strip():
        raise InputError(f"{document.name} is empty: nothing to summarize")
    wish = Wish(language or language_of(document.text), Length.parse(length, document.text), bullets, focus)
    if stays_whole(session, document.text, length):
        yield from given(session, document, wish.language, sampling, bullets=bullets)
        return
    room = _room(session, wish.length, sampling)
    text = without_addresses(document.text)
    passages, wanted = _passages(session, text, wish, room)
    writer = _Writer(session, sampling, memory)
    whole = len(passages) == 1 and not bullets
    # Who had nothing of its own to say of a whole text has something of a part of one: it is asked in other words.
    if not (whole and (yield from _in_one_pass(session, text.strip(), wish, sampling))):
        yield from _in_parts(writer, passages, wish, wanted, min(PASSAGE_TOKENS, room))
    tokens = sum(passage.tokens for passage in passages)
    lines = lines_in(document.text)
    yield Coverage(len(passages), len(passages), lines, lines, tokens, tokens, chunks_cached=writer.remembered)


def summarize_rows(
    session: Session, texts: Sequence[str], *, sampling: SamplingConfig, memory: Memory | None = None, **wish: Any
) -> Generator[tuple[int, str | EngineError], None, None]:
    """The number of each text and its summary, or why there is none; short texts are decoded together.

    `wish`: language, length, bullets and focus as in `summarize`.
    """
    short: dict[Length, list[tuple[int, str]]] = {}
    long: list[int] = []
    for number, text in enumerate(texts):
        length = Length.parse(wish.get("length", "medium"), text)
        tokens = session.count(text)
        one = not wish.get("bullets") and tokens <= SINGLE_TOKENS // 2 and length.sections(tokens) == 1
        if one and text.strip() and not stays_whole(session, text, wish.get("length", "medium")):
            asked = Wish(wish.get("language") or language_of(text), length, focus=wish.get("focus", ""))
            short.setdefault(length, []).append((number, asked.ask(WHOLE, without_addresses(text).strip(), length)))
        else:
            long.append(number)
    for length, asks in short.items():  # a share of each text is a length of its own
        said, watches = [""] * len(asks), [Watch("") for _ in asks]
        conversations = ([Message("user", ask)] for _, ask in asks)
        limited = _limited(sampling, length, *(Wish(language, length).echo(WHOLE, length) for language in WHOLE))
        for at, chunk in session.stream_many(conversations, limited, enough=length.reached):
            number = asks[at][0]
            if isinstance(chunk, EngineError):
                yield number, chunk
                continue
            if not watches[at].ended:  # else the others are waited for
                said[at] += "".join(told.text for told in watches[at].take(chunk))
            if chunk.finish_reason and said[at].strip():
                yield number, said[at].strip()
            elif chunk.finish_reason:
                long.append(number)
    for number in long:
        document = Document(f"text {number + 1}", texts[number])
        try:
            events = summarize(session, document, sampling=sampling, memory=memory, **wish)
            yield number, "".join(event.text for event in events if isinstance(event, Chunk)).strip()
        except EngineError as error:
            yield number, error


def _room(session: Session, wanted: Length, sampling: SamplingConfig) -> int:
    """Tokens of text that a prompt has room for."""
    frame = 200  # the instructions and the chat format around a passage
    room = session.context - frame - min(sampling.max_tokens, wanted.tokens)
    if room < 64:
        raise InputTooLong(
            f"a context of {session.context} tokens has no room to summarize in", hint="Raise --ctx or ask for less."
        )
    return room


def _passages(session: Session, text: str, wish: Wish, room: int) -> tuple[list[Passage], int]:
    """One passage, or those of a long text, cut so that an edit moves no border far; and how many parts are wanted."""
    whole = split(text, session.count, min(SINGLE_TOKENS, room))
    if len(whole) > 1:
        return split(text, session.count, min(PASSAGE_TOKENS, room), steady=True), wish.length.parts()
    tokens = whole[0].tokens
    pieces = max(1, min(wish.length.parts(), tokens // 40)) if wish.bullets else wish.length.sections(tokens)
    cut = split(text, session.count, -(-tokens // pieces))
    return cut, len(cut)  # one more than asked for, where the text's own borders lie so


def _in_one_pass(session: Session, text: str, wish: Wish, sampling: SamplingConfig) -> Generator[Event, None, bool]:
    """Whether the model said something; if not, nothing came but empty chunks that end nothing."""
    limited = _limited(sampling, wish.length, wish.echo(WHOLE, wish.length))
    messages = [Message("user", wish.ask(WHOLE, text, wish.length))]
    said = False
    for chunk in ended_at_loops(session.stream(messages, limited, enough=wish.length.reached), ""):
        said = said or bool(chunk.text.strip())
        if said or not chunk.finish_reason:
            yield chunk
    return said


def _in_parts(
    writer: _Writer, passages: Sequence[Passage], wish: Wish, wanted: int, room: int
) -> Generator[Event, None, None]:
    """Summarize the passages and combine neighbours until the parts are as few as wanted; the last level comes out."""
    parts = [SummaryPart(p.text.strip(), p.first_line, p.last_line, p.tokens) for p in passages]
    template = PART
    groups = [[part] for part in parts]
    total, done = len(parts) + (wanted if len(parts) > wanted else 0), 0
    yield TaskProgress(0, total)
    while True:
        last = len(groups) <= wanted
        share = wish.length.share(len(groups)) if last else Length.of_a_passage()
        asks = [wish.ask(template, "\n\n".join(part.text for part in group), share) for group in groups]
        level: list[SummaryPart] = []
        for event in writer.write(asks, share, wish.echo(template, share), passages=template is PART):
            if isinstance(event, Chunk):
                yield event
                continue
            part = _joined(groups[len(level)], event)
            level.append(part)
            done += 1
            yield TaskProgress(done, max(total, done + len(groups) - len(level)))
            if last:
                yield part
                yield _line(part, wish, writer, len(level) == len(groups))
        if last:
            return
        template, groups = COMBINE, _grouped(writer.session, level, wanted, room)
        if len(groups) == len(level):  # nothing can be combined: they are the summary
            for number, part in enumerate(level, 1):
                yield part
                yield _line(part, wish, writer, number == len(level))
            return


def _grouped(session: Session, parts: Sequence[SummaryPart], wanted: int, room: int) -> list[list[SummaryPart]]:
    """Neighbours in groups, about equal in what they cover and together no longer than a prompt has room for."""
    total = sum(part.tokens for part in parts)
    groups: list[list[SummaryPart]] = [[]]
    covered = size = 0
    for part in parts:
        tokens = session.count(part.text) + 2
        border = total * len(groups) / wanted
        if groups[-1] and (size + tokens > room or covered + part.tokens / 2 > border):
            groups.append([])
            size = 0
        groups[-1].append(part)
        covered, size = covered + part.tokens, size + tokens
    return groups


def _joined(group: Sequence[SummaryPart], text: str) -> SummaryPart:
    return SummaryPart(text, group[0].first_line, group[-1].last_line, sum(part.tokens for part in group))


def _line(part: SummaryPart, wish: Wish, writer: _Writer, last: bool) -> Chunk:
    """A part as a piece of the summary's text."""
    text = part.text
    if wish.bullets:
        text = f"- {text}{span(part.first_line, part.last_line, wish.language)}" + "\n" * (not last)
    elif not last:
        text += "\n\n" if wish.length.paragraphs else " " if wish.language == "en" else ""
    return writer.chunk(text, "stop" if last else None)


class _Writer:
    """Runs prompts several at a time, remembers what was written, and counts."""

    def __init__(self, session: Session, sampling: SamplingConfig, memory: Memory | None) -> None:
        self.session, self._sampling = session, sampling
        repeatable = sampling.temperature == 0 or sampling.seed is not None
        self._memory = memory if repeatable else None
        self.remembered = 0
        """Passages that were not read again."""
        self._prompt_tokens = self._output_tokens = 0

    def chunk(self, text: str, finish: FinishReason | None = None) -> Chunk:
        """A piece of text with the tokens of all runs so far."""
        return Chunk(text, prompt_tokens=self._prompt_tokens, output_tokens=self._output_tokens, finish_reason=finish)

    def write(
        self, asks: Sequence[str], length: Length, echo: str, *, passages: bool
    ) -> Generator[str | Chunk, None, None]:
        """What the model writes for each prompt, in order; empty chunks in between let the caller stop.

        `passages`: the prompts hold the text itself, not what was written about it.
        """
        sampling = _limited(self._sampling, length, echo)
        keys = [self._key(ask, sampling, length) for ask in asks]
        done: dict[int, str] = {}
        for number, key in enumerate(keys):
            known = self._memory.get(key) if self._memory else None
            if known is not None:
                done[number] = known
                self.remembered += passages
        todo = [number for number in range(len(asks)) if number not in done]
        conversations = ([Message("user", asks[number])] for number in todo)
        texts = dict.fromkeys(todo, "")
        given = 0
        while given in done:
            yield done.pop(given)
            given += 1
        for at, chunk in self.session.stream_many(conversations, sampling, enough=length.reached):
            if isinstance(chunk, EngineError):
                raise chunk
            number = todo[at]
            texts[number] += chunk.text
            if chunk.finish_reason:
                self._prompt_tokens += chunk.prompt_tokens
                self._output_tokens += chunk.output_tokens
                done[number] = tidy(texts.pop(number), length.target, cut=chunk.finish_reason == "length")
                if self._memory:
                    self._memory.put(keys[number], done[number])
            yield self.chunk("")
            while given in done:
                yield done.pop(given)
                given += 1

    def _key(self, ask: str, sampling: SamplingConfig, length: Length) -> str:
        return "\n".join((str(RECIPE), self.session.identity, repr(sampling), repr(length), ask))


def tidy(text: str, words: int, *, cut: bool) -> str:
    """A part's text on one line, without a list's mark: its first whole sentences, about as many `words` as asked for.

    Small models say more than they are asked to, and the same again. `cut`: the last sentence is not whole.
    """
    text = bare(" ".join(text.split()))
    whole = list(sentences(text))
    if cut and len(whole) > 1:
        whole.pop()
    different = dict[str, str]()
    for sentence in whole:
        different.setdefault(sentence.strip(), sentence)
    whole = list(different.values())
    kept, room = whole[:1], words * _TOLERANCE - sum(map(words_in, whole[:1]))
    for sentence in whole[1:]:
        room -= words_in(sentence)
        if room < 0:
            break
        kept.append(sentence)
    return "".join(kept).strip()


def _limited(sampling: SamplingConfig, length: Length, *stops: str) -> SamplingConfig:
    most = min(sampling.max_tokens, length.tokens)
    return replace(sampling, max_tokens=most, min_tokens=length.least_tokens, stop=(*sampling.stop, *stops))
