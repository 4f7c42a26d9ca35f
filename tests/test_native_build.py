"""The native library is optional: it is compiled once where that can be done, and its absence says why."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.devices import devices
from engine.kernels import choose, native_build
from engine.kernels.native import NativeKernel, lanes

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(native_build.find_compiler() is None, reason="there is no C++ compiler")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for the library, and nothing remembered; nobody will compute with what is compiled."""
    monkeypatch.setattr(native_build, "_folders", lambda: [tmp_path])
    monkeypatch.setattr(native_build, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in native_build.FLAGS))
    monkeypatch.setattr(native_build, "library", native_build.library.__wrapped__)
    return tmp_path


@needs_compiler
def test_it_is_compiled_once_and_found_again(fresh: Path) -> None:
    first = native_build.library()
    assert isinstance(first, ctypes.CDLL)
    (made,) = fresh.iterdir()
    stamp = made.stat().st_mtime_ns
    assert isinstance(native_build.library(), ctypes.CDLL)
    assert [path.stat().st_mtime_ns for path in fresh.iterdir()] == [stamp]


@needs_compiler
def test_a_damaged_library_is_made_again(fresh: Path) -> None:
    compiler = native_build.find_compiler()
    assert compiler is not None
    broken = fresh / f"{native_build._key(compiler)}.so"
    broken.write_bytes(b"\x7fELF and no more")
    assert isinstance(native_build.library(), ctypes.CDLL)
    assert broken.stat().st_size > 10_000


def test_without_a_compiler_it_says_so(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.delenv("CXX", raising=False)
    assert native_build.library() == "no C++ compiler (c++, g++ or clang++) was found"
    assert list(fresh.iterdir()) == []


def test_a_compiler_that_fails_is_named_and_not_tried_again(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = fresh / "tried"
    bad = fresh / "bad-c++"
    bad.write_text(f"#!/bin/sh\necho >> {tried}\necho 'x.h:1: error: no such thing' >&2\nexit 1\n")
    bad.chmod(0o755)
    monkeypatch.setenv("CXX", str(bad))
    for _ in range(3):
        assert native_build.library() == f"{bad} failed: x.h:1: error: no such thing"
    assert tried.read_text() == "\n"
    assert not [path for path in fresh.iterdir() if path.name.endswith((".so", ".partial"))]


@needs_compiler
def test_where_nothing_can_be_written_there_is_none(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = fresh / "file"
    occupied.touch()
    monkeypatch.setattr(native_build, "_folders", lambda: [occupied / "in", occupied / "on"])
    assert str(native_build.library()).startswith("no folder for the compiled library can be written")


@pytest.mark.parametrize("word", ["0", "off", "No"])
def test_it_can_be_switched_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native_build.SWITCH, word)
    assert native_build.library.__wrapped__() == f"switched off by {native_build.SWITCH}"


def test_a_machine_without_it_runs_another_kernel_and_the_doctor_says_why() -> None:
    code = (
        "import torch; from engine.kernels import choose; from engine.devices import devices\n"
        "print(choose(torch.device('cpu')).name)\n"
        "print(next(d.reason for d in devices() if d.name == 'cpu'))"
    )
    environment = os.environ | {native_build.SWITCH: "off", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    name, reason = done.stdout.splitlines()
    assert name in {"x86-onednn", "cpu-generic"}
    assert f"cpu-native: switched off by {native_build.SWITCH}" in reason


@needs_compiler
def test_where_it_is_it_is_chosen_and_names_its_instructions() -> None:
    assert choose(CPU).name == NativeKernel.name
    assert lanes() in {"avx512-vnni and amx", "avx512-vnni", "avx-vnni", "avx2", "neon-dotprod", "plain"}
    found = next(device for device in devices() if device.name == "cpu")
    assert (found.kernel, lanes() in found.reason) == (NativeKernel.name, True)
