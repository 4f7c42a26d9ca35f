"""What is text in a document and what is not: nothing is lost, and code, rules and marks are never called words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tasks.markup import pieces

FRAGMENTS = [
    "# Title", "## 标题 ##", "- item one", "  * nested 项", "1. first", "12) twelfth", "一、概述", "（2）第二",
    "> quoted", ">> deeper", "```python", "```", "~~~", "    indented code();", "| a | b |", "|---|:-:|", "a | b",
    "--- | ---", "---", "***", "", "   ", "A sentence that is long enough to look like one of a paragraph",
    "and goes on here. Then it ends.", "中文的一句话，后面还有。", "12345 67.8", "[x]: https://example.org",
    "<!-- a", "b -->", "$$", "x = y", "- [ ] box", "trailing  ", "hard break\\", "\\[", "\\]", "<pre>", "</pre>",
    "\ttab", "　　缩进的段落。", "a\x0bb", "\r", "`a|b` | c",
]  # fmt: skip


def words(text: str) -> list[str]:
    return [piece.words for piece in pieces(text) if piece.words]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=12), max_size=25), st.booleans())
def test_the_pieces_joined_are_the_document(lines: list[str], ended: bool) -> None:
    text = "\n".join(lines) + "\n" * ended
    found = list(pieces(text))
    assert "".join(piece.text for piece in found) == text
    number = 1
    for piece in found:
        assert piece.first_line == number
        number += piece.text.count("\n")
        assert piece.last_line == number - piece.text.endswith("\n")
        assert "\n" not in piece.words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title #\n", ["Title"]),
        ("  - [x] done  \n", ["done"]),
        ("> 1. 第一条\n", ["第一条"]),
        ("一、概述\n（2）范围\n", ["概述", "范围"]),
        ("| Day | `a|b` \\| c |\n|:--|---|\n| Monday | 12 |\n", ["Day", "`a|b` \\| c", "Monday", "12"]),
        ("name | value\n--- | ---\nspeed | fast\n", ["name", "value", "speed", "fast"]),
        ("Text.\\\nMore.\n", ["Text.", "More."]),
        ("[^1]: The note. Its end.\n[^two]:Another\n", ["The note. Its end.", "Another"]),
        ("Term\n: What it means\n:   or may\n", ["Term", "What it means", "or may"]),
    ],
)
def test_marks_are_not_part_of_the_words(text: str, expected: list[str]) -> None:
    found = [word for word in words(text) if any(map(str.isalnum, word))]
    assert found == expected


@pytest.mark.parametrize(
    "block",
    [
        "```python\nprint('a')\n\n# not a heading\n```\n",
        "~~~~\n~~~\ncode\n~~~~\n",
        "- ```\n  code\n  ```\n",
        "---\ntitle: A name\nlayout: page\n---\n",
        "<!-- a remark\nof two lines -->\n",
        "<pre>\nas it is\n</pre>\n",
        "$$\nE = mc^2\n$$\n",
        "***\n",
        "2024-01-01, 12:30\n",
        "[one]: https://example.org/a 'Title'\n",
        "\n    make install\n    make test\n",
    ],
)
def test_what_is_no_text_has_no_words(block: str) -> None:
    assert words(block) == []
    assert "after" in words(f"{block}\nafter\n")


def test_a_fence_that_is_never_closed_reaches_to_the_end() -> None:
    assert words("before\n\n```\nafter\n\nlater\n") == ["before"]


def test_lines_broken_to_a_width_are_one_paragraph() -> None:
    text = (
        "The station was built in 1987 on a small island\n"
        "in the northern part of the lake. It can be\n"
        "reached by boat.\n"
    )
    assert words(text) == [
        "The station was built in 1987 on a small island in the northern part of the lake. It can be reached by boat."
    ]
    by_hand = "The station was built in 1987 on a small island\nfar from here,\nnear the lake.\n"
    assert words(by_hand) == ["The station was built in 1987 on a small island far from here, near the lake."]
    quoted = "> 这个车站建于一九八七年，位于湖北部的一个小岛上，只能在五月\n> 到十月之间坐船到达。\n"
    assert words(quoted) == ["这个车站建于一九八七年，位于湖北部的一个小岛上，只能在五月到十月之间坐船到达。"]


def test_verse_and_lines_that_end_their_sentence_stay_lines() -> None:
    verse = "Shall I compare thee\nTo a summer's day\nThou art more lovely\n"
    assert words(verse) == verse.split("\n")[:3]
    paragraphs = "他走了很久，终于在天黑以前看见了那座小小的村子，心里非常高兴。\n村里没有人。\n"
    assert words(paragraphs) == paragraphs.split("\n")[:2]


def test_an_indented_paragraph_is_text_and_an_indented_block_is_code() -> None:
    assert words("\n    Once upon a time there was a king.\n") == ["Once upon a time there was a king."]
    for prose in ("    话说平儿出来吩咐，大事化为小事．若不然便不好", "    Once upon a time there was a king who had"):
        assert words(f"\n{prose}\n\nText\n") == [prose.strip(), "Text"]
    for code in ("    cp a b", "    def f(x):\n        return x", "    int x = 1;", '    print("你好，这是一个测试")'):
        assert words(f"\n{code}\n\nText\n") == ["Text"]
    assert words("- item\n\n    more of the item\n") == ["item", "more of the item"]


@pytest.mark.parametrize(
    "text",
    ["x" + " " * 200_000 + "y", "`" * 100_001, "|" * 100_000, "> " * 100_000, "- a\n" * 50_000, "[^" * 100_000 + "a",
     "\n\n    a\n" * 30_000, "```\n" * 60_000, "<!--\n" * 30_000, "# " * 100_000, "a" * 300_000,
     "|a|\n" + "|-" * 3_000 + "x\n", " " * 200_000 + "a\n" + "b\n" * 20_000],
)  # fmt: skip
def test_hostile_documents_take_no_longer_than_their_length_asks(text: str) -> None:
    began = time.monotonic()
    assert "".join(piece.text for piece in pieces(text)) == text
    assert time.monotonic() - began < 5
