"""What the rows of an output file were made with, so that no later run goes on with them otherwise.

The rows themselves don't say it. It is kept beside the file's lock, as digests of what may be private, and holds for
this very file: one that was removed and made anew, or put in its place, is another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import InputError, UsageError
from tui.paths import ensure, places, write_private

Asked = Mapping[str, object]
"""What results depend on beside their rows, by the words that say it on the command line; values of JSON."""
RENAME = "name another file for --resume, or remove it"


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """No other run reads or writes the file meanwhile. Raises InputError where one does."""
    from filelock import FileLock, Timeout

    lock = FileLock(_beside(path, "lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{path} is being written by another run") from error
    try:
        yield
    finally:
        lock.release()


def check(path: Path, asked: Asked) -> None:
    """Raises UsageError if it is known that the file's rows were made with something else."""
    known, now = {}, _digests(asked)
    with suppress(OSError, ValueError, KeyError, TypeError):  # what can't be read is not known
        kept = json.loads(_beside(path, "json").read_text(encoding="ascii"))
        known = dict(kept["asked"]) if kept["file"] == _file(path) else {}
    others = [name for name in {**known, **now} if known and known.get(name) != now.get(name)]
    if others:
        raise UsageError(f"{path} was made with another {', '.join(others)}", hint=RENAME)


def remember(path: Path, asked: Asked) -> None:
    """Keep what the rows are made with that the file will hold; it must be there."""
    kept = json.dumps({"file": _file(path), "asked": _digests(asked)})
    write_private(_beside(path, "json"), kept.encode())


def _beside(path: Path, kind: str) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:16]
    return ensure(ensure(places().state) / "locks") / f"{name}.{kind}"


def _file(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_dev, about.st_ino]


def _digests(asked: Asked) -> dict[str, str]:
    return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16] for name, value in asked.items()}
