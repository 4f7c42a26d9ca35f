"""Extracted summaries are the text's own sentences, the central ones, each once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import InputError
from engine.schema import Chunk, Coverage, Document
from engine.tasks.extract import choose, extract, sentences_of
from engine.tasks.summarize import Part

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


@pytest.mark.parametrize("bullets", [False, True])
def test_a_summary_is_made_of_the_texts_own_sentences(tiny_session: Session, bullets: bool) -> None:
    text = "".join(f"Sentence number {n} talks about thing {n * 7}. " for n in range(40))
    events = list(extract(tiny_session, Document("text", text), length="short", bullets=bullets))
    parts = [event for event in events if isinstance(event, Part)]
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
