"""`llm ask --schema` and `llm batch` as users run them: the value alone on stdout, every exit code, every format."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import pytest
from cli_process import COMMAND, environment, llm

from engine.shape import parse
from engine.structure import compile_schema
from tui.cli.main import run
from tui.cli.shaped import value_of

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = "name str 1..5, age int 0..150, mood in happy|sad"
HOT = ("--temperature", "1.5", "--seed", "3")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `llm` in this process with the model `tiny`; without `stdin` there is none."""
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))

    def command(*arguments: str, stdin: str | None = None) -> Done:
        source = None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", source)
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return command


def fits(value: Any, shape: str = SHAPE) -> None:
    jsonschema.Draft202012Validator(parse(shape)).validate(value)


def test_the_value_stands_alone_on_stdout_and_fits(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "ask", "Who is it?", "--schema", SHAPE, *HOT, stdin=b"Anna is 37 and glad")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1
    fits(json.loads(done.stdout))


def test_json_wraps_the_value_as_data(command: Command) -> None:
    shape = "姓名 str 1..4，心情 in 开心|难过"
    done = command("ask", "他是谁？", "--schema", shape, "--json", *HOT)
    found = json.loads(done.out)
    fits(found["data"], shape)
    assert json.loads(found["text"]) == found["data"]
    assert found["finish_reason"] == "stop"
    assert {"id", "model", "prompt_tokens", "output_tokens", "duration_ms", "ttft_ms"} <= found.keys()
    assert "心情" in done.out


def test_a_schema_comes_from_a_file_by_name_or_by_at(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "person.json").write_text(json.dumps(parse(SHAPE)), encoding="utf-8")
    (tmp_path / "shape").write_text("age int 0..150\nmood in happy|sad\n", encoding="utf-8")
    for value, shape in (
        ("person.json", SHAPE),
        ("@person.json", SHAPE),
        ("@shape", "age int 0..150, mood in happy|sad"),
    ):
        done = command("ask", "Who?", "--schema", value, *HOT)
        assert done.code == 0, done.err
        fits(json.loads(done.out), shape)


def test_an_answer_goes_to_a_file_whole(command: Command, tmp_path: Path) -> None:
    done = command("ask", "Who?", "--schema", SHAPE, "-o", str(tmp_path / "out.json"))
    assert (done.code, done.out) == (0, "")
    fits(json.loads((tmp_path / "out.json").read_text(encoding="utf-8")))


