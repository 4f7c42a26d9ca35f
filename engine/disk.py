"""Room and rights on disk: the check before long work, and plain words for what the system reports during it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING

from engine.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_QUOTA = getattr(errno, "EDQUOT", None)
_FULL = {errno.ENOSPC, errno.EFBIG, _QUOTA}
_SPARE = 64 * 2**20
"""Bytes that are left free for everybody else."""


def gigabytes(count: int) -> str:
    """A number of bytes for people: `491 MB`, `1.1 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count, 0) / 1e6:.0f} MB"


def free_bytes(folder: Path) -> int:
    """Free room where the folder is, or will be once it is made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raises FetchError if less than `needed` bytes are free for `purpose` ("download", "convert")."""
    free = free_bytes(folder)
    if free < needed + _SPARE:
        raise FetchError(
            f"not enough room to {purpose} the model: {gigabytes(needed + _SPARE)} needed, "
            f"{gigabytes(free)} free in {folder}",
            hint="free some space (`llm models rm NAME`), then run the same command again",
        )


def full_disk(folder: Path, *, quota: bool = False) -> FetchError:
    """The error for a disk that filled up during work, or this user's share of it, whatever is free for others."""
    return FetchError(
        f"your quota of the disk is used up in {folder}"
        if quota
        else f"the disk is full: {gigabytes(free_bytes(folder))} free in {folder}",
        hint="free some space, then run the same command again: what came so far is kept",
    )


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns the system's errors about a folder into FetchError in plain words."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full_disk(folder, quota=error.errno == _QUOTA) from error
        where = error.filename or folder
        raise FetchError(
            f"{where} can't be written or read: {error.strerror or error}",
            hint="check that the folder is yours to write, or move everything with LOCAL_LLM_HOME",
        ) from error


def write_whole(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write a file that appears complete, by rename; what a kill left of it is written over the next time.

    `shared`: several processes may do so at once, each beside the others. Raises FetchError where the disk is full or
    the folder not to be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")
    with disk_errors(path.absolute().parent):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


def sync_folder(folder: Path) -> None:
    """Makes renames within a folder last through a power cut, where the system can."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
