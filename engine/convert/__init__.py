"""Readers of other people's weights and vocabularies; they write our own format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Conversion, ProgressCallback, Provenance


def install(source: Path, target: Path, provenance: Provenance, progress: ProgressCallback) -> Conversion:
    """Convert a `.gguf` file or a Hugging Face folder into the new folder `target`. Raises CheckpointError."""
    from engine.convert.pipeline import convert

    return convert(source, target, provenance, progress)
