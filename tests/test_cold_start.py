"""How a process that computes begins and ends: what is left out of both, and that nothing is missed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from cli_process import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

HEARD = """
import atexit, os, sys
from tui.cli.main import main
from tui.cli.opening import Run

class Late:
    def __del__(self, write=os.write):
        write(2, b"taken apart")

def loads(self, summary, load=Run.load):
    atexit.register(os.write, 2, b"called at exit")
    return load(self, summary)

sys.late = Late()
Run.load = loads
sys.argv[0] = "llm"
main()
"""


def python(code: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(home),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_a_process_that_computed_ends_at_once_with_all_said_and_its_exit_code(tiny_model_home: Path) -> None:
    done = python(HEARD, tiny_model_home, "ask", "hello", "--max-tokens", "3", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["model"] == "tiny"
    assert done.stderr.endswith(b"called at exit")
    too_long = python(HEARD, tiny_model_home, "ask", "hello " * 100, "--ctx", "16", "--overflow", "error")
    assert too_long.returncode == 4
    assert too_long.stderr.endswith(b"called at exit")


def test_a_process_that_did_not_ends_as_any_other(tiny_model_home: Path) -> None:
    assert python(HEARD, tiny_model_home, "models", "list").stderr.endswith(b"taken apart")
