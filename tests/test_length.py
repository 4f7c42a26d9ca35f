"""A wished length in either language, said in words and bounded in tokens."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from engine.tasks.length import LONGEST_PASS, Length, words_in


@pytest.mark.parametrize(
    "text",
    ["", "short ", "0w", "0%", "-5w", "5", "5 %", "1.5w", "%", "w", "long!", "10W", "9" * 400 + "%", "9" * 5_000 + "w"],
)
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="short, medium, long, N% or Nw"):
        Length.parse(text, "document")


def test_names_grow() -> None:
    targets = [Length.parse(name, "").target for name in ("short", "medium", "long")]
    assert targets == sorted(set(targets))


def test_a_share_is_of_the_documents_words_whatever_its_language() -> None:
    assert Length.parse("10%", "word " * 1_000).target == 100
    assert Length.parse("10%", "字" * 1_700).target == 100
    assert Length.parse("10%", "字" * 1_700 + "word " * 1_000).target == 200
    assert Length.parse("1%", "short text").target == 10


def test_words_are_counted_without_punctuation() -> None:
    assert words_in("Two words — !") == 2
    assert words_in("，。！") == 0
    assert words_in("一二三四五六七八九十一二三四五六七") == pytest.approx(10)


def test_a_number_of_words_is_said_in_each_language() -> None:
    length = Length.parse("100w", "")
    assert "100 words" in length.words("en")
    assert "170个字" in length.words("zh")


def test_a_pass_may_write_more_than_it_is_asked_for_but_not_without_end() -> None:
    assert Length(100).tokens > 170  # a Chinese character may be a token
    assert Length(100_000).tokens == Length(LONGEST_PASS).tokens


@pytest.mark.parametrize("parts", [1, 2, 5, 50])
def test_the_parts_of_a_summary_share_its_length(parts: int) -> None:
    share = Length(800).share(parts)
    assert share.target * parts >= 800 or share.target == LONGEST_PASS
    assert Length(800).parts() > Length(100).parts() >= Length(10).parts() >= 2
    assert Length(800).paragraphs
    assert not Length(LONGEST_PASS).paragraphs


def test_a_short_part_is_asked_for_in_sentences() -> None:
    assert Length(110).share(5).words("en") == "one sentence"
    assert Length(110).share(2).words("zh") == "三句话"
    assert Length(110).share(4).words("zh") == "两句话"
    assert Length(44).share(2).words("zh") == "一句话"
    assert "words" in Length(800).share(4).words("en")


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("One two three four five.", True),
        ("One two three four five", False),
        ("One two three.", False),
        ("One two three four costs 3.", False),
        ("一二三四五六七八九。", True),
        ("一二三四五六七八九，", False),
        ("", False),
    ],
)
def test_a_length_is_reached_at_the_end_of_a_sentence(text: str, reached: bool) -> None:
    assert Length(5).reached(text) is reached


@pytest.mark.parametrize("length", ["short", "10w", "59w", "5%"])
def test_a_short_summary_ends_where_the_model_ends_it(length: str) -> None:
    found = Length.parse(length, "word " * 1_000)
    assert (found.least, found.least_tokens, found.sections(2_000)) == (0, 0, 1)
    assert found.share(2).least_tokens == 0


@pytest.mark.parametrize("length", ["medium", "long", "60w", "200w", "30%"])
@pytest.mark.parametrize("word", ["word ", "字字"])
def test_a_longer_summary_is_held_to_most_of_its_length(length: str, word: str) -> None:
    found = Length.parse(length, word * 1_000)
    assert 0.5 * found.target <= found.least <= 0.6 * found.target
    assert found.least < found.least_tokens < found.tokens
    for parts in (2, 5):
        share = found.share(parts)
        if share.target < 44:  # one sentence ends where it ends
            assert share.least == 0
        else:
            assert share.least * parts == pytest.approx(found.least, abs=parts)
            assert share.least < share.target


def test_no_summary_is_held_to_more_than_its_text_can_give() -> None:
    assert Length.parse("medium", "word " * 60).least <= 20
    assert Length.parse("200w", "字" * 100).least <= 20
    assert Length.parse("long", "").least == 0


def test_a_long_summary_of_a_short_text_is_written_by_sections() -> None:
    text = "word " * 1_000
    assert Length.parse("medium", text).sections(1_300) == 1
    assert 1 < Length.parse("200w", text).sections(1_300) < Length.parse("long", text).sections(1_300)
    assert Length.parse("long", text).sections(400) == 2
    assert Length.parse("long", "word " * 100).sections(130) == 1


@pytest.mark.parametrize(
    ("length", "words", "found"),
    [
        ("medium", 66, Length(110, "medium", 20, whole=True)),
        ("medium", 67, Length(40, "medium", 20, most=60)),
        ("medium", 110, Length(70, "medium", 30, most=110)),
        ("medium", 111, Length(110, "medium", 30)),
        ("40w", 40, Length(40, whole=True)),
        ("40w", 41, Length(40)),
        ("50%", 100, Length(50)),
    ],
)
def test_a_text_that_is_hardly_longer_than_its_summary_bounds_it(length: str, words: int, found: Length) -> None:
    assert Length.parse(length, "word " * words) == found


def test_a_number_of_words_is_never_said_as_a_name_s_phrase() -> None:
    assert Length.parse("medium", "").words("en") == "one paragraph"
    assert Length.parse("110w", "").words("en") == "about 110 words"


def test_sections_begin_where_one_breath_ends_and_have_something_to_leave_out() -> None:
    text = "word " * 1_000
    assert [Length.parse(length, text).sections(2_000) for length in ("149w", "150w")] == [1, 2]
    assert [Length.parse("150w", text).sections(tokens) for tokens in (319, 320)] == [1, 2]


def test_a_part_has_a_sentence_or_so_and_a_passage_three() -> None:
    assert Length(270).parts() == 10
    assert Length.of_a_passage().words("en") == "three sentences"
