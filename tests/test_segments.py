"""A document in segments: joined it is the document, all its words are asked for, none twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tasks.segments import segments, target_of

if TYPE_CHECKING:
    from engine.schema import Language

LINES = [
    "# The title", "First words. And a second sentence!", "- item with `code`", "中文的句子。还有一句？", "", "```",
    "| a cell | 12 |", "|---|---|", "    make install", "> quoted words", "see https://example.org/x", "2024",
    "使用 PyTorch 训练模型。",
]  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=20), max_size=20), st.sampled_from(["en", "zh"]))
def test_the_segments_joined_are_the_document(lines: list[str], to: Language) -> None:
    text = "\n".join(lines)
    found = list(segments(text, to, len, 20))
    assert "".join(segment.text for segment in found) == text
    assert all(segment.tokens <= 20 for segment in found if segment.source)
    for segment in found:
        assert not (segment.source and segment.unchanged)
        assert segment.follows == (not segment.text and bool(segment.source))


@given(st.lists(st.sampled_from(["One more sentence. ", "Why not? ", "A word, and another one; ", "x"]), min_size=1))
def test_all_words_of_a_paragraph_are_asked_for_once_and_in_order(parts: list[str]) -> None:
    text = "Words " + "".join(parts)
    asked = "".join(segment.source for segment in segments(text, "zh", len, 12))
    assert re.sub(r"\s", "", asked) == re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("text", "to", "asked"),
    [
        ("中文。\n\nEnglish words.\n", "zh", ["English words."]),
        ("中文。\n\nEnglish words.\n", "en", ["中文。"]),
        ("The word 道 means way, they say.\n", "en", []),
        (
            "使用 PyTorch DistributedDataParallel 进行训练。\n",
            "en",
            ["使用 PyTorch DistributedDataParallel 进行训练。"],
        ),
        ("`llm ask`\n\n12 345\n\nsrc/main.py\n", "zh", []),
    ],
)
def test_what_is_in_the_language_already_is_not_asked_for(text: str, to: Language, asked: list[str]) -> None:
    assert [segment.source for segment in segments(text, to, len, 200) if segment.source] == asked


@pytest.mark.parametrize(
    ("text", "to"),
    [("Plain words.", "zh"), ("普通的文字。", "en"), ("```\nmuch longer code here\n```\n中文", "en"), ("123", "zh")],
)
def test_the_target_is_the_other_language_and_code_does_not_count(text: str, to: str) -> None:
    assert target_of(text) == to
