"""How a process that computes begins and ends: what is left out of both, and that nothing is missed."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import ROOT, environment

from engine import ahead

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


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_mapped_file_is_laid_out_whole(tmp_path: Path) -> None:
    size = 3 << 20
    (tmp_path / "file").write_bytes(os.urandom(size))
    with (
        (tmp_path / "file").open("rb") as file,
        mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped,
    ):
        hold = (ctypes.c_char * size).from_buffer(mapped)
        address = ctypes.addressof(hold)
        assert resident(address) == 0
        thread = ahead.lay_out([(address + 100, address + size // 2), (address + size // 2, address + size)])
        assert thread is not None
        thread.join()
        assert resident(address) == size
        del hold
    assert ahead.lay_out([(0, 1 << 60)]) is None  # more than the machine holds


def resident(address: int) -> int:
    """Bytes of a mapping that are in this process."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    next(line for line in lines if line.startswith(f"{address:08x}-"))
    return 1024 * int(next(line for line in lines if line.startswith("Rss:")).split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_pytorchs_library_is_linked_before_pytorch_is_imported(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from engine import ahead\n"
        "thread = ahead.link_torch()\n"
        "assert thread is ahead.link_torch()\n"
        "if thread: thread.join()\n"
        "assert 'torch' not in sys.modules\n"
        "maps = pathlib.Path('/proc/self/maps').read_text()\n"
        "assert (thread is not None) == (ahead.LARGEST in maps)\n"
        "import torch\n"
        "print(int(torch.ones(3).sum()), ahead.link_torch.__wrapped__())\n"
    )
    assert python(code, tmp_path).stdout.split() == [b"3", b"None"]
