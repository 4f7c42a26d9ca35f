"""An installed model and an adapter -> a new model's folder with the adapter's change in its int8 rows."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from engine import adapter, checkpoint, manifest
from engine.model_folder import CONFIG_FILE, read_config
from engine.schema import Conversion, Provenance

if TYPE_CHECKING:
    from pathlib import Path

    from engine.library import Library
    from engine.schema import ModelSummary, ProgressCallback

_OURS = {CONFIG_FILE, checkpoint.WEIGHTS_FILE, manifest.MANIFEST}


def merge(library: Library, name: str, path: Path, new: str, progress: ProgressCallback) -> ModelSummary:
    """Install `name` with the adapter of `path` under a new name.

    Raises ModelNotFound, UsageError (the name is taken, the adapter is another model's), CheckpointError (damaged).
    """
    folder = library.find(name)
    about = manifest.check(folder)
    found = adapter.load(path)
    config, quantization = read_config(folder)
    adapter.require_fit(found, about, quantization.smoothing)

    def install(_source: Path, target: Path, _provenance: Provenance, _progress: ProgressCallback) -> Conversion:
        target.mkdir(parents=True)
        for file in about.files:
            if file not in _OURS:
                shutil.copyfile(folder / file, target / file)
        tensors = adapter.merged(checkpoint.map_tensors(folder / checkpoint.WEIGHTS_FILE), found)
        checkpoint.save(target, config, quantization, tensors)
        return Conversion(adapter=adapter.facts(found, path.stem))

    provenance = Provenance(
        name=new,
        source=f"{about.name} with the adapter {path.name} ({found.sha256[:16]})",
        licence=about.licence,
        licence_url=about.licence_url,
        notices=tuple(folder / notice for notice in about.notices),
    )
    return library.install(folder, provenance, progress, install)
