"""One installed model's folder: what is told of it, and what completes a newly converted one.

Torch-free: sizes and JSON alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine import manifest
from engine.config import ModelConfig, QuantizationConfig
from engine.disk import sync_folder
from engine.errors import CheckpointError, EngineError
from engine.manifest import Manifest
from engine.schema import ModelSummary

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Conversion, Provenance

FORMAT = 1
CONFIG_FILE = "config.json"
"""Holds {"format", "model", "quantization"}."""


def describe(folder: Path) -> ModelSummary:
    """A summary of the model in a folder; a broken one has its `problem` filled in."""
    known = Manifest(name=folder.name, source="")
    try:
        known = manifest.read(folder)
        config, _ = read_config(folder)
        _require_sizes(folder, known)
        problem = ""
    except EngineError as error:
        config, problem = None, error.message
    return ModelSummary(
        name=folder.name,
        path=str(folder),
        family=config.family if config else "",
        parameters=config.num_parameters if config else 0,
        bytes_on_disk=_bytes_in(folder),
        context=config.max_context if config else 0,
        licence=known.licence,
        licence_url=known.licence_url,
        source=known.source,
        sha256=known.sha256,
        chat=os.path.isfile(folder / "chat_template.jinja"),  # False where the folder can't be entered
        quality=known.quality,
        notices=known.notices,
        kernel=known.kernel,
        adapter=known.adapter,
        problem=problem,
    )


def read_config(folder: Path) -> tuple[ModelConfig, QuantizationConfig]:
    """The model's shape, and how its weights lie on disk. Raises CheckpointError."""
    path = folder / CONFIG_FILE
    hint = f"llm models rm {folder.name} && llm models pull {folder.name}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if (found := data["format"]) == FORMAT:
            return ModelConfig.from_json(data["model"]), QuantizationConfig.from_json(data["quantization"])
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}", hint=hint) from error
    except CheckpointError as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint=hint) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}", hint=hint) from error
    raise CheckpointError(f"{path}: expected format {FORMAT}, found {found!r}", hint=hint)


def _require_sizes(folder: Path, known: Manifest) -> None:
    for name, record in known.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise CheckpointError(f"{folder / name} is missing: {error.strerror or error}") from error
        if size != record.bytes:
            raise CheckpointError(f"{folder / name} has {size:,} bytes, expected {record.bytes:,}")


def _bytes_in(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                total += path.stat().st_size
    return total


def room_for(source: Path) -> int:
    """At most about how many bytes the int8 model will take: 4-bit files grow, folders of 16-bit weights shrink."""
    if source.is_file():
        return int(source.stat().st_size * 1.8)
    return sum(path.stat().st_size for path in source.glob("*.safetensors"))


def finish(target: Path, provenance: Provenance, conversion: Conversion) -> None:
    """Adds notices and the manifest to a converted model, flushed to disk."""
    notices = []
    for notice in provenance.notices:
        if not (target / notice.name).exists():
            shutil.copyfile(notice, target / notice.name)
        notices.append(notice.name)
    known = Manifest(
        name=provenance.name,
        source=provenance.source,
        spec=provenance.spec,
        licence=provenance.licence,
        licence_url=provenance.licence_url,
        source_file=provenance.file,
        sha256=provenance.sha256,
        source_files=dict(provenance.source_files),
        notices=tuple(notices),
        files=manifest.record_files(target),
        quality=conversion.quality,
        kernel=conversion.kernel,
        adapter=conversion.adapter,
        created_by=f"local-llm {_version()}",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    manifest.write(target, known)
    sync_folder(target)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("local-llm")
    except PackageNotFoundError:
        return "unknown"
