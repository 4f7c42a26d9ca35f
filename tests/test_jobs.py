"""What the model's thread does, without a screen: jobs that are stopped early, models that can't be loaded."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

from app_pilot import PATIENCE, Hold

from engine.config import SamplingConfig
from engine.library import Library
from engine.schema import Document, Message
from tui.jobs import Answer, Load
from tui.messages import AnswerEnded, JobFailed, ModelLoaded
from tui.runner import Runner
from tui.strings import Strings
from tui.task_jobs import Task

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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
    for job in (task, answer):  # said at once, whatever else still runs
        said = [message for message in posted if message.key == job.key]
        assert [type(message).__name__ for message in said] == ["JobBegan", "AnswerEnded"]
        assert isinstance(said[-1], AnswerEnded)
        assert said[-1].stopped
    hold.stopped.set()
    wait_for_all(runner)
    runner.close()


def test_the_model_of_before_comes_back_where_another_cannot_be_loaded_and_never_are_there_two(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.session import Session

    alive: weakref.WeakSet[Session] = weakref.WeakSet()
    begin, found = Session.__init__, []

    def noted(self: Session, *facts: Any) -> None:
        found.append(len(alive))
        alive.add(self)
        begin(self, *facts)

    monkeypatch.setattr(Session, "__init__", noted)
    posted: list[Any] = []
    runner = Runner(posted.append)
    good, bad, answer = (
        load(tiny_model_home, context=64),
        load(tiny_model_home, context=9),
        Answer([Message("user", "One")], DRAWN),
    )
    for job in (good, bad, answer):
        runner.submit(job)
    wait_for_all(runner)
    first, again = [message for message in posted if isinstance(message, ModelLoaded)]
    (failed,) = [message for message in posted if isinstance(message, JobFailed)]
    assert (first.key, first.went_back) == (good.key, None)
    assert (again.key, again.context, again.went_back) == (bad.key, 64, good.opening)
    assert failed.key == bad.key
    assert "16 to" in failed.error.message
    assert found == [0, 0]  # what can not be had is refused before it is loaded
    assert [message.stopped for message in posted if isinstance(message, AnswerEnded)] == [False]
    runner.close()


def test_where_neither_can_be_loaded_the_first_error_is_told(tiny_model_home: Path) -> None:
    posted: list[Any] = []
    runner = Runner(posted.append)
    good = load(tiny_model_home)
    runner.submit(good)
    wait_for_all(runner)
    good.opening["threads"] = 0
    for job in (load(tiny_model_home, context=9), load(tiny_model_home, device="nowhere")):
        runner.submit(job)
    wait_for_all(runner)
    assert len([message for message in posted if isinstance(message, ModelLoaded)]) == 1
    errors = [message.error.message for message in posted if isinstance(message, JobFailed)]
    assert len(errors) == 2
    assert "context" in errors[0]
    assert "nowhere" in errors[1]
    assert runner.session is None
    runner.close()
