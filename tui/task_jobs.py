"""The engine's tasks as the app runs them: each is an answer in a conversation, with progress, and can be stopped."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.schema import Chunk, Citation, Coverage, Document
from tui.jobs import Job
from tui.messages import AnswerBegan, AnswerEnded, AnswerGrew, TaskProgressed
from tui.task_words import TaskKind, events, read_note

if TYPE_CHECKING:
    from collections.abc import Generator

    from engine.config import SamplingConfig
    from tui.runner import Runner
    from tui.strings import Strings


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
        if self.stopped.is_set():  # while it waited
            room.post(AnswerEnded(self.key, stopped=True))
            return
        session = self.session_of(room).fork()
        room.post(AnswerBegan(self.key, 0, model=session.name))
        started = time.monotonic()
        notes: list[str] = []

        def say() -> Generator[Any, None, None]:
            given = self.kind, session, self.document, self.argument
            return events(*given, sampling=self.sampling, cache=self.cache, say=self.say)

        with contextlib.closing(self.hear(room, say)) as said:
            for event in said:
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
