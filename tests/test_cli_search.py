"""`llm index`, `llm search` and `llm embed` as processes: streams, exit codes, what is loaded, and being stopped."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import COMMAND, environment, llm, told
from test_import_hygiene import HEAVY, loaded_by

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without a model, beside some texts."""
    path = tmp_path / "home"
    path.mkdir()
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The meeting starts at three.\n\nBring your passport.\n")
    (docs / "会议.txt").write_text("会议在星期三下午三点开始。\n请带上护照。\n", encoding="utf-8")
    return path


@pytest.fixture
def with_model(home: Path, tiny_model_home: Path) -> Path:
    """The same with the model `tiny`."""
    shutil.copytree(tiny_model_home / "models", home / "models")
    return home


def run(home: Path, *arguments: str, code: int = 0, stdin: bytes | None = None) -> tuple[str, list[str]]:
    """stdout and the lines of stderr of a command, run among the texts."""
    done = llm(home, *arguments, cwd=home.parent / "docs", **({"stdin": stdin} if stdin is not None else {}))
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), told(done)


def rows(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_search_prints_as_grep_does(home: Path) -> None:
    out, err = run(home, "index", "add", ".")
    assert out == ""
    assert any("2 files" in line and "2 read" in line for line in err)
    assert run(home, "search", "护照")[0].startswith("会议.txt:2: 请带上护照。  0.")
    out, err = run(home, "search", "passport", "--words", "--color", "never")
    assert out.startswith("a.txt:3: Bring your passport.  ")
    assert out.count("\n") == 1
    assert err == []


@pytest.mark.skipif(os.name != "posix", reason="streams as on Unix")
@pytest.mark.parametrize("arguments", ["search passport --words", "doctor --no-run", "index list"])
def test_what_goes_to_a_closed_stdout_is_as_to_a_reader_that_is_gone(home: Path, arguments: str) -> None:
    run(home, "index", "add", ".", "--words")
    shell = f'"$@" {arguments} >&-'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *COMMAND], env=environment(home), stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are Unix's")
