"""The engine's tasks as the app runs them: each is an answer in a conversation, with progress, and can be stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from engine.schema import Chunk, Citation, Coverage, Document, LabelScores
from tui.jobs import Job
from tui.messages import AnswerBegan, AnswerEnded, AnswerGrew, TaskProgressed

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from engine.session import Session
    from tui.runner import Runner
    from tui.strings import Strings

TaskKind = Literal["summarize", "ask", "translate", "judge"]
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
_BAR = 20
_LABELS = ("positive", "negative")


@dataclass
class Task(Job):
    """A task on one document."""

    kind: TaskKind
    document: Document
    argument: str
    """The question of `ask`, the length of `summarize`."""
    sampling: SamplingConfig
    cache: Path
    """Where summaries of passages are kept."""
    say: Strings
    """The words of notes and judgements."""
    brief = False

    def run(self, room: Runner) -> None:
        """Post the result as it grows; what is no text is progress or a note. Questions that come meanwhile go first.

        The task has a KV cache of its own, so that neither it nor the chat has to read anything again for the other.
        """
        session = self.session_of(room).fork()
        room.post(AnswerBegan(self.key, 0))
        started = time.monotonic()
        notes: list[str] = []
        with contextlib.closing(self._events(session)) as events:
            for event in events:
                room.give_way()
                if self.stopped.is_set():
                    break
                if isinstance(event, Chunk):
                    room.post(AnswerGrew(self.key, event, time.monotonic() - started))
                elif isinstance(event, Coverage):
                    notes.append(read_note(event, self.say))
                elif isinstance(event, Citation):
                    notes.append(f"{Path(event.name).name}:{event.line}")
                elif hasattr(event, "done"):
                    room.post(TaskProgressed(self.key, event.done, event.total))
        room.post(AnswerEnded(self.key, self.stopped.is_set(), " · ".join(notes)))

    def _events(self, session: Session) -> Generator[Any, None, None]:
        if self.kind == "summarize":
            yield from self._summary(session)
        elif self.kind == "ask":
            from engine.tasks.answer import answer

            yield from answer(session, self.argument, [self.document], self.sampling, overflow="search")
        elif self.kind == "translate":
            from engine.tasks.translate import translate

            yield from translate(session, self.document, sampling=self.sampling)
        else:
            yield from judged(session, self.document, self.say)

    def _summary(self, session: Session) -> Generator[Any, None, None]:
        from engine.result_cache import ResultCache
        from engine.tasks.summarize import summarize

        with ResultCache(self.cache) as memory:
            yield from summarize(
                session, self.document, sampling=self.sampling, length=self.argument or "medium", memory=memory
            )


def judged(session: Session, document: Document, say: Strings) -> Generator[Chunk, None, None]:
    """The judgement of a text as a whole and, where it has several lines, of each: as Markdown, line by line."""
    from engine.tasks.sentiment import judge_many

    lines = [line.strip() for line in document.text.splitlines() if line.strip()]
    if len(lines) == 1:
        for _, result in judge_many(session, lines):
            yield Chunk(_verdict(result, say), finish_reason="stop")
        return
    for number, result in judge_many(session, lines):
        shown = lines[number] if len(lines[number]) <= 60 else lines[number][:59] + "…"
        yield Chunk(f"- {_verdict(result, say)} {shown}\n")
    yield Chunk("", finish_reason="stop")


def _verdict(result: LabelScores | Exception, say: Strings) -> str:
    if not isinstance(result, LabelScores):
        return f"({say.error(str(result))})"
    label = say(f"label.{result.label}") if result.label in _LABELS else result.label
    return f"**{label}** {result.score:.2f} `{'█' * round(result.score * _BAR):<{_BAR}}`"


def read_note(read: Coverage, say: Strings) -> str:
    """What was read, and what not."""
    if read.given_whole:
        return say("note.given_whole")
    parts, lines = f"{read.chunks_read}/{read.chunks_total}", f"{read.lines_read}/{read.lines_total}"
    note = say("note.read", parts=parts, lines=lines)
    if read.complete:
        return note
    gaps = ", ".join(f"{first}–{last}" if first != last else str(first) for first, last in read.unread_lines[:4])
    return note + say("note.unread", lines=gaps) if gaps else note
