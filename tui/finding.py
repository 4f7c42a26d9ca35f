"""The files below a folder that a person may mean: no hidden ones, no build folders, an end to the search."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MOST = 5000
LARGEST = 4 << 20
"""Bytes; longer files are for `llm summarize`."""
_SKIPPED = {"node_modules", "__pycache__", "venv", "dist", "build", "target", "site-packages"}


def files_below(folder: Path) -> Iterator[tuple[str, int]]:
    """Path relative to the folder and size in bytes, near ones first, at most `MOST`."""
    found = 0
    level = [folder]
    while level:
        following: list[Path] = []
        for at in level:
            try:
                entries = sorted(os.scandir(at), key=lambda entry: entry.name.lower())
            except OSError:
                continue
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _SKIPPED:
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        following.append(Path(entry.path))
                    elif entry.is_file() and 0 < (size := entry.stat().st_size) <= LARGEST:
                        yield os.path.relpath(entry.path, folder), size
                        found += 1
                except OSError:
                    continue
                if found >= MOST:
                    return
        level = following