def test_colours_reach_a_terminal_and_what_else_could_steer_it_does_not(home: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    docs = home.parent / "docs"
    (docs / "sly.txt").write_text("a passport\x1b[2Jof glass")
    run(home, "index", "add", ".", "--words")
    arguments = [*COMMAND[1:], "search", "glass", "--words", "--color", "always"]
    seen = pexpect.spawn(sys.executable, arguments, env=environment(home, {"TERM": "xterm"}), cwd=str(docs), timeout=30)
    shown = seen.read().decode()
    assert shown.startswith("\x1b[32msly.txt\x1b[0m:1: a passport␛[2Jof glass  \x1b[2m")
    assert "\x1b[2J" not in shown


def test_a_search_without_hits_says_so_and_is_no_failure(home: Path) -> None:
    run(home, "index", "add", ".")
    assert run(home, "search", "zebra", "--words") == ("", ["nothing was found"])
    out, _ = run(home, "search", "zebra", "--words", "--json")
    assert json.loads(out) == {"query": "zebra", "model": None, "by": "words", "hits": []}


def test_a_search_by_words_loads_nothing_heavy(home: Path) -> None:
    run(home, "index", "add", ".", "--words")
    for arguments in (["search", "passport", "--words"], ["index", "list"], ["index", "stats"], ["search", "--help"]):
        code, modules = loaded_by(home, *arguments)
        assert code == 0
        assert modules.isdisjoint({*HEAVY, "numpy"})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["search"], 2),
        (["search", " "], 2),
        (["search", "x", "--words", "--meaning"], 2),
        (["search", "x", "--words", "-m", "tiny"], 2),
        (["search", "x", "-n", "0"], 2),
        (["search", "x"], 1),
        (["index"], 2),
        (["index", "add"], 2),
        (["index", "rm"], 2),
        (["index", "rm", "x", "--all"], 2),
        (["index", "rm", "x"], 1),
        (["embed"], 2),
        (["embed", "--per", "line", "--in", "lines"], 2),
        (["embed", "text"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_can_not_be_done_is_told_with_its_code(home: Path, arguments: list[str], code: int) -> None:
    out, err = run(home, *arguments, code=code)
    assert out == ""
    assert err


def test_bad_files_are_named_the_rest_goes_on_and_the_code_is_6(home: Path) -> None:
    docs = home.parent / "docs"
    (docs / "bad.txt").write_bytes(b"bad \xff")
    (docs / "picture.png").write_bytes(b"\x89PNG\0\0")
    out, err = run(home, "index", "add", ".", "none.txt", "--json", code=6)
    assert json.loads(out) == {
        "read": 2, "unchanged": 0, "gone": 0, "binary": 1, "linked": 0, "failed": 2, "vectors": 0, "model": None
    }  # fmt: skip
    assert any(line.startswith("bad.txt: not valid UTF-8 at byte 4") for line in err)
    with (docs / "long.txt").open("wb") as file:
        file.truncate(65 << 20)
        file.write(b" " * 8192)  # a beginning without NUL: it is no binary
    assert "long.txt: long.txt is larger than 64 MiB" in run(home, "index", "add", "long.txt", "--words", code=6)[1]
    assert "skipped, binary: picture.png" in err
    assert any(line.startswith("none.txt: no such file") for line in err)
    out, _ = run(home, "index", "add", "bad.txt", "--encoding", "latin-1", "--json")
    assert json.loads(out)["read"] == 1


def test_files_that_can_not_be_read_any_more_stay_and_it_is_said(home: Path) -> None:
    inner = home.parent / "docs" / "sub"
    inner.mkdir()
    for name in ("b.txt", "c.txt"):
        (inner / name).write_text("Bring your passport.")
    run(home, "index", "add", ".", "--words")
    shutil.rmtree(inner)
    inner.symlink_to(inner)  # nobody can look at what is behind it
    out, err = run(home, "index", "add", "--words", "--json", code=6)
    assert json.loads(out) == {
        "read": 0, "unchanged": 2, "gone": 0, "binary": 0, "linked": 0, "failed": 1, "vectors": 0, "model": None
    }  # fmt: skip
    assert any(line.startswith("sub: ") for line in err)
    assert "of what could not be read, 2 files stay in the index as they were" in err
    assert len(json.loads(run(home, "index", "list", "--json")[0])) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_to_folders_and_to_nothing_are_told_counted_and_left_out(home: Path) -> None:
    docs = home.parent / "docs"
    (docs / "linked.txt").symlink_to("a.txt")
    run(home, "index", "add", ".", "--words")
    (docs / "linked.txt").unlink()
    (docs / "linked.txt").symlink_to("moved.txt")
    (docs / "round").symlink_to(docs)
    out, err = run(home, "index", "add", ".", "--words", "--json")
    assert json.loads(out) == {
        "read": 0, "unchanged": 2, "gone": 1, "binary": 0, "linked": 2, "failed": 0, "vectors": 0, "model": None
    }  # fmt: skip
    assert err[:2] == ["skipped, a link to a folder: round", "skipped, a link that leads nowhere: linked.txt"]
    assert err[2].startswith("2 files in ")
    assert err[2].endswith(": 0 read, 2 unchanged, 1 gone, 2 linked")
    assert run(home, "index", "add", "linked.txt", "--words", code=6)[1][0] == "linked.txt: No such file or directory"


def test_everything_added_is_looked_at_again_and_what_is_gone_leaves(home: Path) -> None:
    run(home, "index", "add", ".", "--words")
    (home.parent / "docs" / "a.txt").unlink()
    _, err = run(home, "search", "passport", "--words")
    assert any("changed or gone since: a.txt" in line for line in err)
    out, _ = run(home, "index", "add", "--words", "--json")
    assert json.loads(out) == {
        "read": 0, "unchanged": 1, "gone": 1, "binary": 0, "linked": 0, "failed": 0, "vectors": 0, "model": None
    }  # fmt: skip
    assert run(home, "search", "passport", "--words")[0] == ""


def test_what_was_added_and_is_no_longer_there_is_told_how_to_be_forgotten(home: Path) -> None:
    old = home.parent / "docs" / "old notes"
    old.mkdir()
    run(home, "index", "add", ".", "old notes", "--words")
    old.rmdir()
    err = run(home, "index", "add", "--words", code=6)[1]
    assert err[:2] == ["old notes: no such file or folder", "→ to forget it: llm index rm 'old notes'"]
    assert run(home, "index", "add", "never", "--words", code=6)[1][0] == "never: no such file or folder"
    run(home, "index", "rm", "old notes")
    assert not any("old notes" in line for line in run(home, "index", "add", "--words")[1])


def test_a_page_that_did_not_change_is_read_as_it_is_asked_for_now(home: Path) -> None:
    (home.parent / "docs" / "p.html").write_text("<html><p>Tickets</p><a href='hidden'>here</a></html>")
    run(home, "index", "add", ".", "--words")
    for path, choice, read, unchanged in ((".", "source", 1, 2), (".", "source", 0, 3), ("p.html", "page", 1, 0)):
        out, _ = run(home, "index", "add", path, "--words", "--html", choice, "--json")
        assert (json.loads(out)["read"], json.loads(out)["unchanged"]) == (read, unchanged)
        assert bool(run(home, "search", "hidden", "--words")[0]) == (choice == "source")


def test_a_files_name_steers_no_terminal(home: Path) -> None:
    (home.parent / "docs" / "a\x1b]0;b\x07.txt").write_bytes(b"bad \xff")
    _, err = run(home, "index", "add", ".", "--words", code=6)
    assert err[0] == "a\u241b]0;b\u2407.txt: not valid UTF-8 at byte 4"


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_what_is_wrong_with_a_file_is_said_in_the_persons_language(home: Path) -> None:
    docs = home.parent / "docs"
    for name in (b"bad.txt", b"\xff.txt"):
        (docs / os.fsdecode(name)).write_bytes(b"bad \xff")
    (docs / "binary").write_bytes(b"\0")
    done = llm(home, "index", "add", ".", "none", "binary", "--words", cwd=docs, env={"LANG": "zh_CN.UTF-8"})
    assert done.returncode == 6
    said = [line.partition(": ")[2] for line in told(done) if ": " in line]
    assert said == [
        "第 4 字节不是有效的 UTF-8", "文件名不是有效的 UTF-8", "没有这个文件或文件夹", "是二进制文件，需要文本",
    ]  # fmt: skip


def test_one_is_told_as_one(home: Path) -> None:
    assert run(home, "index", "add", "a.txt", "--words")[1][0].startswith("1 file in ")
    assert run(home, "index", "add", ".", "--words")[1][0].startswith("2 files in ")
    assert run(home, "index", "rm", "a.txt")[1] == ["forgot 1 file"]


def test_listing_counting_and_forgetting(home: Path) -> None:
    assert json.loads(run(home, "index", "list", "--json")[0]) == []
    assert not (home / "index.db").exists()
    run(home, "index", "add", ".", "--words")
    listed = json.loads(run(home, "index", "list", "--json")[0])
    assert [(os.path.basename(file["path"]), file["passages"]) for file in listed] == [("a.txt", 1), ("会议.txt", 1)]
    facts = json.loads(run(home, "index", "stats", "--json")[0])
    assert (facts["files"], facts["passages"], facts["vectors"]) == (2, 2, {})
    assert json.loads(run(home, "index", "rm", "a.txt", "--json")[0]) == {"removed": 1}
    run(home, "index", "rm", "--all", code=2)  # nobody can be asked
    assert len(json.loads(run(home, "index", "list", "--json")[0])) == 1
    run(home, "index", "rm", "--all", "--yes")
    assert json.loads(run(home, "index", "stats", "--json")[0])["roots"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_the_index_is_the_users_alone(home: Path) -> None:
    deep = home / "new" / "place"
    done = llm(deep, "index", "add", str(home.parent / "docs"), cwd=home)
    assert done.returncode == 0
    assert stat.S_IMODE((deep / "index.db").stat().st_mode) == 0o600
    assert stat.S_IMODE(deep.stat().st_mode) == 0o700


class Inside:
    """Commands run in this process, which loads torch once."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("LOCAL_LLM_HOME", str(home))
        monkeypatch.chdir(home.parent / "docs")
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        from tui.cli.main import run as run_command

        assert run_command(list(arguments)) == code
        captured = self._capsys.readouterr()
        return captured.out, captured.err


@pytest.fixture
def inside(with_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(with_model, monkeypatch, capsys)


def test_meaning_joins_once_there_are_vectors(inside: Inside) -> None:
    inside("index", "add", ".", "--words")
    _, err = inside("search", "护照")
    assert "by words alone: the index has no vectors" in err
    inside("search", "护照", "--meaning", code=1)
    out, err = inside("index", "add", "--json")
    assert json.loads(out)["vectors"] == 2
    assert "2 passages embedded with tiny" in err
    result = json.loads(inside("search", "护照", "--json")[0])
    assert (result["model"], result["by"]) == ("tiny", "both")
    assert result["hits"][0]["path"].endswith("会议.txt")
    assert json.loads(inside("search", "护照", "--meaning", "--json")[0])["by"] == "meaning"
    assert json.loads(inside("index", "add", "--json")[0])["vectors"] == 0


def test_after_a_change_of_model_words_alone_are_used_and_vectors_made_again(with_model: Path, inside: Inside) -> None:
    inside("index", "add", ".")
    shutil.move(with_model / "models" / "tiny", with_model / "models" / "other")
    out, err = inside("search", "护照")
    assert out.startswith("会议.txt:2:")
    assert "by words alone: the index has vectors of tiny" in err
    out, err = inside("index", "add", "--json")
    assert json.loads(out)["vectors"] == 2
    assert "vectors of tiny here are made again with other" in err
    assert json.loads(inside("search", "护照", "--json")[0])["by"] == "both"


def test_passages_without_a_vector_are_told_and_still_found_by_words(inside: Inside, home: Path) -> None:
    inside("index", "add", ".")
    (home.parent / "docs" / "new.txt").write_text("A zebra crossing.")
    inside("index", "add", ".", "--words")
    out, err = inside("search", "zebra")
    assert out.startswith("new.txt:1: A zebra crossing.")
    assert "found by words alone: 1 of 3 passages, until" in err


def test_embeddings_come_as_jsonl(inside: Inside, home: Path) -> None:
    (row,) = rows(inside("embed", "a cat")[0])
    assert (row["text"], row["model"]) == ("a cat", "tiny")
    assert math.isclose(sum(value * value for value in row["embedding"]), 1, abs_tol=1e-3)
    named = rows(inside("embed", "-f", "a.txt", "-f", "会议.txt")[0])
    assert [row["name"] for row in named] == ["a.txt", "会议.txt"]
    (home.parent / "docs" / "lines.txt").write_text("a cat\n护照\n", encoding="utf-8")
    lines = rows(inside("embed", "-f", "lines.txt", "--per", "line")[0])
    assert len(lines) == 2
    assert lines[0]["embedding"] == row["embedding"]


def files_in(index: Path) -> int:
    """Files that an index has so far, while another process writes it."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as db,
    ):
        return int(db.execute("SELECT count(*) FROM files").fetchone()[0])
    return 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_loses_no_finished_file_and_the_next_run_goes_on(home: Path, sent: signal.Signals, code: int) -> None:
    docs = home.parent / "docs"
    text = "\n\n".join(f"Paragraph {number} about nothing much in particular." for number in range(400))
    for number in range(300):
        (docs / f"{number:03}.txt").write_text(f"file {number}\n\n{text}")
    process = subprocess.Popen(
        [*COMMAND, "index", "add", str(docs)], env=environment(home), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not files_in(home / "index.db"):
        time.sleep(0.01)
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"stopped; what is done is kept" in err
    assert b"Traceback" not in err
    kept = json.loads(run(home, "index", "stats", "--json")[0])["files"]
    out, _ = run(home, "index", "add", str(docs), "--words", "--json")
    counts = json.loads(out)
    assert counts["unchanged"] == kept
    assert counts["read"] == 302 - kept
    assert 0 < kept < 302
