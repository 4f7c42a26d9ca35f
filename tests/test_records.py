"""What the history holds comes out of the file as it went in, and as far as it can be shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tui.records import title_of

if TYPE_CHECKING:
    from tui.store import Store


@pytest.mark.parametrize(
    ("question", "title"),
    [
        (" 为什么\n\n\t电池 鼓包？ ", "为什么 电池 鼓包？"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("x" * 58 + " yyy", "x" * 58 + "…"),
        ("", ""),
    ],
)
def test_a_title_is_the_beginning_of_the_question_on_one_line(question: str, title: str) -> None:
    assert title_of(question) == title


def test_a_document_keeps_a_name_that_is_no_utf8(store: Store) -> None:
    given = (os.fsdecode(b"caf\xe9.txt"), "内容")
    conversation = store.create("t")
    store.add(conversation, None, "user", "?", documents=[given])
    assert store.shown(conversation)[0].documents == (given,)


def test_the_shown_path_ends_before_what_another_process_adds_while_it_is_read(store: Store) -> None:
    conversation = store.create("t")
    question = store.add(conversation, None, "user", "?")
    answer = store.add(conversation, question, "assistant", "!", finish="stop")
    store.choose(conversation, answer, answer + 1)
    assert [entry.id for entry in store.shown(conversation)] == [question, answer]


def test_a_question_is_found_at_once_and_an_answer_when_it_has_come_to_its_end(store: Store) -> None:
    conversation = store.create("t")
    question = store.add(conversation, None, "user", "marmalade?")
    answer = store.add(conversation, question, "assistant", "a zebra")
    assert [hit.message for hit in store.search("marmalade")] == [question]
    assert store.search("zebra") == []
    store.finish(answer, "a zebra", "stop")
    assert [hit.message for hit in store.search("zebra")] == [answer]
