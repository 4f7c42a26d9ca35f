"""Rows come in as they stand in the file and go out whole, in order, each once."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError, UsageError
from tui.cli.options import Options
from tui.cli.row_output import OutFormat, RowOutput
from tui.cli.rows import Row, read_rows

if TYPE_CHECKING:
    from pathlib import Path


def read(tmp_path: Path, text: str, spec: str) -> list[Row]:
    path = tmp_path / "rows"
    path.write_text(text, encoding="utf-8", newline="")
    return read_rows(Options(), [str(path)], spec)


def test_lines_are_rows_and_blank_ones_are_not(tmp_path: Path) -> None:
    rows = read(tmp_path, "好\n\n  bad \x0c\u2028 one\n", "lines")
    assert [row.text for row in rows] == ["好", "bad \x0c\u2028 one"]
    assert rows[1].name.endswith(":3")


def test_a_column_is_found_by_name_and_quotes_hold_line_breaks(tmp_path: Path) -> None:
    rows = read(tmp_path, 'id,review\n1,"two\nlines, ""quoted"""\n2,好\n', "csv:review")
    assert [row.text for row in rows] == ['two\nlines, "quoted"', "好"]
    assert rows[0].fields == {"id": "1", "review": 'two\nlines, "quoted"'}
    assert read(tmp_path, "a\tb\n1\tx y\n", "tsv:b")[0].text == "x y"
    assert [row.name[-2:] for row in read(tmp_path, "\n\r\na,b\n\n1,x\n", "csv:b")] == [":5"]


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_what_parts_the_cells_is_known_by_the_column_asked_for(between: str, tmp_path: Path) -> None:
    lines = ('"id"', '"the; review"'), ("1,5", '"a; b"'), ("2", "x,\ty")
    quoted = [[cell if between not in cell or cell[0] == '"' else f'"{cell}"' for cell in line] for line in lines]
    rows = read(tmp_path, "".join(between.join(line) + "\n" for line in quoted), "csv:the; review")
    assert [row.fields for row in rows] == [
        {"id": "1,5", "the; review": "a; b"},
        {"id": "2", "the; review": "x,\ty"},
    ]
    assert [row.error for row in rows] == ["", ""]
    assert read(tmp_path, "a;b,c\n1;2,3\n", "csv:a;b")[0].text == "1;2", "a comma where the column is there by it"
    with pytest.raises(UsageError, match="no column 'a'"):
        read(tmp_path, "a,b\n1,2\n", "tsv:a")


def test_a_row_that_is_no_row_keeps_its_place(tmp_path: Path) -> None:
    rows = read(tmp_path, '{"t": "a"}\nnot json\n[1]\n{"t": 3}\n{"t": ""}\n{"t": "b"}\n', "jsonl:t")
    assert [bool(row.error) for row in rows] == [False, True, True, True, True, False]
    rows = read(tmp_path, "a,b\n1,2\n1\n3,4\n", "csv:b")
    assert [row.error for row in rows] == ["", "1 value, expected 2", ""]
    (row,) = read(tmp_path, 'a,b,c\n1,2,"x,y", and,more\n', "csv:b")
    assert row.error == "5 values, expected 3"
    assert row.fields == {"a": "1", "b": "2", "c": "x,y, and,more"}, "no cell is lost"
    (row,) = read(tmp_path, "a\n1\t2\n", "tsv:a")
    assert row.fields == {"a": "1\t2"}


