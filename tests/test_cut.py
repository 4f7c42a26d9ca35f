"""Cut documents keep whole lines within their budget, and every line left out is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import Coverage, Document
from engine.tasks.cut import ELLIPSIS, cut_documents, joined, lines_of

if TYPE_CHECKING:
    from engine.config import Overflow

LINES = [f"line {number}\n" for number in range(1, 101)]
TEXTS = st.lists(st.lists(st.text(alphabet="ab \n。", max_size=12), max_size=12).map("\n".join), min_size=1, max_size=4)
POLICIES = st.sampled_from(["head", "tail", "middle"])


def words(text: str) -> int:
    return len(text.split())


def cut_lines(policy: Overflow, budget: int = 23) -> list[str]:
    [document], _ = cut_documents([Document("a", "".join(LINES))], words, budget, policy)
    return document.text.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("head", [*LINES[:10], f"{ELLIPSIS}\n"]),
        ("tail", [f"{ELLIPSIS}\n", *LINES[-10:]]),
        ("middle", [*LINES[:5], f"{ELLIPSIS}\n", *LINES[-5:]]),
    ],
)
def test_each_policy_keeps_its_end_and_marks_the_gap(policy: Overflow, kept: list[str]) -> None:
    assert cut_lines(policy) == kept


def test_the_lines_left_out_are_told_through_all_documents() -> None:
    short = Document("short", "one\ntwo\n")
    _, coverage = cut_documents([short, Document("long", "".join(LINES))], words, 25, "middle")
    assert coverage.unread_lines == ((8, 97),)
    assert (coverage.lines_read, coverage.lines_total) == (12, 102)
    assert (coverage.tokens_read, coverage.tokens_total) == (22, 202)
    assert not coverage.complete


def test_what_fits_stays_as_it_is() -> None:
    documents = [Document("a", "one\n"), Document("b", "two\n\nthree")]
    kept, coverage = cut_documents(documents, words, 3, "head")
    assert kept == documents
    assert coverage.complete
    assert coverage.unread_lines == ()


def test_short_documents_leave_their_share_to_long_ones() -> None:
    documents = [Document("short", "one\n"), Document("long", "".join(LINES))]
    [short, long], _ = cut_documents(documents, words, 44, "head")
    assert short == documents[0]
    assert words(long.text) == 41


def test_a_single_line_above_the_budget_is_left_out_whole() -> None:
    [document], coverage = cut_documents([Document("a", "word " * 100)], words, 10, "head")
    assert document.text == f"{ELLIPSIS}\n"
    assert coverage.unread_lines == ((1, 1),)


def test_only_newlines_end_lines_as_they_do_in_editors() -> None:
    text = "one\x0cstill one\u2028still\ntwo\rstill two\n\nfour"
    assert lines_of(text) == ["one\x0cstill one\u2028still\n", "two\rstill two\n", "\n", "four"]
    _, coverage = cut_documents([Document("a", text)], words, 3, "head")
    assert (coverage.lines_total, coverage.unread_lines) == (4, ((1, 4),))


def test_coverages_are_joined_with_lines_counted_on() -> None:
    parts = [Coverage(1, 1, 5, 5, 50, 50), Coverage(1, 2, 6, 9, 60, 90, ((2, 3), (9, 9)), ((1, 1),))]
    assert joined(parts) == Coverage(2, 3, 11, 14, 110, 140, ((7, 8), (14, 14)), ((6, 6),))
    assert not joined(parts).complete


@given(TEXTS, st.integers(0, 40), POLICIES)
def test_budgets_hold_and_lines_read_and_unread_make_all(texts: list[str], budget: int, policy: Overflow) -> None:
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    kept, coverage = cut_documents(documents, len, budget, policy)
    marks = sum(document.text.count(ELLIPSIS) for document in kept)
    assert sum(len(document.text) for document in kept) <= budget + marks * len(f"{ELLIPSIS}\n")
    missing = [line for first, last in coverage.unread_lines for line in range(first, last + 1)]
    assert len(missing) == len(set(missing)) == coverage.lines_total - coverage.lines_read
    assert coverage.lines_total == sum(len(text.splitlines()) for text in texts)
    assert coverage.complete == (not missing)
