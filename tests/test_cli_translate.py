"""`llm translate` as people call it, with a real, tiny model: streams, keys, files, exit codes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cli_process import llm

from tui.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "# Title\n\nSome words.\n\n```\ncode stays\n```\n"
SHORT = ("-m", "tiny", "--max-tokens", "6", "--threads", "1")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Translate = Callable[..., Done]


@pytest.fixture
def translate(tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Translate:
    """Runs the command in this process; without `stdin` there is none."""
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))

    def command(*arguments: str, stdin: str | None = None) -> Done:
        source = None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin.encode()))
        monkeypatch.setattr(sys, "stdin", source)
        code = run(["translate", *SHORT, *arguments])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return command


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "a.md"
    path.write_text(TEXT)
    return path


def test_the_translation_alone_is_on_stdout_and_what_is_doubtful_on_stderr(
    tiny_model_home: Path, document: Path, translate: Translate
) -> None:
    process = llm(tiny_model_home, "translate", *SHORT, str(document))
    assert process.returncode == 0, process.stderr
    text = process.stdout.decode()
    assert text.startswith("# ")
    assert text.endswith("\n\n```\ncode stays\n```\n")
    assert b"\x1b" not in process.stdout + process.stderr
    errors = process.stderr.decode()
    assert "lines 7/7" in errors
    assert "doubtful" in errors
    assert translate(str(document), "--no-stream").out == text
    assert translate(str(document), "-q") == Done(0, text, "")
    assert translate(stdin=TEXT).out == text


def test_json_names_the_language_the_lines_and_what_was_read(translate: Translate) -> None:
    done = translate("--to", "zh", "--json", stdin="Some words.\n\n中文。\n")
    data = json.loads(done.out)
    assert (data["model"], data["name"], data["to"], data["finish_reason"]) == ("tiny", "stdin", "zh", "stop")
    assert data["unchanged"] == [[3, 3]]
    assert data["coverage"]["complete"] is True
    assert data["text"].endswith("\n\n中文。\n")
    assert [row["lines"] for row in data["doubtful"]] == [[1, 1]] * len(data["doubtful"])
    assert data["output_tokens"] > 0


def test_a_text_that_is_in_the_language_already_comes_back_and_it_is_said(translate: Translate) -> None:
    done = translate("--to", "zh", "--text", "这是中文。")
    assert done == Done(0, "这是中文。\n", "--text: Chinese already, left unchanged: all of it\n")


def test_code_alone_comes_back_with_a_word_about_it(translate: Translate) -> None:
    code = "```\ncode\n```\n"
    done = translate(stdin=code)
    assert (done.code, done.out) == (0, code)
    assert "no text to translate" in done.err


def test_it_is_written_to_a_file_whole(translate: Translate, document: Path, tmp_path: Path) -> None:
    done = translate(str(document), "-o", str(tmp_path / "out.md"))
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "out.md").read_text(encoding="utf-8") == translate(str(document)).out


def test_line_ends_are_those_of_the_file(translate: Translate, document: Path, tmp_path: Path) -> None:
    plain = translate(str(document)).out
    windows = tmp_path / "windows.md"
    windows.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert translate(str(windows), "-o", str(tmp_path / "out.md")).code == 0
    assert (tmp_path / "out.md").read_bytes() == plain.replace("\n", "\r\n").encode()
    assert translate(str(windows)).out == plain.replace("\n", "\r\n")
    assert json.loads(translate("--json", str(windows)).out)["text"] == plain.replace("\n", "\r\n")


def test_a_dash_as_output_is_stdout(translate: Translate, document: Path, tmp_path: Path) -> None:
    assert translate(str(document), "-o", "-") == translate(str(document))
    assert translate(str(document), str(document), "--output", "-").code == 0
    done = translate("--in", "lines", "--resume", "-", str(document))
    assert (done.code, "--resume names a file" in done.err) == (2, True)


def test_one_bad_file_among_several_is_told_in_its_row(translate: Translate, document: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"\xff")
    paths = [str(document), str(tmp_path / "bad.md"), str(document)]
    done = translate("--json", *paths)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 6
    assert [row["name"] for row in rows] == paths
    assert ["error" in row for row in rows] == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to translate"),
        (["--to", "fr", "--text", "x"], "fr"),
        (["--from", "zh", "--to", "zh", "--text", "x"], "both zh"),
        (["--text", "x", "a.md"], "can't go together"),
        (["--text", " "], "is empty"),
        (["a", "b", "-o", "c"], "one translation"),
        (["-", "-"], "only once"),
        (["--raw", "--text", "x"], "--raw"),
        (["--in", "lines", "--text", "x"], "one text"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(translate: Translate, arguments: list[str], message: str) -> None:
    done = translate(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) <= 3


def test_a_missing_file_and_a_context_without_room_have_their_exit_codes(translate: Translate) -> None:
    assert translate("none.md").code == 1
    done = translate("--text", "Some words.", "--ctx", "64")
    assert (done.code, done.out) == (4, "")
    assert "--ctx" in done.err


def test_rows_keep_their_columns_and_order_and_can_be_resumed(translate: Translate, tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("id,comment\n1,Some words.\n2,\n3,More words.\n")
    done = translate("--in", "csv:comment", "--out", "jsonl", "--to", "zh", str(table))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 6
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert ["translation" in row for row in rows] == [True, False, True]
    kept = tmp_path / "out.jsonl"
    kept.write_text("".join(f"{line}\n" for line in done.out.splitlines()[:1]))
    again = translate("--in", "csv:comment", "--resume", str(kept), "--to", "zh", str(table))
    assert (again.code, again.out) == (6, "")
    assert [json.loads(line)["id"] for line in kept.read_text(encoding="utf-8").splitlines()] == ["1", "2", "3"]


def test_lines_are_rows_of_text(translate: Translate) -> None:
    done = translate("--in", "lines", "--to", "zh", stdin="中文。\n\n还有。\n")
    assert (done.code, done.out) == (0, "中文。\n还有。\n")


def test_from_alone_says_where_it_goes(translate: Translate) -> None:
    assert json.loads(translate("--from", "en", "--json", "--text", "Some words.").out)["to"] == "zh"
