"""What the operating system can do while Python imports: link PyTorch's libraries, and lay out the weights.

On threads of their own and without Python's lock. Nothing waits for them or depends on them: what they get through is
had sooner, and what fails there is tried again, and told, where it is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RTLD_NOW, RTLD_GLOBAL = 2, 256
MADV_POPULATE_READ = 22
"""Linux 5.14 and later; others refuse it."""
GLOBAL, LARGEST = "libtorch_global_deps.so", "libtorch_cpu.so"
"""Opened by PyTorch itself as well, in this order and these ways."""

EXTENSIONS = (
    "_asyncio", "_contextvars", "_csv", "_hashlib", "_multiprocessing", "_pickle", "_posixshmem", "_posixsubprocess",
    "_queue", "_random", "_sha512", "_socket", "_ssl", "_uuid", "array", "cmath", "grp", "mmap", "termios",
    "numpy", "sentencepiece", "regex", "safetensors", "markupsafe._speedups",
)  # fmt: skip
"""What comes from shared libraries and is needed soon: while one is linked, others wait."""
OTHERS = (
    "typing_extensions", "logging", "tempfile", "tarfile", "unittest.mock", "importlib.metadata", "urllib.request",
    "multiprocessing.connection", "multiprocessing.reduction", "concurrent.futures", "torchgen.model", "tqdm",
)  # fmt: skip
"""What PyTorch imports of others."""


@cache
def link_torch() -> threading.Thread | None:
    """Begin to link PyTorch's largest library: 0.15 seconds. None where it is there, or where that takes more."""
    if sys.platform != "linux" or "torch" in sys.modules:
        return None
    spec = find_spec("torch")
    folder = Path(*(spec.submodule_search_locations or [""]) if spec else "", "lib")
    if (
        not (folder / LARGEST).exists()
        or (folder / "libtorch_cuda.so").exists()
        or (folder / "libtorch_hip.so").exists()
    ):
        return None  # those builds look for their companions first

    for name in EXTENSIONS:
        with contextlib.suppress(ImportError):  # built into some Pythons, not there in others
            import_module(name)

    def link() -> None:
        # Through ctypes, whose calls give up Python's lock; its own CDLL keeps it.
        opens = ctypes.CDLL(None).dlopen
        opens.restype = ctypes.c_void_p
        for name, how in ((GLOBAL, RTLD_NOW | RTLD_GLOBAL), (LARGEST, RTLD_NOW)):
            opens(os.fsencode(folder / name), how)

    return _aside(link)


def lay_out(spans: Sequence[tuple[int, int]]) -> threading.Thread | None:
    """Begin to map a file's pages, which are read where they are not in memory: 0.04 seconds for half a gigabyte.

    `spans`: from where to where.
    """
    if sys.platform != "linux" or sum(end - start for start, end in spans) > machine_memory() // 2:
        return None
    page = os.sysconf("SC_PAGE_SIZE")

    def populate() -> None:
        advise = ctypes.CDLL(None).madvise
        for start, end in spans:
            first = start & -page
            advise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), MADV_POPULATE_READ)

    return _aside(populate)


def machine_memory() -> int:
    """Bytes of the machine; 0 where the system does not tell."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def _aside(work: Callable[[], None]) -> threading.Thread:
    def quietly() -> None:
        with contextlib.suppress(OSError, AttributeError):
            work()

    thread = threading.Thread(target=quietly, name="ahead", daemon=True)
    thread.start()
    return thread


def import_others() -> None:
    """Import what PyTorch is about to, which runs beside the linking of its libraries."""
    for name in OTHERS:
        with contextlib.suppress(ImportError):
            import_module(name)
