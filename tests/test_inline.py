"""What no model may change inside a sentence: hidden behind marks, and back in place or refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.inline import has_words, hide, joined, stretches, words_of

KEPT = [
    "`a b`", "``x ` y``", "https://example.org/a?b=c#d", "<kbd>", "</b>", "<https://example.org>", "help@example.org",
    "$E = mc^2$", "&nbsp;", "[^1]", r"\(x\)",
]  # fmt: skip


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("frame", ["See {} here.", "看{}这里。", "**{}**"])
def test_what_must_not_change_is_hidden_and_comes_back(kept: str, frame: str) -> None:
    text = frame.format(kept)
    hidden = hide(text)
    assert kept not in hidden.text
    assert hidden.show(hidden.text) == (text, True)


def test_a_links_target_is_hidden_and_its_words_are_not() -> None:
    hidden = hide('Read [the manual](https://example.org/a_(b) "Title") and [more][ref] now.')
    assert "the manual" in hidden.text
    assert "more" in hidden.text
    assert "example.org" not in hidden.text
    assert "ref" not in hidden.text
    swapped = hidden.text.replace("the manual", "手册")
    assert hidden.show(swapped) == (
        'Read [手册](https://example.org/a_(b) "Title") and [more][ref] now.',
        True,
    )


def test_money_is_no_formula() -> None:
    assert hide("It costs $5 and $10, or $20 for two.").kept == ()


def test_marks_that_are_lost_doubled_or_left_open_are_noticed() -> None:
    hidden = hide("Run `one` and **wait**.")
    mark = hidden.kept[0][0]
    assert hidden.show("运行 and **等**。")[1] is False
    assert hidden.show(f"运行 {mark}{mark} **等**。")[1] is False
    assert hidden.show(f"运行 {mark} **等。")[1] is False
    assert hidden.show(f"运行 {mark} **等**。") == ("运行 `one` **等**。", True)


@pytest.mark.parametrize("text", ["Run `1`, N1 and `N1` with 1 and KEEP1.", "Use `x2` and `make`.", "(x2)[a](b)[c](d)"])
def test_the_marks_do_not_occur_in_the_text_itself(text: str) -> None:
    hidden = hide(text)
    for mark, _ in hidden.kept:
        assert mark not in text
    assert hidden.show(hidden.text) == (text, True)


@given(st.text(max_size=60) | st.lists(st.sampled_from([*KEPT, "**", "[", "](a)", "字", "word ", "*"])).map("".join))
def test_the_stretches_joined_are_the_text_and_hiding_loses_nothing(text: str) -> None:
    assert "".join(stretch for stretch, _ in stretches(text)) == text
    hidden = hide(text)
    restored = hidden.text
    for mark, original in hidden.kept:
        restored = restored.replace(mark, original, 1)
    assert restored == text


@pytest.mark.parametrize(
    ("text", "spaced", "expected"),
    [
        ("先运行 `a b` ，然后", True, "先运行 `a b`, 然后"),
        ("这是**重要**的。", True, "这是 **重要** 的。"),
        ("看[手册](x.md)吧", True, "看 [手册](x.md) 吧"),
        ("a **b** c", False, "a**b**c"),
        ("**甲**、**乙**：好", True, "**甲**, **乙**: 好"),
        ("Hello **world**.", False, "Hello**world**。"),
        ("先`a b`, then **c**: it helps!", False, "先`a b`，then**c**：it helps!"),
        ("**a**...", False, "**a**..."),
        ("**a**.b", False, "**a**.b"),
    ],
)
def test_stretches_come_together_as_a_sentence(text: str, spaced: bool, expected: str) -> None:
    assert joined([stretch for stretch, _ in stretches(text)], spaced=spaced) == expected


@pytest.mark.parametrize("text", ["12 345", "`code`", "src/main.py", "x86_64", "https://example.org", "v1.2.3", "—"])
def test_code_names_of_files_and_numbers_are_no_words(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize(("text", "count"), [("用 PyTorch 训练 `x y`", (3, 1)), ("Two words.", (0, 2)), ("好", (1, 0))])
def test_words_are_counted_in_both_languages(text: str, count: tuple[int, int]) -> None:
    assert words_of(text) == count


@pytest.mark.parametrize(
    "text", ["`" * 50_001, "[^" * 50_000, r"\(" * 50_000, "a" * 200_000, "<a" * 50_000, "$a " * 50_000, "](" * 50_000]
)
def test_hostile_lines_take_no_longer_than_their_length_asks(text: str) -> None:
    began = time.monotonic()
    has_words(text)
    assert "".join(stretch for stretch, _ in stretches(text)) == text
    assert time.monotonic() - began < 5


def test_marks_are_numbered_from_one_by_letters_that_the_text_has_not() -> None:
    assert hide("run `a` and `b`").text == "run `x1` and `x2`"
    assert hide("x1 is not `a`").text == "x1 is not `xx1`"


def test_of_the_stretches_those_are_words_that_can_be_translated() -> None:
    found = stretches("run `a b`, 12 `c` times")
    assert [stretch for stretch, words in found if words] == ["run ", " times"]
    assert [stretch for stretch, words in found if not words] == ["`a b`", ", 12 ", "`c`"]
