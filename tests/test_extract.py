"""Extracted summaries are the text's own sentences, the central ones, each once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import InputError
from engine.schema import Chunk, Coverage, Document, SummaryPart
from engine.tasks.extract import LEAD, NOVELTY, choose, extract, sentences_of

if TYPE_CHECKING:
    from engine.session import Session

TEXT = "A title\n\nThe first sentence is here. A second one\nruns over two lines. 第三句是中文。第四句\n也是。\n"


def test_sentences_know_their_lines() -> None:
    found = [(sentence.text, sentence.first_line, sentence.last_line) for sentence in sentences_of(TEXT)]
    assert found == [
        ("A title", 1, 1),
        ("The first sentence is here.", 3, 3),
        ("A second one runs over two lines.", 3, 4),
        ("第三句是中文。", 4, 4),
        ("第四句也是。", 4, 5),
    ]


def test_an_item_of_a_list_is_no_part_of_the_one_before_it() -> None:
    text = "We must do\nthis:\n- Call Ann\n  who is away.\n  1. Then Bob\n2) 再写信\n\n* The end. Really.\n"
    found = [(sentence.text, sentence.first_line, sentence.last_line) for sentence in sentences_of(text)]
    assert found == [
        ("We must do this:", 1, 2),
        ("Call Ann who is away.", 3, 4),
        ("Then Bob", 5, 5),
        ("再写信", 6, 6),
        ("The end.", 8, 8),
        ("Really.", 8, 8),
    ]


def unit(rows: list[list[float]]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_central_are_taken_and_none_twice() -> None:
    vectors = unit([[0, 1, 0], [1, 0.1, 0], [1, 0.1, 0.01], [1, 0, 0], [0, 0.1, 1]])
    assert choose(vectors, [10] * 5, 10)[0] in {1, 2, 3}
    assert choose(vectors, [10] * 5, 50) == [0, 1, 2, 3, 4]
    assert choose(vectors, [10] * 5, 0) == choose(vectors, [10] * 5, 10), "one is always taken"
    towards = np.array([0, 0, 1], dtype=np.float32)
    assert choose(vectors, [10] * 5, 10, towards) == [4]


def test_what_is_too_long_makes_room_for_what_fits() -> None:
    vectors = unit([[1, 0], [1, 0.1], [0.9, 0.3]])
    assert sum([3, 100, 4][index] for index in choose(vectors, [3, 100, 4], 8)) <= 8 or choose(
        vectors, [3, 100, 4], 8
    ) == [1]


class Counted(np.ndarray):
    """Vectors that count the products that are made of them."""

    products = 0

    def __matmul__(self, other: np.ndarray) -> np.ndarray:
        Counted.products += 1
        return np.asarray(self) @ np.asarray(other)


def one_by_one(vectors: np.ndarray, sizes: list[int], wanted: float, towards: np.ndarray | None) -> list[int]:
    """`choose` as it is defined: each sentence that is taken is compared with all."""
    value = vectors @ (vectors.sum(0) if towards is None else towards)
    if towards is None:
        value = (value - 1) / max(1, len(vectors) - 1)
    value = (value - value.mean()) / (float(value.std()) or 1.0)
    value[0] += LEAD
    taken: list[int] = []
    while len(taken) < len(vectors):
        likeness = (vectors @ vectors[taken].T).max(1) if taken else np.zeros(len(vectors), dtype=np.float32)
        likeness = np.maximum(likeness, 0)
        merit = value - NOVELTY * likeness / max(1e-6, float(likeness.std()) or 1.0)
        room = wanted - sum(sizes[index] for index in taken)
        left = [index for index in range(len(vectors)) if index not in taken and (not taken or sizes[index] <= room)]
        if not left:
            break
        taken.append(max(left, key=lambda index: float(merit[index])))
    return sorted(taken)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("common", [0.0, 0.5])
def test_many_are_compared_at_once_and_the_choice_is_the_same(share: float, common: float) -> None:
    random = np.random.default_rng(7)
    vectors = unit((random.standard_normal((400, 48)) + common).tolist())
    vectors[200:220] = vectors[:20]  # said twice
    sizes = random.integers(1, 40, 400).tolist()
    for towards in (None, vectors[33]):
        Counted.products = 0
        chosen = choose(vectors.view(Counted), sizes, share * sum(sizes), towards)
        assert chosen == one_by_one(vectors, sizes, share * sum(sizes), towards)
        assert Counted.products < 5 + len(chosen) / 10


@pytest.mark.parametrize("bullets", [False, True])
def test_a_summary_is_made_of_the_texts_own_sentences(tiny_session: Session, bullets: bool) -> None:
    text = "".join(f"Sentence number {n} talks about thing {n * 7}. " for n in range(40))
    events = list(extract(tiny_session, Document("text", text), length="short", bullets=bullets))
    parts = [event for event in events if isinstance(event, SummaryPart)]
    assert parts
    assert all(part.text in text for part in parts)
    written = "".join(event.text for event in events if isinstance(event, Chunk))
    assert written.count("\n") == (len(parts) - 1 if bullets else 0)
    assert events[-2].finish_reason == "stop"  # type: ignore[union-attr]
    assert isinstance(events[-1], Coverage)
    assert events[-1].complete
    again = list(extract(tiny_session, Document("text", text), length="short", bullets=bullets))
    assert again == events


def test_an_empty_text_is_refused(tiny_session: Session) -> None:
    with pytest.raises(InputError, match="is empty"):
        list(extract(tiny_session, Document("notes.txt", " \n\n")))


def test_a_text_without_words_is_given_whole_where_it_is_short_and_else_refused_as_that(tiny_session: Session) -> None:
    said = [event.text for event in extract(tiny_session, Document("a", "😀😀!\n")) if isinstance(event, Chunk)]
    assert said == ["😀😀!"]
    with pytest.raises(InputError, match="has no words"):
        list(extract(tiny_session, Document("a", "😀" * 5000)))


def test_of_two_that_are_as_central_the_first_of_the_text_is_taken_and_of_others_the_central() -> None:
    order = [[1.0, 0.2, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.2], [1.0, 0.2, 0.0], [0.0, 1.0, 0.0]]
    assert choose(unit(order), [10] * 5, 10) == [0]
    assert choose(unit(order[1:] + order[:1]), [10] * 5, 10) == [2]
