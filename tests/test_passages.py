"""Passages are the text itself: nothing lost, nothing too long, cut where a reader would cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenizer_models
from engine.tasks.passages import length, split
from engine.tokenizer import Tokenizer

PIECES = [
    "word",
    " ",
    "\n",
    "\n\n",
    "。",
    "，",
    ". ",
    "？”",
    "汉字",
    "x" * 40,
    "\r\n",
    "\u3000",
    "🙂",
    "e\u0301",
    "\t",
    "1.5",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(tokenizer_models.path())


@given(TEXTS, st.integers(1, 50))
def test_passages_joined_are_the_text_and_none_is_above_the_limit(text: str, limit: int) -> None:
    passages = split(text, len, limit)
    assert "".join(passage.text for passage in passages) == text
    assert all(0 < passage.tokens == len(passage.text) <= limit for passage in passages)


@given(TEXTS, st.integers(1, 50))
def test_passages_name_the_lines_that_they_hold(text: str, limit: int) -> None:
    start = 0
    for passage in split(text, len, limit):
        visible = passage.text.strip()
        if visible:
            first = text.index(visible, start)
            assert passage.first_line == 1 + text[:first].count("\n")
            assert passage.last_line == passage.first_line + visible.count("\n")
        start += len(passage.text)


@pytest.mark.parametrize("unit", ["word ", "汉字，", "x", "一", "🙂\n", "\n", "a  b\t"])
def test_the_real_tokenizer_finds_no_passage_above_the_limit(tokenizer: Tokenizer, unit: str) -> None:
    def count(part: str) -> int:
        return len(tokenizer.encode(part))

    text = unit * 9_000
    passages = split(text, count, 300)
    assert "".join(passage.text for passage in passages) == text
    assert all(count(passage.text) <= 300 for passage in passages)


def test_cuts_fall_between_paragraphs_where_these_fit() -> None:
    paragraphs = [f"Paragraph {number} says this. And that.\n\n" for number in range(10, 30)]
    passages = split("".join(paragraphs), len, 110)
    assert [passage.text.count("Paragraph") for passage in passages] == [3, 3, 3, 2, 3, 3, 3]
    assert all(passage.text.startswith("Paragraph") and passage.text.endswith("\n\n") for passage in passages)


def test_a_long_paragraph_is_cut_between_sentences_in_both_languages() -> None:
    assert [p.text for p in split("One two three. Four five six! Seven?", len, 20)] == [
        "One two three. ", "Four five six! ", "Seven?",
    ]  # fmt: skip
    assert [p.text for p in split("今天下雨。我们在家看书。明天再去！", len, 8)] == [
        "今天下雨。", "我们在家看书。", "明天再去！",
    ]  # fmt: skip


def test_passages_are_of_about_equal_size() -> None:
    sizes = [passage.tokens for passage in split("word. " * 1_000, len, 1_700)]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) <= len("word. ")


def test_an_empty_text_has_no_passages() -> None:
    assert split("", len, 10) == []


def test_a_character_of_more_tokens_than_the_limit_stays_whole() -> None:
    passages = split("🙂🙂", lambda text: 4 * len(text), 2)
    assert [passage.text for passage in passages] == ["🙂", "🙂"]


@pytest.mark.parametrize("text", ["x\n" + "\n" * 900, "\n" * 900 + "x", " \n" * 400 + "\n", "x\n" + " " * 2_000])
@pytest.mark.parametrize("steady", [False, True])
def test_passages_of_nothing_but_white_space_stand_on_lines_of_the_text(text: str, steady: bool) -> None:
    lines = text.count("\n") + (not text.endswith("\n"))
    passages = split(text, len, 100, steady=steady)
    assert "".join(passage.text for passage in passages) == text
    before = 0
    for passage in passages:
        if not passage.text.strip():
            end = before + passage.text.count("\n") + (not passage.text.endswith("\n"))
            assert (passage.first_line, passage.last_line) == (before + 1, end)
        assert passage.last_line <= lines
        before += passage.text.count("\n")


WORDS = [f"word{number * 7919 % 1000} " for number in range(400)]


def test_steady_passages_fill_at_least_half_of_the_limit_and_may_fill_it() -> None:
    passages = split("".join(WORDS), len, 100, steady=True)
    assert "".join(passage.text for passage in passages) == "".join(WORDS)
    assert all(50 <= passage.tokens == len(passage.text) <= 100 for passage in passages[:-1])
    assert [passage.text for passage in split("one two six ten ", len, 4, steady=True)] == [
        "one ",
        "two ",
        "six ",
        "ten ",
    ]


@pytest.mark.parametrize("at", [0, 150, 399])
def test_an_edit_changes_the_steady_passages_around_it_and_no_others(at: int) -> None:
    before = [passage.text for passage in split("".join(WORDS), len, 100, steady=True)]
    edited = [*WORDS[:at], "something else ", *WORDS[at:]]
    after = [passage.text for passage in split("".join(edited), len, 100, steady=True)]
    assert len({*after} - {*before}) <= 4 < len(before) // 4


def test_cuts_that_follow_the_size_alone_all_move_with_an_edit() -> None:
    before, after = (split(start + "".join(WORDS), len, 100) for start in ("", "something else "))
    assert len({p.text for p in after} & {p.text for p in before}) < len(before) // 4


def test_a_length_for_every_model_counts_chinese_by_the_character_and_other_text_by_four() -> None:
    assert [length(text) for text in ("", "a", "abcd", "abcde", "汉字", "汉字abcde")] == [0, 1, 1, 2, 2, 4]
