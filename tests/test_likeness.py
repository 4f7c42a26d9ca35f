"""Texts like a label's examples are given that label, without favour for the label whose examples hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import InputTooLong
from engine.schema import LabelScores
from engine.tasks.classify import classify, question
from engine.tasks.labels import Question, log_scores
from engine.tasks.likeness import Likeness, enough
from engine.tasks.weighing import SHARE, preferred, weigh

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.session import Session

SPAM = ["WIN a free prize now, call 0800", "Claim your cash reward, reply YES", "FREE entry! Text WIN to 80808"]
HAM = ["are you home yet?", "sorry, running late, start without me", "see you at lunch tomorrow"]
EXAMPLES = [(text, "spam") for text in SPAM] + [(text, "ham") for text in HAM]


def test_every_label_needs_two_examples() -> None:
    assert enough(["spam", "ham"], EXAMPLES)
    assert not enough(["spam", "ham"], [*EXAMPLES[:3], EXAMPLES[3]])
    assert not enough(["spam", "ham", "other"], EXAMPLES)
    assert not enough(["spam", "ham"], [])


class Points:
    """Stands where a session would: embeds a text of two numbers as that point, of unit length."""

    def embed(self, texts: list[str]) -> np.ndarray:
        rows = np.array([[float(number) for number in text.split()] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_bias_of_a_loose_label_is_taken_off() -> None:
    """One label's examples are alike, the other's spread: a point halfway must not go to the tight one."""
    tight = [("1 0.02", "a"), ("1 -0.02", "a"), ("1 0.01", "a"), ("1 -0.01", "a")]
    loose = [("0.4 1", "b"), ("-1 0.3", "b"), ("-0.2 1", "b"), ("-1 1", "b")]
    likeness = Likeness(Points(), ["a", "b"], tight + loose)  # type: ignore[arg-type]
    scores = likeness.scores(["1 0", "-0.5 1", "0.5 1"])
    assert scores.shape == (3, 2)
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]
    assert scores[2, 1] > scores[2, 0]


def test_likeness_moves_scores_that_still_sum_to_one(tiny_session: Session) -> None:
    texts = [*SPAM, *HAM, ""]
    few = [*EXAMPLES[:3], EXAMPLES[3]]
    for examples in (EXAMPLES, few):
        results = list(classify(tiny_session, texts, ["spam", "ham"], examples))
        assert not isinstance(results[-1], LabelScores)
        for result in results[:-1]:
            assert isinstance(result, LabelScores)
            assert sum(result.scores.values()) == pytest.approx(1)
    again = list(classify(tiny_session, texts[:-1], ["spam", "ham"], EXAMPLES))
    assert [r.label for r in again if isinstance(r, LabelScores)] == ["spam"] * 3 + ["ham"] * 3


@pytest.mark.weights
def test_the_default_model_tells_spam_by_six_examples(default_model: Path) -> None:
    from engine.session import Session

    session = Session.open(default_model, device="cpu")
    texts = ["You have been chosen for a £900 prize! Call now to claim", "ok will ring you when i get there"]
    labels = [r.label for r in classify(session, texts, ["spam", "ham"], EXAMPLES) if isinstance(r, LabelScores)]
    session.close()
    assert labels == ["spam", "ham"]


def test_a_label_is_preferred_by_what_it_has_beyond_the_mean_of_the_others() -> None:
    assert preferred([6.0, 1.0, 2.0], 0) == 4.5
    assert preferred([6.0, 1.0, 2.0], 1) == -3.0


def test_replies_are_weighed_by_how_far_they_part_the_examples_each_left_out(tiny_session: Session) -> None:
    """As the definition says it, each example read by itself."""
    labels, seen = ["spam", "ham"], list[list[tuple[str, str]]]()

    def ask(rest: Sequence[tuple[str, str]]) -> Question:
        seen.append([*rest])
        return question(labels, rest)

    of: dict[str, list[list[float]]] = {label: [] for label in labels}
    for example in EXAMPLES:
        rest = [other for other in EXAMPLES if other != example]
        [logs] = log_scores(tiny_session, question(labels, rest), [example[0]])
        assert not isinstance(logs, InputTooLong)
        of[example[1]].append(logs)
    spam, ham = (np.mean(of[label], axis=0) for label in labels)
    apart = ((spam[0] - spam[1]) + (ham[1] - ham[0])) / 2
    for gap in (abs(apart), 100 * abs(apart), 0.0):
        bias, factor = weigh(tiny_session, labels, EXAMPLES, ask, gap)
        assert bias == pytest.approx(((spam + ham) / 2).tolist(), abs=1e-4)
        assert factor == pytest.approx(min(1.0, SHARE * gap / apart) if apart > 0 else 1.0, rel=1e-3)
    assert seen[: len(EXAMPLES)] == [[other for other in EXAMPLES if other != example] for example in EXAMPLES]


def test_replies_count_in_full_where_some_label_could_not_be_tried(tiny_session: Session) -> None:
    long = [(f"{text} " * 900, label) if label == "ham" else (text, label) for text, label in EXAMPLES]
    assert weigh(tiny_session, ["spam", "ham"], long, lambda _: question(["spam", "ham"]), 1.0) == ([0.0, 0.0], 1.0)


def test_of_many_examples_no_more_than_so_many_are_tried(tiny_session: Session) -> None:
    many = [(f"text {number}", "spam" if number % 2 else "ham") for number in range(25)]
    tried = list[int]()

    def ask(rest: Sequence[tuple[str, str]]) -> Question:
        tried.append(len(rest))
        return question(["spam", "ham"])

    weigh(tiny_session, ["spam", "ham"], many[:24], ask, 1.0)
    assert tried == [23] * 24
    tried.clear()
    weigh(tiny_session, ["spam", "ham"], many, ask, 1.0)
    assert tried == [24] * 13
