"""Sentences of both languages; nothing is lost between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.sentences import sentences


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["Dr. ", "A. ", "end. ", "好。", "？”", "x! ", "…", "3.14"])).map("".join)
)
def test_the_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It rains. Stay here! Why? Because.", 4),
        ("Dr. Smith met Mrs. Lee, i.e. his aunt, at 3.14 p.m. yesterday.", 1),
        ('He said: "Go." She went.', 2),
        ("下雨了。留在这里！为什么？因为……我不知道。", 5),
        ("他说：“走吧。”她走了。", 2),
        ("See J. S. Bach. It is fine.", 2),
        ("version 1.2.3 is out", 1),
    ],
)
def test_a_text_is_cut_where_its_sentences_end(text: str, count: int) -> None:
    assert len(list(sentences(text))) == count
