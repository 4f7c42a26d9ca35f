"""`llm finetune` as a person runs it: to its end, stopped and killed at any moment, and on a disk that is full."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from cli_process import COMMAND, environment, llm
from safetensors import safe_open

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tiny_model_home: Path, tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    shutil.copytree(tiny_model_home / "models", place / "models")
    with (place / "rows.jsonl").open("w", encoding="utf-8") as file:
        for n in range(40):
            file.write(json.dumps({"instruction": f"question {n}", "response": "forty two"}) + "\n")
    return place


def test_the_command_trains_applies_and_merges(home: Path) -> None:
    flags = ("--out", "mine.safetensors", "--epochs", "8", "--rank", "8", "--learning-rate", "0.01", "--threads", "1")
    done = llm(home, "finetune", "rows.jsonl", *flags, timeout=240)
    told = done.stderr.decode()
    assert done.returncode == 0, told
    assert done.stdout == b""
    assert "38 rows of" in told
    assert "held-out loss" in told
    asked = ("ask", "question 7", "--temperature", "0", "--max-tokens", "8")
    assert llm(home, *asked, "--adapter", "mine.safetensors").stdout.decode().strip() == "forty two"
    assert llm(home, *asked).stdout.decode().strip() != "forty two"
    merged = llm(home, "models", "import", "tiny", "--adapter", "mine.safetensors", "--name", "mine")
    assert merged.returncode == 0, merged.stderr.decode()
    assert llm(home, *asked, "-m", "mine").stdout.decode().strip() == "forty two"
    again = llm(home, "finetune", "rows.jsonl", *flags)
    assert (again.returncode, b"exists" in again.stderr) == (2, True)


def test_rows_come_from_stdin_too_and_what_was_read_is_what_is_kept_of_them(home: Path) -> None:
    given = (home / "rows.jsonl").read_bytes()
    done = llm(home, "finetune", "-", "--out", "mine", "--epochs", "1", "--threads", "1", stdin=given)
    assert done.returncode == 0, done.stderr.decode()
    (file,) = json.loads(llm(home, "models", "show", "mine", "--json").stdout)["files"]
    assert file == {"name": "stdin", "bytes": len(given), "sha256": hashlib.sha256(given).hexdigest(), "rows": 40}


def test_a_run_has_the_shape_of_the_adapter_it_goes_on_from_unless_told_another(home: Path) -> None:
    shape = ("--rank", "3", "--alpha", "10", "--targets", "mlp.down,attention.qkv")
    words = ("finetune", "rows.jsonl", "--epochs", "1", "--threads", "1")
    assert llm(home, *words, *shape, "--out", "first").returncode == 0
    done = llm(home, *words, "--start", "first", "--out", "second")
    assert done.returncode == 0, done.stderr.decode()
    first, second = (json.loads(llm(home, "models", "show", name, "--json").stdout) for name in ("first", "second"))
    for told in ("rank", "alpha", "targets"):
        assert second["training"][told] == first["training"][told]
    done = llm(home, *words, "--start", "first", "--rank", "4", "--out", "third")
    assert (done.returncode, b"give the same --rank" in done.stderr) == (2, True)


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_a_kill_amid_a_write_leaves_nothing_behind(home: Path) -> None:
    script = (
        "import os, signal, sys; from engine.training import stepping; stepping.SAVE_EVERY = 0.0\n"
        "kind = int(sys.argv.pop(1)); os.fsync = lambda _: os.kill(os.getpid(), kind)\n"
        "from tui.cli.main import main; sys.argv[0] = 'llm'; main()"
    )
    words = ["finetune", "rows.jsonl", "--out", "mine", "--epochs", "1", "--threads", "1"]

    def killed(kind: int) -> tuple[int, list[str]]:
        done = subprocess.run([sys.executable, "-c", script, str(kind), *words], env=environment(home), cwd=home,
                              capture_output=True, check=False, timeout=240)  # fmt: skip
        return done.returncode, sorted(path.name for path in home.glob("*mine*"))

    code, left = killed(signal.SIGTERM)
    assert code == 143
    assert left == ["mine.training"]  # saved as it left
    assert killed(signal.SIGKILL) == (-signal.SIGKILL, [".mine.part", ".mine.training.lock", "mine.training"])
    assert llm(home, *words, timeout=240).returncode == 0
    assert [path.name for path in home.glob("*mine*")] == ["mine"]


@pytest.mark.skipif(os.name != "posix", reason="limits are Unix's")
def test_a_full_disk_is_told_with_the_way_on(home: Path) -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "from tui.cli.main import main; sys.argv[0] = 'llm'; main()"
    )
    words = ["finetune", "rows.jsonl", "--out", "mine", "--epochs", "1", "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", script, *words], env=environment(home), cwd=home, capture_output=True,
                          check=False, timeout=240)  # fmt: skip
    assert done.returncode == 1
    assert b"the disk is full" in done.stderr
    assert b"run the same command again" in done.stderr
    assert list(home.glob("*mine*")) == []


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_a_ctrl_c_while_numpy_comes_in_is_heard(home: Path) -> None:
    """Where PyTorch's C++ imports it, whatever is raised meanwhile is lost."""
    script = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy._core._multiarray_umath':\n"
        "            sys.meta_path.remove(self)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from tui.cli.main import main; sys.argv[0] = 'llm'; main()"
    )
    words = ["finetune", "rows.jsonl", "--out", "mine", "--epochs", "1", "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", script, *words], env=environment(home), cwd=home, capture_output=True,
                          check=False, timeout=240)  # fmt: skip
    assert done.returncode == 130, done.stderr.decode()
    assert not (home / "mine").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_a_killed_command_goes_on_to_the_same_adapter_and_needs_no_compiler_of_pytorchs(home: Path) -> None:
    """PyTorch's optimizers import it, which took a second of each run, and memory."""
    script = (
        "import sys; from engine.training import stepping; stepping.SAVE_EVERY = 0.0\n"
        "from tui.cli.main import run; sys.exit(run(sys.argv[1:]) or 20 * ('torch._dynamo' in sys.modules))"
    )
    flags = ["--epochs", "6", "--threads", "1", "--held-out", "0.1"]

    def command(out: str) -> list[str]:
        return [sys.executable, "-c", script, "finetune", "rows.jsonl", "--out", out, *flags]

    variables = environment(home)
    subprocess.run([*COMMAND, "finetune", "rows.jsonl", "--out", "whole", *flags], env=variables, cwd=home, check=True,
                   capture_output=True, timeout=240)  # fmt: skip
    killed = subprocess.Popen(command("parts"), env=variables, cwd=home, stderr=subprocess.DEVNULL)
    kept = home / "parts.training"
    while killed.poll() is None:
        if kept.exists():
            with safe_open(kept, framework="pt") as file:
                if json.loads(file.metadata()["training"])["step"] >= 2:
                    break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (home / "parts").exists()
    subprocess.run(command("parts"), env=variables, cwd=home, check=True, capture_output=True, timeout=240)
    assert (home / "parts").read_bytes() == (home / "whole").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_a_state_of_other_settings_is_refused_and_names_them(home: Path) -> None:
    script = (
        "import os, signal; from engine.training import loop; measure = loop.Trainer.measure\n"
        "def stop(self, step): return measure(self, step) if step < 2 else os.kill(os.getpid(), signal.SIGTERM)\n"
        "loop.Trainer.measure = stop\n"
        "import sys; from tui.cli.main import main; sys.argv[0] = 'llm'; main()"
    )
    words = ["finetune", "rows.jsonl", "--out", "mine", "--threads", "1", "--rank", "4", "--step-tokens", "64"]
    stopped = subprocess.run([sys.executable, "-c", script, *words, "--epochs", "1"], env=environment(home), cwd=home,
                             capture_output=True, check=False, timeout=240)  # fmt: skip
    assert stopped.returncode == 143
    assert b"the same command goes on from here" in stopped.stderr
    other = llm(home, *words, "--epochs", "3")
    assert other.returncode == 2, "no model is damaged"
    assert "epochs (was 1, is 3) differ" in other.stderr.decode()
    assert b"going on" not in other.stderr
    same = llm(home, *words, "--epochs", "1")
    assert same.returncode == 0
    assert b"going on with a run that was stopped" in same.stderr