def test_a_schema_that_is_not_finished_exits_5_and_prints_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    arguments = ("ask", "Who?", "--schema", SHAPE, "--max-tokens", "6")
    done = command(*arguments, "-o", str(tmp_path / "out.json"))
    assert (done.code, done.out) == (5, "")
    assert done.err.splitlines()[0] == "llm: the schema was not finished within 6 tokens"
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ask", "Who?", "--schema", "name foo"], 2, "character 6: unknown type 'foo'"),
        (["ask", "Who?", "--schema", ""], 2, "the schema is empty"),
        (["ask", "Who?", "--schema", "name", "--md"], 2, "--md"),
        (["ask", "Who?", "--schema", "name", "--stop", "x"], 2, "stop string"),
        (["ask", "Who?", "--schema", "@wrong.json"], 2, "wrong.json: the JSON Schema is no JSON: line 2, column 1"),
        (["ask", "Who?", "--schema", "unique.json"], 2, "uniqueItems"),
        (["ask", "Who?", "--schema", "missing.json"], 1, "no such file: missing.json"),
        (["ask", "Who?", "--schema", "@binary"], 1, "binary"),
        (["batch", "Who?", "--in", "lines", "missing.txt"], 1, "no such file"),
        (["batch", " ", "--in", "lines", "rows.txt"], 2, "the prompt is empty"),
        (["batch", "Who?", "--in", "rows", "rows.txt"], 2, "--in expects"),
        (["batch", "Who?", "--in", "lines"], 2, "no input"),
    ],
)
def test_what_can_not_be_meant_is_told_before_a_model_loads(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    (tmp_path / "wrong.json").write_text('{"type":\n}', encoding="utf-8")
    (tmp_path / "unique.json").write_text('{"type": "array", "uniqueItems": true}', encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\x00\x01\x02")
    (tmp_path / "rows.txt").write_text("Anna\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tmp_path))
    done = command(*arguments)  # no model is installed there: that would be exit code 3
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_the_prompt_shows_the_form_in_the_language_of_the_question(command: Command) -> None:
    shape = "name, age? int 0..9, born date, tags[], ok bool"
    english = command("ask", "Who?", "--schema", shape, "--dry-run", stdin="Anna").out
    form = (
        '{"name": text, "age": whole number from 0 to 9 or null, "born": date as YYYY-MM-DD, "tags": [text, …], "ok": '
    )
    assert form in english
    assert english.index("Who?") < english.index(form) < english.index("Anna")
    chinese = command("ask", "谁？", "--schema", shape, "--dry-run").out
    assert '"age": 整数 0 到 9 或 null' in chinese


@pytest.mark.parametrize(
    "shape",
    [
        '{"type": "object", "properties": {"a": {"type": "string", "pattern": "^x+$"}}}',
        '{"type": "object", "properties": {"a": {"type": ["integer", "null"]}, "b": true}}',
        '{"type": "array", "prefixItems": [{"type": "integer"}], "items": false}',
        '{"$defs": {"a": {"type": "integer"}}, "$ref": "#/$defs/a"}',
        '{"type": "object"}',
    ],
)
def test_a_schema_that_words_can_not_tell_is_shown_itself(command: Command, shape: str) -> None:
    assert shape in command("ask", "Who?", "--schema", shape, "--dry-run").out


def test_rows_of_a_table_get_a_column_for_each_field(command: Command) -> None:
    table = 'id,text,age\n1,"Anna, 37",x\n2,,x\n3,王明 9岁,x\n'
    arguments = ("batch", "Who?", "--schema", SHAPE, "--in", "csv:text", "--out", "csv", *HOT)
    done = command(*arguments, stdin=table)
    assert done.code == 6
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["age"] for row in rows] == ["x", "x", "x"]  # the input's own column stays
    assert rows[1]["error"] == "the text is empty"
    for row in (rows[0], rows[2]):
        fits({"name": row["name"], "age": int(row["llm_age"]), "mood": row["mood"]})


def test_a_cell_holds_the_whole_number_and_an_error_is_the_rows_own(command: Command) -> None:
    shape = "price number in 1234567.5|7654321.5, error in disk|net"
    done = command("batch", "Which?", "--schema", shape, "--in", "lines", "--out", "csv", *HOT, stdin="a\nb\n")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["text", "price", "llm_error", "error"]
    for row in rows:
        assert row["price"] in {"1234567.5", "7654321.5"}
        assert (row["llm_error"] in {"disk", "net"}, row["error"]) == (True, "")


def test_an_object_that_may_be_null_has_empty_cells(command: Command) -> None:
    shape = '{"anyOf": [{"type": "null"}], "properties": {"a": {"type": "integer"}}}'
    done = command("batch", "Which?", "--schema", shape, "--in", "lines", "--out", "csv", stdin="a\n")
    assert (done.code, done.out) == (0, "text,a,error\na,,\n")


def test_a_number_without_limits_is_json_all_the_same() -> None:
    grammar = compile_schema({"type": "object", "properties": {"a": True}})
    value = value_of(grammar, '{"a": [1e999, -1e999, 0.5]}')
    assert json.dumps(value) == '{"a": [1.7976931348623157e+308, -1.7976931348623157e+308, 0.5]}'


def test_lines_become_objects_in_their_order(command: Command) -> None:
    names = [f"Person {number}" for number in range(20)]
    shape = "n int 0..99, 好 bool"
    arguments = ("batch", "Who?", "--schema", shape, "--in", "lines")
    done = command(*arguments, "--json", stdin="\n".join(names))
    assert done.code == 0
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["text"] for row in rows] == names
    for row in rows:
        fits(row["data"], shape)
    plain = command(*arguments, stdin="\n".join(names))
    assert [json.loads(line) for line in plain.out.splitlines()] == [row["data"] for row in rows]


def test_a_row_that_is_not_finished_is_an_error_in_its_row(command: Command) -> None:
    arguments = ("batch", "Who?", "--schema", SHAPE, "--in", "lines", "--json", "--max-tokens", "6")
    done = command(*arguments, stdin="Anna\nTom\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 6
    assert [(row["text"], row["error"]) for row in rows] == [
        (name, "the schema was not finished within 6 tokens") for name in ("Anna", "Tom")
    ]


def test_a_row_that_no_room_for_the_reply_could_fit_is_not_told_to_ask_for_less(command: Command) -> None:
    for words, way in ((1600, "lower --max-tokens"), (4000, "Shorten it, or raise --ctx if the model allows.")):
        done = command("batch", "Who?", "--in", "lines", stdin="word " * words)
        assert (done.code, done.out) == (4, "")
        assert done.err.splitlines()[-1] == f"→ {way}"


def test_without_a_schema_each_row_is_answered_in_one_line(command: Command) -> None:
    arguments = ("batch", "Say {text} again", "--in", "lines", "--max-tokens", "8")
    done = command(*arguments, stdin="one\ntwo\n")
    assert done.code == 0
    assert len(done.out.split("\n")) == 3
    shown = command(*arguments, "--dry-run", stdin="one\ntwo\n").out
    assert "Say one again" in shown
    assert "document" not in shown
    long = command(*arguments, "--json", stdin="one\n" + "two " * 3000)
    rows = [json.loads(line) for line in long.out.splitlines()]
    assert long.code == 6
    assert "answer" in rows[0]
    assert "2048 context" in rows[1]["error"]


def test_answers_that_were_cut_are_told(command: Command) -> None:
    arguments = ("batch", "Say {text}", "--in", "lines", "--max-tokens", "3")
    done = command(*arguments, "--json", stdin="one\n" + "two " * 3000)
    assert done.code == 6
    assert json.loads(done.out.splitlines()[0])["finish_reason"] == "length"
    assert "1 of 2 rows: cut at 3 tokens; --max-tokens gives more room" in done.err
    whole = command("batch", "Say {text}", "--in", "lines", "--max-tokens", "1900", "--stop", "e", stdin="one\n")
    assert (whole.code, "cut at" in whole.err) == (0, False)


def test_a_killed_run_goes_on_and_every_row_is_there_once(tiny_model_home: Path, tmp_path: Path) -> None:
    names = [f"Person {number}" for number in range(150)]
    (tmp_path / "rows.txt").write_text("\n".join(names), encoding="utf-8")
    result = tmp_path / "done.jsonl"
    arguments = ["batch", "Who?", "--schema", SHAPE, "--in", "lines", "--resume", str(result), "rows.txt"]
    running = subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(tiny_model_home),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (result.exists() and result.stat().st_size > 500):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill()
    running.wait()
    before = result.read_bytes().count(b"\n")
    assert 0 < before < len(names)
    done = llm(tiny_model_home, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == names
    for row in rows:
        fits(row["data"])


@pytest.mark.weights
def test_the_default_model_takes_name_and_age_from_a_sentence(default_model: Path) -> None:
    from engine.config import SamplingConfig
    from engine.schema import Document
    from engine.session import Session
    from engine.structure import compile_schema
    from engine.tasks import fill

    session = Session.open(default_model, device="cpu")
    cases = [
        (
            "Extract the person.",
            "name, age int",
            "Maria Lopez, who turned 42 last week, is a nurse.",
            ["Maria Lopez", 42],
        ),
        ("提取人物信息。", "姓名, 年龄 int", "王小明今年35岁，是一名中学老师，住在成都。", ["王小明", 35]),
    ]
    for question, shape, text, wanted in cases:
        chunks = fill.fill(session, question, [Document("text", text)], compile_schema(parse(shape)), SamplingConfig())
        assert list(json.loads("".join(getattr(chunk, "text", "") for chunk in chunks)).values()) == wanted
    session.close()
