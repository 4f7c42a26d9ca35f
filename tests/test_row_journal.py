"""Rows that wait behind a slow one outlive a kill, and the output is in order at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_process import environment

from tui.cli.row_journal import Journal
from tui.cli.rows import Row

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tui.cli.opening import Run
from tui.cli.options import Options
from tui.cli.row_run import run_rows
from tui.cli.rows import Row

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
order, die, kind = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
rows = [Row(text, fields={"text": text}) for text in ("slow", "b", "坏", "d", "e")]

def work(texts):
    print(json.dumps(texts), flush=True)
    for text in order:
        if text in texts:
            yield texts.index(text), {"label": f"{text}!", "score": 1 / 3}
    if die:
        os.kill(os.getpid(), getattr(signal, die))

run_rows(Run(Options()), rows, work, columns=["label", "score"], as_text=str, kind=kind, asked={},
         resume=Path(sys.argv[4]))
"""


def go(home: Path, order: list[str], die: str = "", kind: str = "jsonl") -> tuple[int, list[str], str]:
    """Run the rows in this order; returns the exit code, the texts that were to do, and stderr."""
    words = [sys.executable, "-c", SCRIPT, json.dumps(order), die, kind, str(home / f"out.{kind}")]
    done = subprocess.run(words, env=environment(home), capture_output=True, check=False, timeout=60)
    return done.returncode, json.loads(done.stdout.splitlines()[0]), done.stderr.decode()


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("die", ["SIGKILL", "SIGINT"])
def test_rows_behind_a_slow_one_are_not_done_again(tmp_path: Path, die: str, kind: str) -> None:
    killed, asked, _ = go(tmp_path, ["b", "坏", "e"], die, kind)
    assert killed != 0
    assert asked == ["slow", "b", "坏", "d", "e"]
    assert (tmp_path / f"out.{kind}.pending").exists()
    code, asked, said = go(tmp_path, ["d"], "SIGKILL", kind)
    assert code == -signal.SIGKILL
    assert asked == ["slow", "d"]
    assert "holds 0 of 5 rows" in said
    assert "3 that waited" in said
    code, asked, _ = go(tmp_path, ["slow"], "", kind)
    assert (code, asked) == (0, ["slow"])
    text = (tmp_path / f"out.{kind}").read_text(encoding="utf-8")
    whole = tmp_path / "whole"
    whole.mkdir()
    assert go(whole, ["slow", "b", "坏", "d", "e"], "", kind)[0] == 0
    assert text == (whole / f"out.{kind}").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.glob("out*")) == [f"out.{kind}"]


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_what_is_written_leaves_the_journal(tmp_path: Path) -> None:
    go(tmp_path, ["b", "slow"], "SIGKILL")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").count("\n") == 2
    assert (tmp_path / "out.jsonl.pending").read_bytes() == b""
    assert go(tmp_path, ["坏", "d", "e"])[:2] == (0, ["坏", "d", "e"])


def test_damaged_lines_and_those_of_other_rows_or_tasks_are_not_taken(tmp_path: Path) -> None:
    rows = [Row(text, fields={"text": text}) for text in "abc"]
    out = tmp_path / "out"
    with Journal(out, rows, ["label"], {}) as journal:
        journal.keep(1, {"label": "x", "error": "\ud800"})
        journal.keep(2, {"label": "y"})
    good = journal.path.read_bytes()
    assert dict(journal.read()) == {1: {"label": "x", "error": "\ud800"}, 2: {"label": "y"}}
    journal.path.write_bytes(b'{"row": 7, "of": "", "result": {}}\n[]\n{"row": 0}\nnull\n\xff\n' + good[:-5])
    assert dict(journal.read()) == {1: {"label": "x", "error": "\ud800"}}
    with Journal(out, rows, ["label"], {}) as again:
        again.keep(2, {"label": "z"})
    assert dict(again.read())[2] == {"label": "z"}
    assert dict(Journal(out, [*rows[:2], Row("other", fields={"text": "other"})], ["label"], {}).read()).keys() == {1}
    assert dict(Journal(out, rows, ["summary"], {}).read()) == {}
    assert dict(Journal(out, rows, ["label"], {"--labels": "b"}).read()) == {}