def test_a_cell_may_be_as_long_as_a_file(tmp_path: Path) -> None:
    long = "字" * 200_000
    rows = read(tmp_path, f"id,t\n1,{long}\n", "csv:t")
    assert [row.text for row in rows] == [long]
    output, written = table("csv", rows, {0: {"label": "x"}})
    (tmp_path / "out").write_text("".join(written), encoding="utf-8")
    assert output.resume(tmp_path / "out")[0] == 1


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_what_a_kill_left_of_a_row_is_written_again_and_nothing_else_is(kind: OutFormat, tmp_path: Path) -> None:
    rows = [Row(text, fields={"t": text, "名": ""}) for text in ("a, b", '引"号', "")]
    _, written = table(kind, rows, {at: {"label": "x"} for at in range(3)})
    whole, path = "".join(written).encode(), tmp_path / "out"
    for size in range(len(whole) + 1):
        for torn in (whole[:size], whole[:size] + b"\0\0"):
            path.write_bytes(torn)
            output, _ = table(kind, rows, {})
            assert output.resume(path)[1] == whole.rfind(b"\n", 0, size) + 1
        path.write_bytes(whole[:size] + b"my only copy")
        if not whole[:size] or whole[:size].endswith(b"\n"):
            output, _ = table(kind, rows, {})
            with pytest.raises(UsageError, match="another input"):
                output.resume(path)


def test_a_cell_may_have_very_many_lines(tmp_path: Path) -> None:
    rows = read(tmp_path, 'id,t\n1,"' + "a line of it\n" * 200_000 + '"\n', "csv:t")
    output, written = table("csv", rows, {0: {"label": "x"}})
    (tmp_path / "out").write_text("".join(written), encoding="utf-8")
    assert output.resume(tmp_path / "out")[0] == 1  # minutes, where each line looks at all before it


def test_columns_of_one_name_are_all_kept(tmp_path: Path) -> None:
    rows = read(tmp_path, "t,,t,t_2,\nfirst,a,second,b,c\n", "csv:t")
    assert rows[0].text == "first"
    assert rows[0].fields == {"t": "first", "": "a", "t_3": "second", "t_2": "b", "_2": "c"}
    assert read(tmp_path, "t,t\n1,2\n", "csv:t_2")[0].text == "2"


def test_half_a_character_is_an_error_of_its_row(tmp_path: Path) -> None:
    rows = read(tmp_path, '{"t": "ab\\ud800"}\n{"t": "\\ud83d\\ude00"}\n', "jsonl:t")
    assert [row.error for row in rows] == ["the text holds half a surrogate pair (U+D800) at 2", ""]
    assert rows[1].text == "\U0001f600"


def test_what_can_not_be_meant_is_refused(tmp_path: Path) -> None:
    for spec in ("line", "csv", "csv:", "xml:a"):
        with pytest.raises(UsageError, match="--in expects"):
            read(tmp_path, "a,b\n1,2\n", spec)
    with pytest.raises(UsageError, match="no column 'c'"):
        read(tmp_path, "a,b\n1,2\n", "csv:c")
    with pytest.raises(InputError, match="no rows"):
        read(tmp_path, "\n\n", "lines")
    with pytest.raises(InputError, match="not valid CSV"):
        read(tmp_path, 'a,b\n"x"y,2\n', "csv:b")


def table(kind: OutFormat, rows: list[Row], results: dict[int, dict[str, Any]]) -> tuple[RowOutput, list[str]]:
    written: list[str] = []
    output = RowOutput(kind, rows, ["label", "error"], written.append, lambda row, _: row.text)
    output.begin()
    for index, result in results.items():
        output.put(index, result)
    return output, written


def test_rows_that_finish_early_wait_for_those_before_them() -> None:
    rows = [Row(text, fields={"text": text}) for text in "abc"]
    output, written = table("jsonl", rows, {2: {"label": "z"}, 0: {"label": "x"}})
    assert [json.loads(line) for line in written] == [{"text": "a", "label": "x"}]
    output.put(1, {"error": "no"})
    assert [json.loads(line) for line in written[1:]] == [{"text": "b", "error": "no"}, {"text": "c", "label": "z"}]


def test_a_row_with_an_error_says_nothing_as_text() -> None:
    rows = [Row(text, fields={"text": text}) for text in "ab"]
    output, written = table("text", rows, {0: {"error": "no"}, 1: {"label": "x"}})
    assert (written, output.failed) == (["", "b\n"], 1)


def test_a_column_of_the_input_keeps_its_name_and_value() -> None:
    rows = [Row("a", fields={"text": "a", "label": "gold"})]
    _, written = table("csv", rows, {0: {"label": "guess"}})
    assert written == ["text,label,llm_label,error\n", "a,gold,guess,\n"]


