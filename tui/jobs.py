"""What the model can be asked to do from the app: load, answer, list alternatives. Each runs on the model's thread."""

from __future__ import annotations

import contextlib
import gc
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import ModelNotFound
from engine.listening import Said, listened
from engine.loops import ended_at_loops, request_of
from tui.messages import (
    AlternativesFound,
    AnswerBegan,
    AnswerEnded,
    AnswerGrew,
    MeaningsFound,
    ModelLoaded,
    TitleWritten,
    TokensCounted,
    WordsWeighed,
)
from tui.runner import Runner, settle_memory
from tui.talk import Piece, fit

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from engine.counter import TextCounter
    from engine.schema import Chunk, Language, Message, ModelSummary
    from engine.session import Session
    from tui.store import Store

TITLE_PROMPTS: dict[Language, str] = {
    "en": "{text}\n\nGive the conversation above a title of at most six words. Write only the title.",
    "zh": "{text}\n\n给上面的对话起一个不超过十二个字的标题。只写标题。",
}
TITLED = 600
"""Characters of a message that a title is made from."""
RESERVE = 4
"""A quarter of the context is kept free for the answer before old turns fall out."""


def prompt_room(context: int, reply: int) -> int:
    """Tokens of a context that a prompt may take."""
    return context - min(reply, context // RESERVE)


@dataclass
class Job:
    """What all jobs have: a key, and a flag that ends them."""

    key: int = field(default_factory=Runner.new_key, kw_only=True)
    stopped: threading.Event = field(default_factory=threading.Event, kw_only=True)
    brief: ClassVar[bool] = True

    def hear(self, room: Runner, say: Callable[[], Generator[Said, None, None]]) -> Generator[Said, None, None]:
        """What is said, until the job is stopped: a server that hangs is let go of."""
        return say() if room.reopen else self._heard(say)

    def _heard(self, say: Callable[[], Generator[Said, None, None]]) -> Generator[Said, None, None]:
        with contextlib.closing(listened(say)) as heard:
            for one in heard:
                if self.stopped.is_set():
                    return
                if one is not None:
                    yield one

    def session_of(self, room: Runner) -> Session:
        """The loaded model. Raises ModelNotFound."""
        if room.session is None:
            raise ModelNotFound("no model is loaded", hint="/model lists the models and brings one here")
        return room.session


@dataclass
class Load(Job):
    """Take up a model, in place of the one that is loaded."""

    summary: ModelSummary
    opening: dict[str, Any]
    """`device`, `threads`, `context`, `adapter`."""
    brief = False

    def run(self, room: Runner) -> None:
        before = room.reopen
        let_go(room)  # memory may not hold two
        try:
            self._open(room, self.key)
        except Exception as error:
            if before is None:
                raise
            failed = _bare(error)
        else:
            return
        with contextlib.suppress(Exception):  # the first error says what is wrong
            before(self.key)
        raise failed

    def _open(self, room: Runner, key: int, *, again: bool = False) -> None:
        from engine.counter import load_tokenizer
        from engine.session import Session

        started = time.monotonic()
        session = Session.open(Path(self.summary.path), **self.opening, lean=True)
        counter = load_tokenizer(Path(self.summary.path))
        take_up(room, key, session, counter, time.monotonic() - started, self.opening if again else None)
        room.reopen = lambda key: self._open(room, key, again=True)


def let_go(room: Runner) -> None:
    """No model answers from here on."""
    room.reopen = None
    if room.session is not None:
        room.session.close()
        room.session = None
        gc.unfreeze()  # it was settled: see `settle_memory`


def _bare(error: Exception) -> Exception:
    """The error without what it happened in: that would hold the half-loaded weights."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


@dataclass
class Take(Job):
    """Take up a session that is open already: one with a server."""

    session: Session
    brief = False

    def run(self, room: Runner) -> None:
        room.reopen = None
        take_up(room, self.key, self.session, self.session, 0.0)


def take_up(
    room: Runner,
    key: int,
    session: Session,
    counter: TextCounter,
    seconds: float,
    went_back: dict[str, Any] | None = None,
) -> None:
    """Let a session answer from here on."""
    room.session = session
    settle_memory()
    place = f"{session.device}/{session.kernel}"
    memory = session.memory_bytes
    room.post(ModelLoaded(key, session.name, place, session.context, memory, seconds, counter, went_back))


@dataclass
class Unload(Job):
    """Let go of the model."""

    brief = False

    def run(self, room: Runner) -> None:
        let_go(room)


@dataclass
class Answer(Job):
    """The next message of a conversation, or the rest of its last one."""

    messages: list[Message]
    sampling: SamplingConfig
    continued: bool = False
    end_loops: bool = True

    def run(self, room: Runner) -> None:
        if self.stopped.is_set():  # while it waited
            room.post(AnswerEnded(self.key, stopped=True))
            return
        session = self.session_of(room)
        room_for_prompt = prompt_room(session.context, self.sampling.max_tokens)
        messages, left_out = fit(self.messages, session.count_messages, room_for_prompt)
        place = str(session.device), session.kernel
        room.post(AnswerBegan(self.key, left_out, session.identity, *place, session.name))
        started = time.monotonic()

        def say() -> Generator[Chunk, None, None]:
            stream = session.stream(messages, self.sampling, continue_last=self.continued)
            return ended_at_loops(stream, request_of(messages)) if self.end_loops else stream

        with contextlib.closing(self.hear(room, say)) as stream:
            for chunk in stream:
                if self.stopped.is_set():
                    break
                room.post(AnswerGrew(self.key, chunk, time.monotonic() - started))
        room.post(AnswerEnded(self.key, self.stopped.is_set()))


@dataclass
class Alternatives(Job):
    """The likeliest next tokens after what an answer says so far."""

    messages: list[Message]
    continued: bool
    """Whether the last message is the answer's beginning."""
    count: int = 8

    def run(self, room: Runner) -> None:
        found = self.session_of(room).next_tokens(self.messages, self.count, continue_last=self.continued)
        room.post(AlternativesFound(self.key, found))


@dataclass
class Count(Job):
    """How many tokens a conversation is."""

    messages: list[Message]

    def run(self, room: Runner) -> None:
        if room.session is not None and self.messages:
            room.post(TokensCounted(self.key, room.session.count_messages(self.messages)))


@dataclass
class Weigh(Job):
    """The probability of each word of an answer that was not drawn in this run, or not by this model."""

    messages: list[Message]
    """Up to the question."""
    text: str

    def run(self, room: Runner) -> None:
        session = self.session_of(room)
        messages, _ = fit(self.messages, session.count_messages, session.context - session.count(self.text))
        rows = session.score(messages, [self.text])
        room.post(WordsWeighed(self.key, pieces_of(session, self.text, rows[0])))


@dataclass
class Title(Job):
    """A name for a conversation, in its own language."""

    messages: list[Message]
    """The first question and its answer."""

    def run(self, room: Runner) -> None:
        from engine.config import SamplingConfig
        from engine.language import language_of
        from engine.schema import Message

        session = self.session_of(room)
        text = "\n\n".join(message.content[:TITLED] for message in self.messages)
        asked = Message("user", TITLE_PROMPTS[language_of(text)].replace("{text}", text))
        said = ""
        drawn = SamplingConfig(temperature=0.0, max_tokens=24)
        with contextlib.closing(self.hear(room, lambda: session.stream([asked], drawn))) as stream:
            for chunk in stream:
                said += chunk.text
                if self.stopped.is_set() or "\n" in said.strip():
                    break
        if not self.stopped.is_set():
            room.post(TitleWritten(self.key, tidy_title(said)))


def tidy_title(said: str) -> str:
    """A model's title without quotes, marks and what it says about it; empty where nothing is left."""
    line = next((line for line in said.splitlines() if line.strip()), "")
    line = re.sub(r"^\W*(?:conversation\s+|chat\s+|对话的?)?(?:title|标题|题目)\W*[:：]", "", line, flags=re.IGNORECASE)
    return line.strip(" \t\"'“”‘’*#`_《》.。:：")[:60].strip()


@dataclass
class Recall(Job):
    """The kept messages that are nearest to a query; those without a vector get one first."""

    store: Store
    query: str
    count: int = 50

    def run(self, room: Runner) -> None:
        from tui.meaning import catch_up, find

        session = self.session_of(room)
        for _ in catch_up(self.store, session):
            if self.stopped.is_set():
                return
        room.post(MeaningsFound(self.key, find(self.store, session, self.query, self.count)))


def pieces_of(counter: TextCounter, text: str, logprobs: Sequence[float]) -> list[Piece]:
    """A text's tokens with their probabilities; those that end within a character go with the next one."""
    pieces: list[Piece] = []
    held, weakest = b"", 0.0
    for (_, _, data), logprob in zip(counter.pieces(text), logprobs, strict=False):
        held, weakest = held + data, min(weakest, logprob)
        try:
            said = held.decode()
        except UnicodeDecodeError:
            continue
        pieces.append(Piece(said, weakest))
        held, weakest = b"", 0.0
    rest = text[sum(len(piece.text) for piece in pieces) :]
    return [*pieces, Piece(rest, weakest)] if rest else pieces
