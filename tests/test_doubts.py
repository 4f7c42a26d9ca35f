"""What a small model does instead of translating is noticed; what translators do is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.doubts import SEVERITY, doubt, tidy
from engine.tasks.translate import EXAMPLES

GOOD = [
    *EXAMPLES,
    ("The bridge carries about 40,000 cars a day.", "这座桥每天约有四万辆汽车通过。"),
    ("GitHub and PyTorch", "GitHub和PyTorch"),
    ("He paid 1,200 yuan in 2019.", "他在2019年付了1200元。"),
    ("Ha ha ha ha ha ha ha!", "哈哈哈哈哈哈哈哈！"),
    ("Yes.", "是的。"),
    ("NASA", "NASA"),
]


@pytest.mark.parametrize(("english", "chinese"), GOOD)
def test_good_translations_are_not_doubted(english: str, chinese: str) -> None:
    assert doubt(chinese, english, "zh") == ""
    assert doubt(english, chinese, "en") == ""


@pytest.mark.parametrize(
    ("translation", "source", "to", "why"),
    [
        (" \n", "Hello there.", "zh", "empty"),
        ("The sky is blue.", "The sky is blue.", "zh", "language"),
        ("天空是蓝色的。", "天空是蓝色的。", "en", "language"),
        ("The Paris is the capital of France.", "What is the capital of France?", "zh", "language"),
        ("很好很好很好很好很好很好", "It is very good, she said.", "zh", "repeats"),
        ("It is good, it is good, it is good, it is good, it is good", "这个东西真的很好用。", "en", "repeats"),
        ("好", "The library in our town was built in 1911 with money from a bank.", "zh", "length"),
        ("这是一个很长的回答，" + "它解释了许多别的事情，而没有翻译" * 2 + "原文。", "Why not?", "zh", "length"),
        ("大约有工人失去工作。", "About 1200 workers lost their work.", "zh", "number"),
        ("她对 sure。", "She's correct for sure.", "zh", "mixed"),
        ("The 工会 called this decision a shock.", "工会称这一决定令人震惊。", "en", "mixed"),
        ("博物馆九点开门。", "What time does the museum open?", "zh", "question"),
        ("very good", "very good", "zh", "language"),
        ("World Health Care Fund", "World Health Care Fund", "zh", "language"),
        ("12", "好的。", "en", "language"),
    ],
)
def test_what_is_no_translation_is_doubted(translation: str, source: str, to: str, why: str) -> None:
    assert doubt(translation, source, to) == why  # type: ignore[arg-type]


def test_a_reply_that_had_to_be_stopped_is_doubted() -> None:
    assert doubt("他说", "He said yes.", "zh", cut=True) == "cut"


@pytest.mark.parametrize(
    ("raw", "source", "to", "expected"),
    [
        ("Translation: The sky is blue.", "天空是蓝色的。", "en", "The sky is blue."),
        ("翻译：天空是蓝色的。", "The sky is blue.", "zh", "天空是蓝色的。"),
        ("天空是蓝色的。\n\n注：这是直译。", "The sky is blue.", "zh", "天空是蓝色的。"),
        ("The sky is blue.\nNote: a literal translation.", "天空是蓝色的。", "en", "The sky is blue."),
        ("“天空是蓝色的。”", "The sky is blue.", "zh", "天空是蓝色的。"),
        ("“你好。”", '"Hello."', "zh", "“你好。”"),
        ("第一行\n第二行", "First line, second line", "zh", "第一行第二行"),
        ("- item", "一项", "en", "item"),
        ("# 标题。", "Title", "zh", "标题"),
        ("a | b", "甲和乙", "en", "a / b"),
        ("天空是蓝色的", "The sky is blue.", "zh", "天空是蓝色的。"),
        ("Where is it", "它在哪里？", "en", "Where is it?"),
        ("写给`x1`", "Write to `x1`.", "zh", "写给`x1`。"),
    ],
)
def test_what_models_add_is_taken_away_and_ends_are_as_in_the_source(
    raw: str, source: str, to: str, expected: str
) -> None:
    assert tidy(raw, source, to) == expected  # type: ignore[arg-type]


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(["en", "zh"]))
def test_any_reply_is_one_line_and_gets_a_known_verdict(raw: str, source: str, to: str) -> None:
    text = tidy(raw, source, to)  # type: ignore[arg-type]
    assert "\n" not in text
    assert doubt(text, source, to) in SEVERITY  # type: ignore[arg-type]
