"""Rows are read field by field, and what is wrong with one is said with its file and line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.evaluation.rows import (
    Endings,
    LabelledText,
    Passage,
    Query,
    Question,
    Summarized,
    Translated,
    objects,
)
from engine.schema import Document

GOOD: dict[type[Any], dict[str, Any]] = {
    LabelledText: {"text": "fine", "label": "positive"},
    Question: {"context": "c", "question": "q", "answers": ["a", "b"]},
    Summarized: {"text": "t", "summaries": ["s"]},
    Translated: {"en": "one", "zh": "一"},
    Query: {"query": "q", "relevant": [0, "x"]},
    Passage: {"id": 7, "text": "t"},
    Endings: {"context": "c", "endings": ["a", "b"], "label": 1},
}


def read(kind: type[Any], *values: Any) -> list[Any]:
    text = "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    return [kind.read(line, fields) for line, fields in objects(Document("rows.jsonl", text))]


@pytest.mark.parametrize("kind", GOOD)
def test_good_rows_are_read_and_know_their_line(kind: type[Any]) -> None:
    first, second = read(kind, GOOD[kind], "  ", GOOD[kind] | {"more": "is fine"}, "")
    assert (first.line, second.line) == (1, 3)
    for name, value in GOOD[kind].items():
        read_value = getattr(first, name)
        if isinstance(value, list):
            assert read_value == tuple(map(str, value))
        else:
            assert read_value == (str(value) if name == "id" else value)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, row in GOOD.items() for name in row])
def test_a_missing_field_is_named_with_file_and_line(kind: type[Any], name: str) -> None:
    row = {key: value for key, value in GOOD[kind].items() if key != name}
    with pytest.raises(InputError, match=rf"rows\.jsonl:2: expected a field '{name}'"):
        read(kind, GOOD[kind], row)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, row in GOOD.items() for name in row])
@pytest.mark.parametrize("value", [None, True, 1.5, {}, [], [None], [[]], "", " "])
def test_a_field_of_the_wrong_kind_is_refused_with_what_came(kind: type[Any], name: str, value: Any) -> None:
    if value == [] and name == "answers":
        assert read(kind, GOOD[kind] | {name: value})[0].answers == ()
        return
    with pytest.raises(InputError, match=rf"rows\.jsonl:1: field '{name}' must be .*, got "):
        read(kind, GOOD[kind] | {name: value})


@pytest.mark.parametrize("label", [-1, 2, "1"])
def test_the_index_of_the_true_ending_must_be_one_of_them(label: Any) -> None:
    with pytest.raises(InputError, match="a whole number from 0 to 1"):
        read(Endings, GOOD[Endings] | {"label": label})


@pytest.mark.parametrize(
    "line", ["{", "[1]", "3", "null", '{"text": "a"} x', "[" * 100_000, '{"text": ' + "9" * 5000 + "}"]
)
def test_what_is_no_json_object_is_refused_with_file_and_line(line: str) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl:2: "):
        read(LabelledText, GOOD[LabelledText], line)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_rows_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl has no rows"):
        read(LabelledText, text)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl:1: field 'text' holds half a surrogate pair at 2"):
        read(LabelledText, '{"text": "ab\\ud83d", "label": "x"}')


def test_line_separators_inside_a_text_end_no_row() -> None:
    [row] = read(LabelledText, '{"text": "one\u2028two\x85three", "label": "x"}')
    assert row.text == "one\u2028two\x85three"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_was(texts: list[str]) -> None:
    assert [row.text for row in read(LabelledText, *({"text": text, "label": "x"} for text in texts))] == texts
