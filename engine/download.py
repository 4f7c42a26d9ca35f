"""One file over HTTP: resumed where it stopped, retried when cut, checked by size and hash before it gets its name."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.disk import gigabytes
from engine.errors import FetchError
from engine.manifest import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

MAX_STALLS = 3
"""Cuts in a row, without a byte between them, after which a server is given up."""
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class SourceError(FetchError):
    """This source can't deliver; another one may."""


class _Cut(Exception):
    """The transfer ended before the file did; what came is kept."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a server, and what it must turn out to be."""

    url: str
    name: str
    """Of the file here; no folders."""
    size: int
    """Bytes."""
    sha256: str = ""
    git_sha1: str = ""
    """Git's hash of the blob, for small files that have no sha256."""
    refused: str = ""
    """What to do when the server answers 401 or 403."""

    def is_complete(self, path: Path, report: Callable[[int], None] | None = None) -> bool:
        """Whether a file is this one: its size, and each hash that is known."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if self.sha256:
            return sha256_of(path, report) == self.sha256
        if self.git_sha1:
            blob = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
            blob.update(path.read_bytes())
            return blob.hexdigest() == self.git_sha1
        return True


def new_client(headers: dict[str, str], connect_seconds: float) -> httpx.Client:
    """A client for `download`; close it after use."""
    import httpx

    timeout = httpx.Timeout(30.0, connect=connect_seconds)
    return httpx.Client(headers=headers | {"Accept-Encoding": "identity"}, timeout=timeout, follow_redirects=True)


def download(
    client: httpx.Client,
    remote: RemoteFile,
    folder: Path,
    report: Callable[[int], None],
    verifying: Callable[[int], None] | None = None,
) -> Path:
    """The file `folder/remote.name`, complete and checked; `report` and `verifying` are told bytes of it.

    An interruption leaves `NAME.partial`, which the next call continues. Raises SourceError; disk trouble is OSError.
    """
    target, partial = folder / remote.name, folder / f"{remote.name}.partial"
    if remote.is_complete(target, verifying):
        report(remote.size)
        return target
    resumed = partial.exists()
    _receive_all(client, remote, partial, report)
    if not remote.is_complete(partial, verifying):
        partial.unlink()
        if resumed:  # the old piece may be what is wrong: once more, from the first byte
            return download(client, remote, folder, report, verifying)
        raise SourceError(
            f"{remote.name} came with the wrong content and was removed: its hash is not the expected "
            f"{remote.sha256 or remote.git_sha1}",
            hint="run the same command again; if it happens again, the source has been changed",
        )
    partial.replace(target)
    return target


def _receive_all(client: httpx.Client, remote: RemoteFile, partial: Path, report: Callable[[int], None]) -> None:
    """Fills `partial` to its full size, going on after each cut."""
    stalls = 0
    while True:
        before = _size(partial)
        try:
            _receive(client, remote, partial, report)
        except _Cut as cut:
            stalls = 0 if _size(partial) > before else stalls + 1
            if stalls >= MAX_STALLS:
                raise SourceError(
                    f"{remote.name} stopped at {gigabytes(_size(partial))} of {gigabytes(remote.size)}: {cut}",
                    hint="run the same command again: it goes on where it stopped",
                ) from cut
            time.sleep(min(0.1 * 4**stalls, 5.0))
        else:
            return


def _receive(client: httpx.Client, remote: RemoteFile, partial: Path, report: Callable[[int], None]) -> None:
    """One request for what is missing. Raises _Cut if it ended early, SourceError if it makes no sense to go on."""
    import httpx

    start = _size(partial)
    if start > remote.size:
        partial.unlink()
        start = 0
    if start == remote.size:
        if not partial.exists():
            partial.touch()
        return
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with client.stream("GET", remote.url, headers=headers) as response:
            start = _accept(response, remote, partial, start)
            _write(response, remote, partial, start, report)
    except httpx.TransportError as error:
        raise _Cut(_reason(error)) from error
    except httpx.HTTPError as error:
        raise SourceError(f"{remote.name} could not be fetched: {_reason(error)}") from error


def _accept(response: httpx.Response, remote: RemoteFile, partial: Path, start: int) -> int:
    """The offset at which the answer's body begins. Raises _Cut or SourceError for answers that are not the file."""
    status = response.status_code
    if status in _RETRIED:
        raise _Cut(f"the server answers {status}")
    if status in {401, 403} and remote.refused:
        raise SourceError(f"the server refuses {remote.name} ({status})", hint=remote.refused)
    if status == 416:
        partial.unlink(missing_ok=True)
        raise _Cut("the server could not continue the file")
    if status not in {200, 206}:
        raise SourceError(f"{remote.name} could not be fetched: the server answers {status}")
    if status == 200:
        offset, total = 0, int(response.headers.get("Content-Length", remote.size))
    else:
        sent = response.headers.get("Content-Range", "no range")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", sent)
        if not found or int(found[1]) not in {0, start}:
            raise SourceError(f"{remote.name} can't be continued at byte {start}: the server sends {sent}")
        offset, total = int(found[1]), int(found[2])
    if total != remote.size:
        raise SourceError(f"{remote.name} has {total:,} bytes at the server, expected {remote.size:,}")
    return offset


def _write(
    response: httpx.Response, remote: RemoteFile, partial: Path, start: int, report: Callable[[int], None]
) -> None:
    with partial.open("r+b" if start else "wb") as file:
        file.seek(start)
        for block in response.iter_raw():
            start += len(block)
            if start > remote.size:
                raise SourceError(f"{remote.name} is longer at the server than the expected {remote.size:,} bytes")
            file.write(block)
            report(start)
    if start < remote.size:
        raise _Cut("the connection was closed")


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
