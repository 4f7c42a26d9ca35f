"""Words that a translation left standing are found and filled in, and nothing else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.tasks.leftovers import filled_in, left_words

if TYPE_CHECKING:
    from engine.schema import Language


@pytest.mark.parametrize(
    ("translation", "source", "to", "words"),
    [
        ("她帮我装好我的 suitcase。", "She helped me pack my suitcase.", "zh", ["suitcase"]),
        ("GitHub和`make test`", "GitHub and `make test`", "zh", []),
        ("After dinner, I washed my餐具.", "晚饭后我洗了餐具。", "en", ["餐具"]),
        ("It is好 and好", "这很好。", "en", ["好"]),
        ("All is well.", "一切都好。", "en", []),
    ],
)
def test_words_of_the_source_that_were_left_are_found(
    translation: str, source: str, to: Language, words: list[str]
) -> None:
    assert left_words(translation, source, to) == words


@pytest.mark.parametrize(
    ("translation", "word", "said", "to", "expected"),
    [
        ("我的 suitcase很大。", "suitcase", "行李箱", "zh", "我的行李箱很大。"),
        ("运行`suitcase`和 suitcase", "suitcase", "行李箱", "zh", "运行`suitcase`和行李箱"),
        ("I washed my餐具.", "餐具", "Dishes", "en", "I washed my dishes."),
        ("The裙子 you wear", "裙子", "skirt", "en", "The skirt you wear"),
        ("裙子 is new", "裙子", "Skirt", "en", "Skirt is new"),
        ("my餐具", "餐具", "TV", "en", "my TV"),
    ],
)
def test_a_word_is_filled_in_with_the_spaces_of_the_language(
    translation: str, word: str, said: str, to: Language, expected: str
) -> None:
    assert filled_in(translation, word, said, to) == expected
