"""manifest.json: what a model's folder holds and where it came from, and the check of the folder against it.

The check at loading is cheap: sizes and times. Only a file whose time moved is hashed again. No Library is needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.disk import write_whole
from engine.errors import CheckpointError, FetchError
from engine.schema import AdapterFacts, LanguageQuality

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a model's folder when it was installed."""

    bytes: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known about an installed model beside its config."""

    name: str
    source: str
    spec: str = ""
    licence: str = ""
    licence_url: str = ""
    source_file: str = ""
    sha256: str = ""
    source_files: dict[str, str] = field(default_factory=dict)
    """sha256 by name, for a model converted from a folder."""
    notices: tuple[str, ...] = ()
    files: dict[str, FileRecord] = field(default_factory=dict)
    quality: dict[str, LanguageQuality] = field(default_factory=dict)
    kernel: str = ""
    adapter: AdapterFacts | None = None
    """Merged into the weights."""
    created_by: str = ""
    created_at: str = ""
    """UTC, ISO 8601."""

    @property
    def mend_hint(self) -> str:
        """The commands that replace this model."""
        again = f"llm models pull {self.spec}" if self.spec else "llm models import PATH"
        return f"llm models rm {self.name} && {again}"

    @property
    def identity(self) -> str:
        """A digest of everything in the folder that shapes the model's answers, from the hashes recorded here."""
        files = self.files.items()
        digests = sorted((name, record.sha256) for name, record in files if not name.startswith(("NOTICE", "LICENSE")))
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()

    @property
    def base(self) -> str:
        """What an adapter belongs to: the file that the model was converted from, or else what was made of it."""
        return self.sha256 if self.sha256 and not self.adapter else self.identity


def read(folder: Path) -> Manifest:
    """The manifest of a model's folder. Raises CheckpointError if it is missing, damaged or hostile."""
    path = folder / MANIFEST
    hint = f"llm models rm {folder.name} && llm models pull {folder.name}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        manifest = _parse(data)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}", hint=hint) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}", hint=hint) from error
    # The folder's name counts: people may rename folders.
    return dataclasses.replace(manifest, name=folder.name)


def _parse(data: Any) -> Manifest:
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise ValueError(f"expected an object of format {FORMAT}")
    files = {name: FileRecord(**record) for name, record in data.pop("files").items()}
    for name, record in files.items():
        if name != os.path.basename(name) or name in {"", ".", ".."} or "\\" in name or ":" in name:
            raise ValueError(f"{name!r} is not the name of a file in this folder")
        if not (isinstance(record.bytes, int) and isinstance(record.mtime_ns, int) and isinstance(record.sha256, str)):
            raise TypeError(f"the record of {name!r} has wrong types")
    if "config.json" not in files or not any(name.endswith(".safetensors") for name in files):
        raise ValueError("config.json or the weights are not listed")
    quality = {language: LanguageQuality(**figures) for language, figures in data.pop("quality").items()}
    parsed = {"notices": tuple(data["notices"]), "files": files, "quality": quality, "adapter": _adapter(data)}
    manifest = Manifest(**(data | parsed))
    texts = (manifest.name, manifest.source, manifest.spec, manifest.licence, manifest.licence_url, manifest.sha256)
    if not all(isinstance(text, str) for text in (*texts, *manifest.notices, manifest.kernel)):
        raise TypeError("a text is of another type")
    return manifest


def _adapter(data: dict[str, Any]) -> AdapterFacts | None:
    known = data.get("adapter")
    if known is None:
        return None
    facts = AdapterFacts(**(known | {"licences": tuple(known["licences"])}))
    if not all(isinstance(text, str) for text in (facts.name, facts.sha256, facts.base, *facts.licences)):
        raise TypeError("a text of its adapter is of another type")
    return facts


def write(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json, whole or not at all."""
    data = {"format": FORMAT, **dataclasses.asdict(manifest)}
    text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    write_whole(folder / MANIFEST, text.encode(), shared=True)  # each command that loads the model may note times


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The sha256 of a file, in hexadecimal. `progress` is told the bytes read so far."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
            done += len(block)
            if progress:
                progress(done)
    return digest.hexdigest()


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Size, sha256 and time of each file of a folder but the manifest, all flushed to disk."""
    records = {}
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST:
            continue
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        status = path.stat()
        records[path.name] = FileRecord(status.st_size, sha256_of(path), status.st_mtime_ns)
    return records


def check(folder: Path, *, full: bool = False) -> Manifest:
    """Compares a model's folder with its manifest; hashes files whose time moved, or all (`full`). CheckpointError.

    Cheap enough for each load: some `stat` calls. When moved times turn out to be harmless, they are noted.
    """
    manifest = read(folder)
    moved: dict[str, FileRecord] = {}
    for name, record in manifest.files.items():
        path = folder / name
        try:
            status = path.stat()
            size, time = status.st_size, status.st_mtime_ns
            if size != record.bytes:
                raise CheckpointError(
                    f"{path} has {size:,} bytes, expected {record.bytes:,}: it is damaged", hint=manifest.mend_hint
                )
            if full or time != record.mtime_ns:
                if sha256_of(path) != record.sha256:
                    raise CheckpointError(
                        f"{path} is not what was installed: its sha256 differs", hint=manifest.mend_hint
                    )
                moved[name] = dataclasses.replace(record, mtime_ns=time)
        except OSError as error:
            raise CheckpointError(
                f"{path} can't be read: {error.strerror or error}", hint=manifest.mend_hint
            ) from error
    if any(record != manifest.files[name] for name, record in moved.items()):
        with contextlib.suppress(FetchError):  # a read-only folder, or a full disk: hashed each time, and that is all
            write(folder, dataclasses.replace(manifest, files=manifest.files | moved))
    return manifest
