"""What a model replies whatever it reads, its prior, is taken off a calibrated judgement and left in any other."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest

from engine.model import Decoder
from engine.schema import LabelScores, Message
from engine.session import Session
from engine.tasks import labels
from engine.tasks.labels import Question, judge

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

TEXTS = ("the dog ran home", "rain again", "会议在周二")
LEANING = 1.5
"""Added to the logit of one label's reply: the tiny model's own odds are near enough that it still shows."""


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_leaning_to_one_label_is_taken_off_where_that_is_asked(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch, calibrated: bool
) -> None:
    asked = Question(("a", "b"), ("a", "b"), (Message("system", "a or b?"),), calibrated=calibrated)
    upright = log_odds(tiny_model_home, asked)
    logits, leaning = Decoder.logits, first_id(tiny_model_home, "a")

    def leaned(self: Decoder, hidden: Tensor) -> Tensor:
        found = logits(self, hidden).clone()
        found[..., leaning] += LEANING
        return found

    monkeypatch.setattr(Decoder, "logits", leaned)
    shift = 0.0 if calibrated else LEANING
    assert log_odds(tiny_model_home, asked) == pytest.approx([odds + shift for odds in upright], abs=0.05)


def log_odds(home: Path, asked: Question) -> list[float]:
    session = Session.open(home / "models" / "tiny", device="cpu", threads=1)
    found = [result.scores for result in judge(session, asked, TEXTS) if isinstance(result, LabelScores)]
    session.close()
    return [math.log(scores["a"] / scores["b"]) for scores in found]


def first_id(home: Path, text: str) -> int:
    session = Session.open(home / "models" / "tiny", device="cpu", threads=1)
    [(id_, _, _)] = session.pieces(text)
    session.close()
    return id_


def test_thousands_of_labels_take_no_longer_than_their_number_asks() -> None:
    replies = [(number // 7, *(0,) * (number % 7)) for number in range(20_000)]
    began = time.monotonic()
    longer = labels._longer(replies)
    assert sum(labels.softmax([0.0] * 20_000)) == pytest.approx(1)
    assert time.monotonic() - began < 5
    for place in (0, 7, 14, 100):
        ours = replies[place]
        assert longer[place] == [
            other for other, theirs in enumerate(replies) if len(theirs) > len(ours) and theirs[: len(ours)] == ours
        ]
