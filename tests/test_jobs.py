"""What the model's thread does, without a screen: jobs that are stopped early."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app_pilot import PATIENCE, Hold

from engine.config import SamplingConfig
from engine.library import Library
from engine.schema import Document, Message
from tui.jobs import Answer, Load
from tui.messages import AnswerEnded
from tui.runner import Runner
from tui.strings import Strings
from tui.task_jobs import Task

if TYPE_CHECKING:
    from pathlib import Path

DRAWN = SamplingConfig(temperature=0.0, max_tokens=4)


def load(home: Path, **opening: Any) -> Load:
    """The tiny model's job."""
    return Load(Library(home / "models", home / "cache").summary("tiny"), {"device": "cpu", "threads": 1} | opening)


def wait_for_all(runner: Runner) -> None:
    """Until every job is done."""
    end = time.monotonic() + PATIENCE
    while runner.waiting():
        assert time.monotonic() < end, "the jobs never ended"
        time.sleep(0.01)


def test_what_is_stopped_before_its_turn_does_not_begin(tiny_model_home: Path, tmp_path: Path) -> None:
    posted: list[Any] = []
    runner = Runner(posted.append)
    document = Document("notes.txt", "I loved it.\nIt was bad.")
    task = Task("judge", document, "", DRAWN, tmp_path / "results.db", Strings("en"))
    answer = Answer([Message("user", "One")], DRAWN)
    runner.submit(load(tiny_model_home))
    hold = Hold(runner)
    for job in (task, answer):
        runner.submit(job)
        runner.stop(job.key)
    hold.stopped.set()
    wait_for_all(runner)
    runner.close()
    for job in (task, answer):
        said = [message for message in posted if message.key == job.key]
        assert [type(message).__name__ for message in said] == ["JobBegan", "AnswerEnded"]
        assert isinstance(said[-1], AnswerEnded)
        assert said[-1].stopped
