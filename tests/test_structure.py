"""The short notation, the schema that is really enforced, and replies that always fit it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.config import SamplingConfig
from engine.errors import OutputError, UsageError
from engine.sampling import Sampler
from engine.schema import Chunk, Message
from engine.shape import bounded, parse
from engine.structure import Vocabulary, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.session import Session
    from engine.tokenizer import Tokenizer

ASKED = [Message("user", "Who is it?")]
NESTED = {
    "type": "object",
    "properties": {
        "owner": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 12}, "alive": {"type": "boolean"}},
            "required": ["name", "alive"],
        },
        "sizes": {"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 5}, "minItems": 2},
    },
    "required": ["owner", "sizes"],
}
SHAPES = {
    "choices": "mood in happy|sad|so-so",
    "nested": json.dumps(NESTED),
    "whole numbers": "counts int[1..4]",
    "booleans": "alive bool, asleep? bool",
    "Chinese": "姓名 str 1..6，心情 in 开心|难过，标签[..3] in 红|绿",
    "ranges": "age int 0..150, share number 0..1, depth number -2.5..-0.5",
    "pattern": json.dumps({"type": "string", "pattern": "^[A-Z]{2}-\\d{3,5}$"}),
    "dates": "born date, died? date",
    "alternatives": json.dumps(
        {"anyOf": [{"type": "integer", "multipleOf": 7}, {"type": "null"}, {"const": ["a", "b"]}]}
    ),
    "optional fields": json.dumps({"properties": {"a": {"type": "number"}, "b": {"enum": [1, "二", None]}}}),
    "references": json.dumps(
        {
            "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}}, "required": ["v"]}},
            "type": "array",
            "items": {"$ref": "#/$defs/node"},
            "maxItems": 3,
        }
    ),
    "tuples": json.dumps({"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": False}),
}


@pytest.fixture(scope="module")
def tiny(tiny_model_home: Path) -> Iterator[Session]:
    from engine.session import Session

    session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    yield session
    session.close()


@pytest.fixture(scope="module")
def tokenizer(tiny_model_home: Path) -> Tokenizer:
    from engine.tokenizer import Tokenizer

    return Tokenizer.load(tiny_model_home / "models" / "tiny")


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer, tokenizer.eos_ids)


def sampled(logits: torch.Generator, vocabulary: Vocabulary, tokenizer: Tokenizer, shape: str, seed: int) -> str:
    """A reply drawn from noise at temperature 1.5 under a schema: no model has a say in what comes out."""
    constraint = vocabulary.constraint(compile_schema(parse(shape)))
    sample = Sampler(SamplingConfig(temperature=1.5, seed=seed), constraint)
    ids: list[int] = []
    while not constraint.finished:
        drawn, _ = sample(torch.randn(tokenizer.vocab_size, generator=logits), ids)
        if drawn in tokenizer.eos_ids:
            break
        ids.append(drawn)
        assert len(ids) < 3000
    return tokenizer.decode(ids, continuing=True)


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_is_drawn_the_reply_fits_its_schema(vocabulary: Vocabulary, tokenizer: Tokenizer, name: str) -> None:
    schema = parse(SHAPES[name])
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    noise = torch.Generator().manual_seed(1)
    replies = [sampled(noise, vocabulary, tokenizer, SHAPES[name], seed) for seed in range(50)]
    for reply in replies:
        judge.validate(json.loads(reply))
        assert compile_schema(schema).fits(reply)
    assert len(set(replies)) > 1


def test_fifty_replies_of_a_model_with_random_weights_are_fifty_valid_objects(tiny: Session) -> None:
    shape = "姓名 str ..4, age int 0..150, ok bool"
    judge = jsonschema.Draft202012Validator(parse(shape))
    grammar = compile_schema(parse(shape))
    asked = [[Message("user", text)] for text in ("Who is it?", "他是谁？", "Name one.", "7 + 5", "{")]
    replies = set()
    for seed in range(10):
        sampling = SamplingConfig(temperature=1.5, seed=seed)
        rows = [""] * len(asked)
        for index, chunk in tiny.stream_many(asked, sampling, grammar=grammar):
            assert isinstance(chunk, Chunk)
            assert chunk.finish_reason != "length"
            rows[index] += chunk.text
        for row in rows:
            judge.validate(json.loads(row))
        replies |= set(rows)
    assert len(replies) > 25


def test_rows_decoded_together_are_each_held_to_the_schema_and_equal_those_decoded_alone(tiny: Session) -> None:
    grammar = compile_schema(parse("name str ..6, n int 0..99"))
    asked = [[Message("user", f"Row {n}")] for n in range(5)]
    sampling = SamplingConfig(temperature=0)
    rows = [""] * len(asked)
    for index, chunk in tiny.stream_many(asked, sampling, together=3, grammar=grammar):
        assert isinstance(chunk, Chunk)
        rows[index] += chunk.text
    alone = ["".join(chunk.text for chunk in tiny.stream(row, sampling, grammar=grammar)) for row in asked]
    assert rows == alone
    assert all(grammar.fits(row) for row in rows)


def test_log_probabilities_are_those_of_the_model_before_the_mask(tiny: Session) -> None:
    grammar = compile_schema(parse("mood in happy|sad"))
    chunks = list(tiny.stream(ASKED, SamplingConfig(), grammar=grammar))
    free = list(tiny.stream(ASKED, SamplingConfig(max_tokens=1)))
    first = chunks[0] if chunks[0].ids else next(chunk for chunk in chunks if chunk.ids)
    best = next(chunk for chunk in free if chunk.ids)
    assert first.ids != best.ids  # the model itself would never begin with a brace
    assert first.logprobs[0] < best.logprobs[0] < 0
    assert first.logprobs[0] < -1  # a forced token has probability 1 after the mask


def test_a_reply_that_runs_out_of_room_says_so_and_one_that_just_fits_is_complete(tiny: Session) -> None:
    grammar = compile_schema(parse("mood in happy|sad"))
    whole = list(tiny.stream(ASKED, SamplingConfig(), grammar=grammar))
    needed = whole[-1].output_tokens
    for room, reason in ((needed, "stop"), (needed - 1, "length")):
        last = list(tiny.stream(ASKED, SamplingConfig(max_tokens=room), grammar=grammar))[-1]
        assert (last.finish_reason, last.output_tokens) == (reason, room)


def test_a_value_that_could_go_on_is_complete_when_the_room_ends(tiny: Session) -> None:
    grammar = compile_schema({"type": "integer", "minimum": 10, "maximum": 10**14})
    chunks = list(tiny.stream(ASKED, SamplingConfig(max_tokens=3, temperature=1.5, seed=3), grammar=grammar))
    assert chunks[-1].finish_reason == "stop"
    assert int("".join(chunk.text for chunk in chunks)) >= 10


def test_stop_ids_are_allowed_only_when_the_value_is_complete(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    constraint = vocabulary.constraint(compile_schema({"type": "integer"}))
    stops = sorted(tokenizer.eos_ids)
    assert not constraint.allowed()[stops].any()
    constraint.take(tokenizer.encode_parts(["", "7"])[-1])
    assert constraint.allowed()[stops].all()
    assert constraint.complete
    assert not constraint.finished
    assert not constraint.allowed()[list(tokenizer.control_tokens.values())].all()


def test_a_token_that_is_not_allowed_is_refused(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    constraint = vocabulary.constraint(compile_schema({"type": "integer"}))
    with pytest.raises(OutputError, match="could not be followed"):
        constraint.take(tokenizer.encode("hello")[0])


def test_a_table_with_more_rows_than_the_vocabulary_draws_none_of_them(
    vocabulary: Vocabulary, tokenizer: Tokenizer
) -> None:
    constraint = vocabulary.constraint(compile_schema({"type": "boolean"}))
    logits = torch.zeros(tokenizer.vocab_size + 100)
    logits[tokenizer.vocab_size :] = 50
    drawn, _ = Sampler(SamplingConfig(), constraint)(logits, [])
    assert drawn < tokenizer.vocab_size


def test_a_stop_string_and_a_grammar_are_not_taken_together(tiny: Session) -> None:
    grammar = compile_schema(parse("name"))
    with pytest.raises(UsageError, match="stop string"):
        list(tiny.stream(ASKED, SamplingConfig(stop=("}",)), grammar=grammar))


def test_every_part_of_the_notation_becomes_json_schema() -> None:
    schema = parse(
        'name, age int 0..150, mood in happy|very sad, tags[], "full name" str ..9: as in, "b, c" bool?, n[2..3] number'
    )
    assert schema["required"] == ["name", "age", "mood", "tags", "full name", "b, c", "n"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"].values()) == [
        {"type": "string"},
        {"type": "integer", "minimum": 0, "maximum": 150},
        {"enum": ["happy", "very sad"]},
        {"type": "array", "items": {"type": "string"}},
        {"type": "string", "maxLength": 9, "description": "as in"},
        {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3},
    ]


def test_chinese_punctuation_and_types_mean_the_same() -> None:
    chinese = parse("名字，年龄 整数 0..9，心情 in 好｜坏，备注？：短，“一，二” 数字")
    ascii_ = parse('名字, 年龄 int 0..9, 心情 in 好|坏, 备注?: 短, "一，二" number')
    assert chinese == ascii_


def test_a_text_of_several_lines_has_a_field_a_line_and_commas_in_its_descriptions() -> None:
    schema = parse("\nname: first, then last\n\nage int\n")
    assert schema["properties"] == {
        "name": {"type": "string", "description": "first, then last"},
        "age": {"type": "integer"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  ", "empty"),
        ("name,", "character 6: expected a name, found the end"),
        ("name,,age", "character 6: expected a name, found ','"),
        ("name foo", "character 6: unknown type 'foo'"),
        ("  name foo", "character 8: unknown type 'foo'"),
        ("first name", "unknown type 'name'"),
        ("a.b", "character 2: expected a comma, found '.'"),
        ("int", "'int' is a type"),
        ("a, b, a", "character 7: a second field 'a'"),
        ("a??", "a second \\?"),
        ("a[][]", "a second list"),
        ("a int 5..1", "empty"),
        ("a int 1.5..2", "1.5 is no whole number"),
        ("a str -1..3", "-1 is no length"),
        ("a ..", "a range belongs to"),
        ("a bool 0..1", "a range belongs to"),
        ("a bool in x|y", "choices have the type"),
        ("a in x", "two choices at least"),
        ("a in x|x", "a second choice 'x'"),
        ("a in 1|2", "could be texts or not"),
        ("a in true|false", "could be texts or not"),
        ("a int in 1|x", "'x' is no integer"),
        ("a in x|y?", "\\? in a choice"),
        ("time in 10:30|11:00", ": in a choice"),
        ('a in "x|y', "no end"),
        ('"" int', "nothing between quotes"),
        ("a:", "expected a description"),
        ("a:b", "found ':'"),
        ("a [3]", "expected \\[\\]"),
        ("a[5..2]", "5 is more than 2"),
        ("a int 0..9?", "found '\\?'"),
        ("a int,\nb", "expected the line to end"),
        ('{"type": "object"', "line 1, column 18"),
        ('{"name": "Anna"}', "neither"),
        ('{"type": "number", "minimum": NaN}', "NaN"),
    ],
)
def test_what_is_ambiguous_or_wrong_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)


@given(st.text(alphabet='ab1 ,:|?[]."“，：in{}\n-日', max_size=30))
def test_any_text_is_a_schema_that_can_be_guaranteed_or_a_usage_error(text: str) -> None:
    try:
        schema = parse(text)
    except UsageError:
        return
    jsonschema.Draft202012Validator.check_schema(schema)
    compile_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
        {"not": {"type": "string"}, "type": "integer"},
        {"type": "strin"},
        {"enum": []},
        {"type": "array", "prefixItems": 5},
        {"type": "array", "minItems": "x"},
        {"const": "\ud800"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "format": "no-such-format"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "other.json"},
        {"$ref": "#/$defs/\ud800"},
        {"type": "object", "x-guidance": {"lenient": True}, "properties": {"a": {"not": {}}}},
    ],
)
def test_a_schema_that_can_not_be_guaranteed_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="can't be guaranteed"):
        compile_schema(schema)


@pytest.mark.parametrize(("name", "reference"), [("人", "人"), ("full name", "full name"), ("a/b [x]", "a~1b%20[x]")])
def test_a_reference_reaches_a_name_that_no_uri_holds_as_it_is(name: str, reference: str) -> None:
    parts = {"$ref": {"$ref": f"#/$defs/{reference}"}, "c": {"const": {"$ref": "# 人"}}}
    grammar = compile_schema({"properties": parts, "required": ["$ref", "c"], "$defs": {name: {"type": "integer"}}})
    assert grammar.fits('{"$ref": 3, "c": {"$ref": "# 人"}}')


def test_a_value_that_can_not_be_begun_is_refused_and_a_wrong_pattern_told() -> None:
    for schema in ({"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}):
        with pytest.raises(UsageError, match="can't be guaranteed"):
            compile_schema(schema)
    for pattern, why in (("a(", "unclosed group"), ("(?=x)", "look-around, including look-ahead and look-behind")):
        with pytest.raises(UsageError, match=f"can't be guaranteed: regex parse error: {why}"):
            compile_schema({"type": "string", "pattern": pattern})


@pytest.mark.parametrize("branches", [[{"const": 1}, {"const": 2}], [{"minimum": 1}, {"maximum": 0}]])
def test_branches_that_may_both_fit_are_told_in_words_of_the_schema_and_any_of_takes_them(branches: list[Any]) -> None:
    numbers = [{"type": "integer"} | branch for branch in branches]
    with pytest.raises(UsageError, match="oneOf must exclude each other") as caught:
        compile_schema({"oneOf": numbers})
    assert "option" not in caught.value.message
    assert "anyOf" in caught.value.hint
    assert compile_schema({"anyOf": numbers}).fits("0" if "maximum" in branches[1] else "2")


def test_a_schema_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UsageError, match="deep"):
        compile_schema(schema)
    with pytest.raises(UsageError, match="can't be read"):
        parse('{"items":' * 100_000)


def test_every_value_ends_unless_the_schema_itself_asks_for_more() -> None:
    assert bounded({"type": "string"}) == {"type": "string", "maxLength": 500}
    assert bounded({"type": "string", "minLength": 900})["maxLength"] == 900
    assert bounded({"items": {"type": "boolean"}})["maxItems"] == 20
    assert bounded({"type": "integer", "minimum": 3}) == {"type": "integer", "minimum": 3, "maximum": 2**53 - 1}
    assert bounded({"properties": {"a": {"enum": ["x"]}}}) == {
        "type": "object", "properties": {"a": {"enum": ["x"]}}, "additionalProperties": False,
    }  # fmt: skip
    long = {"type": "string", "pattern": "^a{700}$"}
    assert compile_schema(long).fits(json.dumps("a" * 700))
    huge = {"type": "integer", "minimum": 10**17, "maximum": 10**17 + 1}
    assert compile_schema(huge).fits(str(10**17))


def test_parts_that_are_joined_stay_open_for_each_other() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ]
    }
    assert compile_schema(schema).fits('{"a": 1, "b": 2}')


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {
        "type": "object",
        "properties": {"items": {"type": "boolean"}, "type": {"type": "null"}},
        "required": ["type"],
    }
    grammar = compile_schema(schema)
    assert grammar.fits('{"items": true, "type": null}')
    assert not grammar.fits('{"items": 1, "type": null}')


@pytest.mark.parametrize(
    ("text", "fits"),
    [("2024-02-29", True), ("1900-02-29", False), ("2000-02-29", True), ("2026-04-31", False), ("2026-1-1", False)],
)
def test_dates_are_days_of_the_calendar(text: str, fits: bool) -> None:
    schema = parse("day date")
    assert compile_schema(schema).fits(json.dumps({"day": text})) is fits


def test_half_a_value_spaces_at_will_and_lone_surrogates_do_not_fit() -> None:
    grammar = compile_schema(parse("a"))
    assert grammar.fits('{"a": "b"}')
    for text in ('{"a": "b"', '{"a":  "b"}', '{"a":\n"b"}', '{"a": "\\ud800"}', '{"a": "b"} ', "", "\ud800"):
        assert not grammar.fits(text)