def test_what_was_judged_before_keeps_every_column(tmp_path: Path) -> None:
    fields = {"text": "a", "label": "gold", "llm_label": "guess"}
    for kind in ("csv", "jsonl"):
        _, written = table(kind, [Row("a", fields=fields)], {0: {"label": "again"}})
        (tmp_path / kind).write_text("".join(written), encoding="utf-8")
    assert (tmp_path / "csv").read_text().splitlines()[0] == "text,label,llm_label,llm_llm_label,error"
    assert json.loads((tmp_path / "jsonl").read_text()) == fields | {"llm_llm_label": "again"}


def test_numbers_of_the_input_keep_all_their_digits() -> None:
    rows = [Row("a", fields={"text": "a", "time": 1700000000.125, "price": 0.1})]
    _, written = table("csv", rows, {0: {"label": 0.123456789}})
    assert written[1] == "a,1700000000.125,0.1,0.123457,\n"


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6)


@settings(max_examples=60)
@given(texts=texts, kind=st.sampled_from(["csv", "tsv", "jsonl"]), cut=st.integers(0, 200))
def test_a_file_cut_anywhere_goes_on_with_the_next_whole_row(
    texts: list[str], kind: OutFormat, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "out"
    rows = [Row(text, fields={"text": text}) for text in texts]
    results = {index: {"label": "好"} for index in range(len(rows))}
    _, written = table(kind, rows, results)
    whole = "".join(written).encode()
    path.write_bytes(whole[:cut])
    output, more = table(kind, rows, {})
    more.clear()
    done, size = output.resume(path)
    assert whole.startswith(path.read_bytes()[:size])
    if not size:
        output.begin()
    for index in range(done, len(rows)):
        output.put(index, results[index])
    assert path.read_bytes()[:size] + "".join(more).encode() == whole
    if kind != "jsonl":
        delimiter = "," if kind == "csv" else "\t"
        read_back = list(csv.reader(io.StringIO(whole.decode(), newline=""), delimiter=delimiter))
        assert [row[0] for row in read_back[1:]] == texts


def test_a_value_cut_at_a_line_break_of_its_own_is_not_a_row(tmp_path: Path) -> None:
    rows = [Row(text, fields={"text": text}) for text in ("a", 'two\n"lines"')]
    output, written = table("csv", rows, {0: {"label": "x"}, 1: {"label": "y"}})
    assert written[2] == '"two\n""lines""",y,\n'
    for cut in ('"two\n', '"two\n""lines""'):
        (tmp_path / "out").write_text("".join(written[:2]) + cut)
        assert output.resume(tmp_path / "out") == (1, len("".join(written[:2])))


def test_a_row_that_no_other_format_could_hold_is_known_again(tmp_path: Path) -> None:
    line = '{"t": "a", "half": "\\ud800 \\udc80", "\\udfff": 1, "x": NaN, "y": 1e999, "none": null}'
    rows = read(tmp_path, f"{line}\n" + '{"t": "b", "x": ' + "[" * 200_000 + "\n", "jsonl:t")
    assert rows[1].error == "not valid JSON"
    for kind in ("jsonl", "csv"):
        output, written = table(kind, rows, {0: {"label": "x"}, 1: {"error": "no"}})
        (tmp_path / kind).write_text("".join(written), encoding="utf-8")
        assert output.resume(tmp_path / kind)[0] == 2
    written = (tmp_path / "jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(written[0])["half"] == "\ud800 \udc80"


def test_the_output_of_another_input_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"text": "other", "label": "x"}\n')
    output, _ = table("jsonl", [Row("a", fields={"text": "a"})], {})
    with pytest.raises(UsageError, match="made from another input"):
        output.resume(path)
    table_path = tmp_path / "out.csv"
    table_path.write_text("words,label,error\n")
    output, _ = table("csv", [Row("a", fields={"text": "a"})], {})
    with pytest.raises(UsageError, match="header differs"):
        output.resume(table_path)
