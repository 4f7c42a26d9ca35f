"""Tasks over rows as users run them: formats, errors that stay in their row, and runs that are killed and go on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from cli_process import COMMAND, environment, llm, told

if TYPE_CHECKING:
    from pathlib import Path

REVIEWS = 'id,review\n1,"good, really"\n2,\n3,坏透了\n'


def test_a_csv_column_comes_back_as_csv_with_its_errors(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(REVIEWS)
    arguments = ["sentiment", "-m", "tiny", "-f", str(tmp_path / "in.csv"), "--in", "csv:review", "--out", "csv"]
    done = llm(tiny_model_home, *arguments)
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "id,review,label,score,error"
    assert lines[1].startswith('1,"good, really",')
    assert lines[2] == "2,,,,the text is empty"
    assert lines[3].startswith("3,坏透了,")
    assert done.returncode == 6
    assert any("1 of 3 rows failed" in line for line in told(done))


@pytest.mark.parametrize("task", [["sentiment"], ["classify", "--labels", "a,b"], ["embed"]], ids=lambda task: task[0])
def test_an_empty_argument_among_others_keeps_its_place(tiny_model_home: Path, task: list[str]) -> None:
    done = llm(tiny_model_home, *task, "-m", "tiny", "--json", "good", "", "bad")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["text"], row.get("error")) for row in rows] == [
        ("good", None),
        ("", "the text is empty"),
        ("bad", None),
    ]
    assert (done.returncode, "text 2: the text is empty" in done.stderr.decode()) == (6, True)
    alone = llm(tiny_model_home, *task, "", " ")
    assert (alone.returncode, "no text to" in alone.stderr.decode()) == (2, True)


def test_an_empty_file_has_one_exit_code_and_empty_stdin_is_no_input(tiny_model_home: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n")
    name = str(empty)
    for arguments in (
        ["sentiment", "-f", name], ["classify", "--labels", "a,b", "-f", name], ["summarize", name],
        ["translate", name], ["embed", "-f", name], ["ask", "Who?", "-f", name], ["tokens", "-f", name],
        ["sentiment", "-f", name, "--in", "lines"], ["sentiment", "-f", name, "--in", "csv:a"],
        ["batch", "Who?", name, "--in", "lines"],
    ):  # fmt: skip
        done = llm(tiny_model_home, *arguments, "-m", "tiny")
        assert (done.returncode, done.stdout) == (1, b""), arguments
        assert "empty" in done.stderr.decode(), arguments
        piped = llm(tiny_model_home, *[word for word in arguments if word not in {name, "-f"}], "-m", "tiny", stdin=b"")
        if arguments[0] != "ask":
            assert piped.returncode == 2, arguments


def test_a_row_without_words_ends_no_run_that_takes_sentences(tiny_model_home: Path) -> None:
    rows = f"Some words.\n{'😀' * 5000}\nMore words.\n".encode()
    done = llm(tiny_model_home, "summarize", "--style", "extractive", "--in", "lines", "-j", "-m", "tiny", stdin=rows)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("summary") for row in found] == ["Some words.", None, "More words."]
    assert (done.returncode, found[1]["error"]) == (6, "the text has no words: nothing to summarize")


def test_a_place_where_nothing_can_be_written_is_told_before_the_work(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Some words.\n")
    for task in (["sentiment", "-f", "a.txt"], ["summarize", "a.txt"], ["ask", "What?", "-f", "a.txt"]):
        done = llm(tiny_model_home, *task, "-m", "none", "-o", "no/such/file", cwd=tmp_path)
        assert (done.returncode, told(done)[0]) == (1, "llm: can't write no/such/file: No such file or directory")


def test_labels_of_ones_own_have_probabilities_that_sum_to_one(tiny_model_home: Path) -> None:
    stdin = "first\n第二行\n".encode()
    done = llm(
        tiny_model_home, "classify", "-m", "tiny", "--labels", "体育，财经,科技", "--in", "lines", "-j", stdin=stdin
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["first", "第二行"]
    for row in rows:
        assert list(row["scores"]) == ["体育", "财经", "科技"]
        assert sum(row["scores"].values()) == pytest.approx(1)
        assert row["label"] == max(row["scores"], key=row["scores"].get)
    again = llm(
        tiny_model_home, "classify", "-m", "tiny", "--labels", "体育,财经,科技", "--in", "lines", "-j", stdin=stdin
    )
    assert again.stdout == done.stdout


def test_several_labels_or_none_may_fit(tiny_model_home: Path) -> None:
    base = ["classify", "-m", "tiny", "--labels", "a,b", "-j", "some text"]
    for threshold, expected in (("0", ["a", "b"]), ("1", [])):
        row = json.loads(llm(tiny_model_home, *base, "--multi", "--threshold", threshold).stdout)
        assert sorted(row["label"]) == expected
        assert all(0 <= score <= 1 for score in row["scores"].values())
    unsure = llm(tiny_model_home, *base[:-2], "some text", "--abstain", "--threshold", "1")
    assert unsure.stdout.decode().startswith("-\t0.")
    sure = llm(tiny_model_home, *base[:-2], "some text", "--abstain", "--threshold", "0.1")
    assert sure.stdout.decode()[0] in "ab"


def test_examples_change_the_scores_and_come_from_options_or_a_file(tiny_model_home: Path, tmp_path: Path) -> None:
    base = ["classify", "-m", "tiny", "--labels", "a,b", "-j", "some text"]
    (tmp_path / "examples").write_text("x = y=a\n\nother=b\n")
    plain = json.loads(llm(tiny_model_home, *base).stdout)
    given = json.loads(llm(tiny_model_home, *base, "--example", "x = y=a", "--example", "other=b").stdout)
    filed = json.loads(llm(tiny_model_home, *base, "--example-file", str(tmp_path / "examples")).stdout)
    assert given == filed
    assert given["scores"] != plain["scores"]
    (tmp_path / "examples").write_text(" \n")
    empty = llm(tiny_model_home, *base, "--example-file", str(tmp_path / "examples"))
    assert (empty.returncode, empty.stdout) == (1, b"")
    assert "examples is empty" in told(empty)[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["classify", "--labels", "one", "x"], "at least two different labels"),
        (["classify", "--labels", "a,a", "x"], "at least two different labels"),
        (["classify", "--labels", "a,b, a", "x"], "names 'a' twice"),
        (["classify", "--labels", "a,b", "--example", "nothing", "x"], "expected TEXT=LABEL"),
        (["classify", "--labels", "a,b", "--example", "t=c", "x"], "an example has the label 'c'"),
        (["classify", "--labels", "a,b", "--threshold", "0.5", "x"], "needs --multi or --abstain"),
        (["sentiment", "--in", "nonsense", "-"], "--in expects"),
        (["sentiment", "--in", "lines", "--per", "line", "-"], "same thing"),
        (["sentiment", "--out", "text", "--resume", "f", "x"], "--resume needs"),
        (["sentiment", "--out", "csv", "--json", "x"], "two formats"),
        (["summarize", "--in", "lines", "--timeout", "9"], "--timeout is for documents"),
        (["translate", "--out", "csv", "--timeout", "9"], "--timeout is for documents"),
    ],
)
def test_options_that_make_no_sense_are_told_at_once(
    tiny_model_home: Path, arguments: list[str], expected: str
) -> None:
    done = llm(tiny_model_home, *arguments, stdin=b"text\n")
    assert done.returncode == 2
    assert expected in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("arguments", "code", "way"),
    [
        (["classify", "--labels", "a", "x"], 2, "such as --labels spam,ham"),
        (["classify", "--labels", "", "x"], 2, "@FILE, one a line"),
        (["classify", "--labels", "a,b", "--example", "x", "y"], 2, "won!=spam"),
        (["classify", "--labels", "a,b", "-f", ""], 1, "check the quotes"),
        (["sentiment", "-f", "x" * 300], 1, "a text itself is piped in"),
        (["sentiment", "-f", "-"], 2, "pipe a text into it"),
        (["sentiment", "--in", "lines", "-f", "-"], 2, "pipe rows into it"),
        (["translate", "-", "-"], 2, "leave one - out"),
        (["history", "search", " "], 2, "such as: llm history search"),
        (["search", " "], 2, "such as: llm search"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_on(
    tiny_model_home: Path, arguments: list[str], code: int, way: str
) -> None:
    done = llm(tiny_model_home, *arguments, stdin=b" \n")
    assert (done.returncode, done.stdout) == (code, b"")
    assert way in done.stderr.decode().partition("→ ")[2]
    assert len(done.stderr.decode().splitlines()) <= 3


@pytest.mark.parametrize("out", ["jsonl", "csv"])
def test_a_killed_run_goes_on_and_has_each_row_once(tiny_model_home: Path, tmp_path: Path, out: str) -> None:
    rows = [f"review number {number}, 第{number}条" for number in range(150)]
    (tmp_path / "in.txt").write_text("\n".join(rows))
    result = tmp_path / f"out.{out}"
    arguments = ["sentiment", "-m", "tiny", "-f", str(tmp_path / "in.txt"), "--in", "lines", "--out", out]
    arguments += ["--resume", str(result)]
    running = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(tiny_model_home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while running.poll() is None and not (result.exists() and result.stat().st_size > 500):
        time.sleep(0.005)
    running.kill()
    running.communicate()
    done_before = result.read_text(encoding="utf-8").count("\n")
    done = llm(tiny_model_home, *arguments)
    assert done.returncode == 0, done.stderr.decode()
    if sys.platform != "win32":
        assert (tiny_model_home / "state").stat().st_mode & 0o077 == 0, "the lock's folder opens no other"
    lines = result.read_text(encoding="utf-8").splitlines()
    if out == "csv":
        assert lines.pop(0) == "text,label,score,error"
        found = [line.split(",")[0] for line in lines] if "," not in rows[0] else lines
        assert all(row in line for row, line in zip(rows, found, strict=True))
    else:
        assert [json.loads(line)["text"] for line in lines] == rows
    if done_before:
        assert any("going on after them" in line for line in told(done))
    again = llm(tiny_model_home, *arguments)
    assert again.returncode == 0
    assert result.read_text(encoding="utf-8").splitlines()[-1] == lines[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have names on Unix")
def test_a_place_that_can_not_be_gone_on_with_is_told(tiny_model_home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("pipe", "pipe is a pipe or a device"), ("/dev/zero", "/dev/zero is a pipe or a device"),
        (".", "can't read .: Is a directory"), ("", "can't read .: Is a directory"), ("/", "can't read /"),
    ):  # fmt: skip
        done = llm(
            tiny_model_home, "sentiment", "-m", "tiny", "--in", "lines", "--resume", name, stdin=b"a\n", cwd=tmp_path
        )
        assert (done.returncode, done.stdout) == (1, b""), done.stderr
        assert why in done.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_a_name_that_is_no_text_comes_out_as_json_escapes(tiny_model_home: Path, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    (tmp_path / "other.txt").write_text("good")
    with open(name, "w", encoding="utf-8") as file:
        file.write("bad")
    arguments = ["sentiment", "-m", "tiny", "-f", name, "-f", str(tmp_path / "other.txt")]
    for out in (["-j", "-o", "out"], ["--resume", "out.jsonl"], ["--resume", "out.jsonl"]):
        done = llm(tiny_model_home, *arguments, *out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        rows = (tmp_path / out[-1]).read_text(encoding="utf-8").splitlines()
        assert [json.loads(row)["name"] for row in rows] == [name, str(tmp_path / "other.txt")]


def test_what_is_wrong_with_a_row_is_said_in_the_persons_language(tiny_model_home: Path) -> None:
    table = "a,b\n1\n1,2,3\n,\nx,y\n"
    lines = '{"t": 3}\nx\n[1]\n{"t": ""}\n{"t": "\\ud800"}\n{"t": "ok"}\n'
    for spec, rows, wrong in (("csv:b", table, 3), ("jsonl:t", lines, 5)):
        arguments = ["sentiment", "-m", "tiny", "--in", spec, "-j"]
        done = llm(tiny_model_home, *arguments, stdin=rows.encode(), env={"LANG": "zh_CN.UTF-8"})
        said = [line.partition(": ")[2] for line in told(done)[:wrong]]
        assert [line for line in said if re.search("[a-z]{2}", line) or not line] == []
        assert done.stdout.count(b'"error": "') == wrong


@pytest.mark.parametrize("out", ["jsonl", "csv"])
def test_rows_that_failed_before_are_counted_by_the_run_that_goes_on(
    tiny_model_home: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "in.csv").write_text(REVIEWS)
    result = tmp_path / "out"
    arguments = ["sentiment", "-m", "tiny", "-f", "in.csv", "--in", "csv:review", "--out", out, "--resume", "out"]
    assert llm(tiny_model_home, *arguments, cwd=tmp_path).returncode == 6
    whole = result.read_bytes()
    for kept in (len(whole) - 1, len(whole)):
        result.write_bytes(whole[:kept])
        done = llm(tiny_model_home, *arguments, cwd=tmp_path)
        assert (done.returncode, told(done)[-1]) == (6, "1 of 3 rows failed")
        assert result.read_bytes() == whole


def test_what_another_command_wrote_is_not_gone_on_with(tiny_model_home: Path, tmp_path: Path) -> None:
    tasks = (["sentiment"], ["embed"], ["batch", "Who?"], ["batch", "Who?", "--schema", "a bool"])
    for number, task in enumerate(tasks):
        for name, code in ((f"out{number}", 0), (f"out{number}", 0), *([(f"out{number - 1}", 2)] if number else [])):
            arguments = [*task, "-m", "tiny", "--in", "lines", "--resume", name]
            done = llm(tiny_model_home, *arguments, stdin=b"a\n", cwd=tmp_path)
            assert done.returncode == code, done.stderr
    assert told(done)[0] == "llm: out2 was made by another command: its row 1 has no 'data'"
    assert (tmp_path / "out2").read_text().count("\n") == 1


@pytest.mark.parametrize("out", ["jsonl", "csv"])
def test_what_was_made_with_other_settings_is_not_gone_on_with(tiny_model_home: Path, tmp_path: Path, out: str) -> None:
    def run(*task: str, stdin: bytes, language: str = "en") -> tuple[int, str]:
        arguments = [*task, "-m", "tiny", "--in", "lines", "--out", out, "--resume", "made"]
        done = llm(tiny_model_home, *arguments, stdin=stdin, cwd=tmp_path, env={"LOCAL_LLM_LANG": language})
        return done.returncode, told(done)[0]

    assert run("classify", "--labels", "a,b", stdin=b"one\n") == (0, "wrote made")
    before = (tmp_path / "made").read_bytes()
    other = ["classify", "--labels", "a,c", "--multi"]
    for rows in (b"one\n", b"one\ntwo\n"):  # all of it done or not
        assert run(*other, stdin=rows) == (2, "llm: made was made with another --labels, --multi, --threshold")
    assert run(*other, stdin=b"one\n", language="zh") == (
        2,
        "llm: made 是用不同的 --labels, --multi, --threshold 做成的",
    )
    assert "--neutral" in run("sentiment", stdin=b"one\n")[1]
    assert (tmp_path / "made").read_bytes() == before
    assert run("classify", "--labels", "a,b", stdin=b"one\ntwo\n")[0] == 0
    assert (tmp_path / "made").read_bytes().startswith(before)
    (tmp_path / "made").unlink()
    assert run(*other, stdin=b"one\n") == (0, "wrote made")
    assert run("batch", "Who?", stdin=b"one\n")[0] == 2
    (tmp_path / "made").unlink()
    assert run("batch", "Who?", stdin=b"one\n")[0] == 0
    assert run("batch", "Where?", "-s", "Be brief.", stdin=b"one\n") == (
        2,
        "llm: made was made with another PROMPT, --system",
    )


def test_a_file_is_not_read_while_another_run_writes_it(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text('{"text": "another"}\n')
    arguments = [*COMMAND, "sentiment", "-m", "tiny", "--in", "lines", "--resume", "out"]
    script = f"""
import subprocess, sys
from pathlib import Path
from tui.cli.row_settings import alone_with
with alone_with(Path("out")):
    done = subprocess.run({arguments!r}, input=b"a", capture_output=True)
print(done.returncode, done.stderr.decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tiny_model_home), cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "1 llm: out is being written by another run"


@pytest.mark.skipif(sys.platform == "win32", reason="files have limits on Unix")
def test_a_disk_that_is_full_is_told_with_the_file_and_a_later_run_goes_on(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("".join(f"review {number} {'long ' * 30}\n" for number in range(20)))
    arguments = [*COMMAND, "sentiment", "-m", "tiny", "-f", "in", "--in", "lines", "--resume", "out"]
    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    limited = f"{limit} os.execv(sys.executable, {arguments!r})"
    for size, code in (("limited", 1), ("", 0)):
        words = [sys.executable, "-c", limited] if size else arguments
        done = subprocess.run(words, env=environment(tiny_model_home), cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        assert ("can't write out" in done.stderr.decode()) == bool(size)
    rows = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(row)["text"] for row in rows] == (tmp_path / "in").read_text().replace(" \n", "\n").splitlines()
