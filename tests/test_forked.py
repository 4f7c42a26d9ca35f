"""A command that forks from a Python with others' libraries is what it is when it is started from nothing."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import forked
import pytest
from cli_process import environment, llm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
LONG = b"word " * 50_000


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["ask", "hello", "--temperature", "0", "--max-tokens", "6"], b"a document"),
        (["tokens"], LONG),
        (["ask", "hello", "--temprature", "1"], b""),
        (["config", "show", "--origin"], b""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_it_says_and_ends_the_same(tiny_model_home: Path, arguments: list[str], stdin: bytes) -> None:
    ours, theirs = (
        llm(tiny_model_home, *arguments, stdin=stdin, env={"LOCAL_LLM_SEED": "7"}, fresh=fresh)
        for fresh in (False, True)
    )
    assert ours.args != theirs.args
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)


def test_one_that_takes_too_long_is_killed_and_the_next_one_runs(tiny_model_home: Path) -> None:
    endless = ("complete", "a", "--ctx", "2048", "--temperature", "1", "--max-tokens", "2000")
    with pytest.raises(subprocess.TimeoutExpired):
        llm(tiny_model_home, *endless, timeout=0.001)
    assert json.loads(llm(tiny_model_home, "tokens", "hello", "--json").stdout)["tokens"] > 0


def test_what_python_reads_when_it_starts_is_given_to_one_that_starts(tmp_path: Path) -> None:
    for name in ("PYTHONIOENCODING", "LC_ALL", "OMP_NUM_THREADS", "LOCAL_LLM_LEAN"):
        assert forked.run(["-V"], environment(tmp_path, {name: "2"}), tmp_path, b"", 60) is None
    assert forked.run(["-V"], environment(tmp_path, {"NO_COLOR": "1"}), tmp_path, b"", 60) is not None
