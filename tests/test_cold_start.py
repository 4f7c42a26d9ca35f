"""How a process that computes begins and ends: what is left out of both, and that nothing is missed."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from cli_process import ROOT, environment, llm

from engine import ahead, lean

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
def test_pytorchs_library_and_what_it_wants_of_others_are_there_before_it(tmp_path: Path) -> None:
    """Where a new PyTorch wants a library or a package more, `EXTENSIONS` or `OTHERS` should name it."""
    code = (
        "import json, pathlib, sys\n"
        "from engine import ahead\n"
        "thread = ahead.link_torch()\n"
        "assert thread is ahead.link_torch()\n"
        "ahead.import_others()\n"
        "if thread: thread.join()\n"
        "assert 'torch' not in sys.modules\n"
        "maps = pathlib.Path('/proc/self/maps').read_text()\n"
        "assert (thread is not None) == (ahead.LARGEST in maps)\n"
        "had = {*sys.modules}\n"
        "import torch\n"
        "assert int(torch.ones(3).sum()) == 3\n"
        "assert ahead.link_torch.__wrapped__() is None\n"
        "more = [name for name in sys.modules if name not in had and name.partition('.')[0] != 'torch']\n"
        "linked = [name for name in more if str(getattr(sys.modules[name], '__file__', '')).endswith('.so')]\n"
        "packages = [name for name in more if name.partition('.')[0] not in sys.stdlib_module_names]\n"
        "print(json.dumps([linked if thread else [], packages]))\n"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [[], []]


def test_all_that_is_imported_ahead_is_wanted_by_a_command_that_computes(tiny_model_home: Path) -> None:
    """Where a new PyTorch does without one, it is time lost: take it out of `EXTENSIONS` or `OTHERS`."""
    code = (
        "import contextlib, io, json, sys\n"
        "from importlib.util import find_spec\n"
        "from engine import ahead\n"
        "names = [name for name in (*ahead.EXTENSIONS, *ahead.OTHERS) if find_spec(name.partition('.')[0])]\n"
        "ahead.EXTENSIONS = ahead.OTHERS = ()\n"
        "from tui.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): code = run(['ask', 'hi', '--max-tokens', '2'])\n"
        "print(json.dumps([code, [name for name in names if name not in sys.modules]]))\n"
    )
    done = python(code, tiny_model_home)
    assert json.loads(done.stdout) == [0, []], done.stderr.decode()


def test_the_pytorch_that_we_pin_is_here_and_known_to_a_lean_import() -> None:
    """For any other, every import is a whole one, and `test_lean` tests nothing."""
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (pin,) = (pin.removeprefix("torch==") for pin in pins if pin.startswith("torch=="))
    assert pin in lean.TESTED, "study what its first import brings, then name it in `engine.lean.TESTED`"
    assert version("torch").partition("+")[0] == pin, "this environment is not the one that pyproject.toml asks for"


def test_an_error_while_pytorch_is_linked_has_its_exit_code(tiny_model_home: Path, tmp_path: Path) -> None:
    """Linking goes on when the tokenizer can't be read; taken apart meanwhile, the process crashed."""
    shutil.copytree(tiny_model_home / "models", tmp_path / "models")
    damaged = tmp_path / "models" / "tiny" / "tokenizer.model"
    about = damaged.stat()
    damaged.write_bytes(bytes(about.st_size))
    os.utime(damaged, ns=(about.st_atime_ns, about.st_mtime_ns))  # by size and time it is the one that was installed
    for _ in range(3):
        done = llm(tmp_path, "sentiment", "-m", "tiny", "good", fresh=True)
        assert (done.returncode, done.stdout) == (3, b""), done.stderr
