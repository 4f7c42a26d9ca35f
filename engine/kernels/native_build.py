"""Compiles the native library where there is a compiler, once for a processor and a version of the sources.

It is optional: without it the PyTorch kernels run, and `unavailable` says why. The library lies beside its sources, as
byte code does, or in the user's cache where that folder can't be written.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "cpp"
SWITCH = "LOCAL_LLM_NATIVE"
VERSION = 11
"""What `llm_version` says; rises with every change of a function or structure."""
FLAGS = ("-std=c++20", "-O3", "-fno-math-errno", "-ffp-contract=off", "-shared", "-fPIC", "-pthread", "-w")
SECONDS = 300
"""A compiler that takes longer hangs."""


@cache
def library() -> ctypes.CDLL | str:
    """The library, compiled if need be, or why there is none."""
    if os.environ.get(SWITCH, "").lower() in {"0", "off", "false", "no"}:
        return f"switched off by {SWITCH}"
    compiler = find_compiler()
    if compiler is None:
        return "no C++ compiler (c++, g++ or clang++) was found"
    key = _key(compiler)
    folders = _folders()
    for folder in folders:
        failed = folder / f"{key}.failed"
        if failed.exists():
            return failed.read_text(encoding="utf-8")
        found = _open(folder / f"{key}.so")
        if found is not None:
            return found
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            return _build(compiler, folder, key)
    return f"no folder for the compiled library can be written: {', '.join(map(str, folders))}"


def find_compiler() -> str | None:
    """The C++ compiler that `CXX` names or that is on PATH."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def compile_to(compiler: str, target: Path, machine: str) -> str:
    """Compile for a machine (`native`, or a name that `-march` knows); returns what went wrong, or nothing.

    The file appears complete, by rename.
    """
    option = "-mcpu" if platform.machine().lower() in {"arm64", "aarch64"} and machine == "native" else "-march"
    handle, partial = tempfile.mkstemp(prefix=target.name, suffix=".partial", dir=target.parent)
    os.close(handle)
    try:
        command = [compiler, *FLAGS, f"{option}={machine}", str(SOURCES / "decoder.cpp"), "-o", partial]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            return f"{compiler} failed: {lines[0].strip() if lines else done.returncode}"
        os.replace(partial, target)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{compiler} could not be run: {error}"
    finally:
        Path(partial).unlink(missing_ok=True)
    return ""


def _build(compiler: str, folder: Path, key: str) -> ctypes.CDLL | str:
    """Raises OSError where the folder can't be written."""
    target = folder / f"{key}.so"
    reason = compile_to(compiler, target, "native")
    if not reason:
        found = _open(target)
        if found is not None:
            return found
        reason = f"what {compiler} made can't be loaded"
    # So that a compiler that can't do it is not tried at every start; another one has another key.
    (folder / f"{key}.failed").write_text(reason, encoding="utf-8")
    return reason


def _open(path: Path) -> ctypes.CDLL | None:
    if not path.exists():
        return None
    try:
        found = ctypes.CDLL(str(path))
        found.llm_lanes.restype = ctypes.c_char_p
        found.llm_step.restype = ctypes.c_bool
        return found if found.llm_version() == VERSION else None
    except (OSError, AttributeError):  # damaged: it is made again
        return None


def _key(compiler: str) -> str:
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(source.read_bytes())
    made = Path(compiler).resolve().stat()
    parts = (*FLAGS, compiler, made.st_size, int(made.st_mtime), platform.system(), platform.machine(), _processor())
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:20]


def _processor() -> str:
    """What this processor can do: a home may be shared between machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(
            sorted({line for line in lines if line.lower().startswith(("flags", "features", "model name"))})
        )
    return platform.processor()


def _folders() -> list[Path]:
    import platformdirs

    beside = SOURCES / "build"
    cached = Path(platformdirs.user_cache_dir("local-llm")) / "native"
    return [beside, cached] if os.access(SOURCES, os.W_OK) else [cached]
