"""The folder of installed models: list, find, describe, remove, the default; pulling and importing on top.

Torch-free until a model is converted. A model's folder appears complete, by rename of a temporary sibling.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from engine import catalog, manifest, model_folder, shipped
from engine.disk import disk_errors, require_space, sync_folder, write_whole
from engine.errors import CheckpointError, ModelNotFound, UsageError
from engine.naming import matches, nearest, safe_name, to_name
from engine.schema import Conversion, ModelSummary, Progress, Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from filelock import BaseFileLock

    from engine.catalog import CatalogEntry
    from engine.fetch import Source
    from engine.manifest import Manifest
    from engine.schema import ProgressCallback

    Installer = Callable[[Path, Path, Provenance, ProgressCallback], Conversion]

_DEFAULT = "default.json"
_PARTIAL, _REMOVED = ".partial-", ".removed-"


def silent(progress: Progress) -> None:
    """A progress callback for nobody."""


class Library:
    """The models of one person on this machine, a folder each in `models_dir`; downloads pass through `cache_dir`."""

    def __init__(self, models_dir: Path, cache_dir: Path) -> None:
        self.models_dir = models_dir
        self.cache_dir = cache_dir

    def names(self) -> list[str]:
        """All installed models, broken ones too, sorted."""
        try:
            folders = [path.name for path in self.models_dir.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"the models' folder {self.models_dir} can't be read: {error.strerror or error}",
                hint="check the folder, or move everything with LOCAL_LLM_HOME",
            ) from error
        return sorted((name for name in folders if not name.startswith(".")), key=str.casefold)

    def list(self) -> list[ModelSummary]:
        """A summary of each model, sorted by name; a broken one has its `problem` filled in."""
        return [self._describe(name) for name in self.names()]

    def summary(self, name: str) -> ModelSummary:
        """What is known of a model. Raises ModelNotFound."""
        return self._describe(self.find(name).name)

    def find(self, name: str) -> Path:
        """The folder of the model of that name, alias or unique part of a name. Raises ModelNotFound."""
        known = catalog.aliases()
        installed = self.names()
        found = matches(name, {model: known.get(model, ()) for model in installed})
        exact = [model for model in found if model.casefold() == name.strip().casefold()]
        # A model that the catalog calls so, but that is not here, must not be mistaken for one with a longer name.
        meant = exact or matches(name, known)
        if not exact and len(meant) == 1 and _is_name_of(name, meant[0]) and meant[0] not in installed:
            # A short name means both models of one file, the full one that model alone.
            twins = [twin for twin in catalog.twins(meant[0]) if twin in installed]
            if twins and name.strip().casefold() != meant[0].casefold():
                return self.models_dir / twins[0]
            raise _not_installed(name, meant[0], installed)
        if len(found) == 1:
            return self.models_dir / found[0]
        if found:
            raise ModelNotFound(f"{name!r} could be any of {', '.join(found)}", hint="give more of the name")
        raise _not_installed(name, meant[0] if len(meant) == 1 else "", installed)

    def remove(self, name: str) -> str:
        """Deletes a model, all at once for whoever looks; returns its name. Raises ModelNotFound."""
        folder = self.find(name)
        with disk_errors(self.models_dir):
            self._discard(folder)
        return folder.name

    @property
    def default(self) -> str | None:
        """The model used when none is named: the chosen one, else the catalog's default, else the first that works."""
        installed = self.names()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            chosen = json.loads((self.models_dir / _DEFAULT).read_text(encoding="utf-8"))["name"]
            if chosen in installed:
                return chosen
        usual = catalog.default_entry().name
        if known := [name for name in (usual, *catalog.twins(usual)) if name in installed]:
            return known[0]
        sound = (model.name for model in self.list() if not model.problem)
        return next(sound, installed[0] if installed else None)

    def set_default(self, name: str) -> str:
        """Chooses the model used when none is named; returns its full name. Raises ModelNotFound."""
        name = self.find(name).name
        write_whole(self.models_dir / _DEFAULT, f"{json.dumps({'name': name})}\n".encode(), shared=True)
        return name

    def verify(self, name: str, *, full: bool = False) -> Manifest:
        """Compares a model's files with its manifest, hashing all if `full`. Raises ModelNotFound, CheckpointError."""
        return manifest.check(self.find(name), full=full)

    def pull(
        self,
        spec: str,
        source: Source = "auto",
        progress: ProgressCallback = silent,
        *,
        name: str | None = None,
        install: Installer | None = None,
    ) -> ModelSummary:
        """Brings a model of the catalog or `hf:OWNER/REPO[@REVISION][/FILE.gguf]` here, unless it is here already.

        Can be interrupted at any moment and run again: it goes on where it stopped. Of two at once the second waits.
        Raises ModelNotFound (no such name), UsageError (the name is taken by another model), FetchError,
        CheckpointError (the converter refuses the file).
        """
        from engine.fetch import fetch

        entry = catalog.resolve(spec)
        name = safe_name(entry.name if name is None else name)
        adapter = shipped.find(entry.adapter)
        # What an adapter is merged into comes as the plain model would, and goes on with what that has downloaded.
        plain = catalog.by_sha256(entry.sha256) if adapter else None
        fetched_as = plain.name if plain else name
        with contextlib.ExitStack() as alone:
            alone.enter_context(self._alone_with(name, progress))
            if self._is_here(name, entry):
                return self._describe(name)
            if fetched_as != name:
                alone.enter_context(self._alone_with(fetched_as, progress))
            downloads = self.cache_dir / "downloads" / fetched_as
            self._require_room(entry, downloads)
            fetched = fetch(entry, downloads, source, progress)
            provenance = replace(_with_adapter(fetched.provenance, adapter), name=name)
            self._install(fetched.path, provenance, progress, install)
            shutil.rmtree(downloads, ignore_errors=True)
        return self._describe(name)

    def import_path(
        self,
        path: Path,
        name: str | None = None,
        progress: ProgressCallback = silent,
        *,
        adapter: Path | None = None,
        install: Installer | None = None,
    ) -> ModelSummary:
        """Converts a `.gguf` file or a Hugging Face folder that is already on this machine, `adapter` merged.

        Raises InputError (no such thing), UsageError (the name is taken, the adapter is another's), FetchError (disk),
        CheckpointError.
        """
        from engine.local_source import describe

        provenance = describe(path, progress)
        if adapter:
            ours = next((one for one in shipped.adapters() if one.path == adapter), None)
            provenance = replace(_with_adapter(_taught(provenance, ours), ours), adapter=adapter)
        name = to_name(provenance.name) if name is None else name
        return self.install(path.resolve(), replace(provenance, name=name), progress, install)

    def install(
        self, source: Path, provenance: Provenance, progress: ProgressCallback, install: Installer | None = None
    ) -> ModelSummary:
        """Makes a model of what lies at `source`, under its provenance's name. UsageError if that is taken."""
        name = safe_name(provenance.name)
        with self._alone_with(name, progress):
            self.require_new(name)
            self._install(source, replace(provenance, name=name), progress, install)
        return self._describe(name)

    def require_new(self, name: str) -> None:
        """Raises UsageError for a name that no model can have, or that one has."""
        if taken := self._taken(safe_name(name)):
            raise UsageError(
                f"there is already a model {taken!r}", hint=f"llm models rm {taken}, or import it by another name"
            )

    def _describe(self, name: str) -> ModelSummary:
        return model_folder.describe(self.models_dir / name)

    def _taken(self, name: str) -> str:
        """The installed model whose name differs at most in case, which some file systems can't tell apart."""
        return next((model for model in self.names() if model.casefold() == name.casefold()), "")

    def _is_here(self, name: str, entry: CatalogEntry) -> bool:
        """Whether the model is installed and sound; a broken one counts as absent. UsageError if it's another."""
        taken = self._taken(name)
        if not taken:
            return False
        try:
            known = manifest.check(self.models_dir / taken)
            model_folder.read_config(self.models_dir / taken)
        except CheckpointError:
            return False
        adapter = shipped.find(entry.adapter)
        wanted, merged = adapter and manifest.sha256_of(adapter.path), known.adapter and known.adapter.sha256
        if taken == name and (known.spec == entry.pull_spec or (entry.sha256 and known.sha256 == entry.sha256)):
            if merged == wanted:
                return True
            if known.spec == entry.pull_spec:
                return False  # with an adapter that has been replaced since
        raise UsageError(
            f"{taken!r} is already the name of another model ({known.source})",
            hint=f"llm models rm {taken}, then pull again, or give this one another --name",
        )

    @contextlib.contextmanager
    def _alone_with(self, name: str, progress: ProgressCallback) -> Iterator[None]:
        """Holds the lock of a name, so that one process at a time makes that model; leftovers are swept first."""
        from filelock import Timeout

        with disk_errors(self.models_dir):
            (self.models_dir / ".locks").mkdir(parents=True, exist_ok=True)
            lock = self._lock(name)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                progress(Progress("wait", detail=f"another command is installing {name}"))
                lock.acquire(poll_interval=0.2)
        try:
            self._sweep(name)
            yield
        finally:
            lock.release()

    def _require_room(self, entry: CatalogEntry, downloads: Path) -> None:
        """Raises FetchError if download and model together can't fit, before anybody waits for the download."""
        with disk_errors(downloads):
            downloads.mkdir(parents=True, exist_ok=True)
            if downloads.stat().st_dev != self.models_dir.stat().st_dev:
                return  # each is checked when its turn comes
            present = sum(path.stat().st_size for path in downloads.rglob("*") if path.is_file())
        require_space(self.models_dir, max(2 * entry.size - present, 0), "download and convert")

    def _lock(self, name: str) -> BaseFileLock:
        from filelock import FileLock

        return FileLock(self.models_dir / ".locks" / f"{name.casefold()}.lock", preserve_lock_file=True)

    def _sweep(self, mine: str) -> None:
        """Deletes what dead processes left: whoever holds a name's lock owns all its temporary folders."""
        from filelock import Timeout

        for path in self.models_dir.glob(".*-*"):
            prefix = next((p for p in (_PARTIAL, _REMOVED) if path.name.startswith(p)), None)
            if prefix is None:
                continue
            owner = path.name.removeprefix(prefix).rsplit("-", 1)[0]
            if prefix == _REMOVED or owner == mine:
                shutil.rmtree(path, ignore_errors=True)
                continue
            with contextlib.suppress(Timeout, OSError), self._lock(owner).acquire(blocking=False):
                shutil.rmtree(path, ignore_errors=True)

    def _discard(self, folder: Path) -> None:
        gone = self.models_dir / f"{_REMOVED}{folder.name}-{os.getpid()}"
        shutil.rmtree(gone, ignore_errors=True)
        if folder.is_symlink():
            folder.unlink()
            return
        folder.rename(gone)
        sync_folder(self.models_dir)
        shutil.rmtree(gone, ignore_errors=True)

    def _install(
        self, source: Path, provenance: Provenance, progress: ProgressCallback, install: Installer | None
    ) -> None:
        """Converts into a temporary sibling, describes it in a manifest and renames it into place."""
        if install is None:
            from engine import convert

            install = convert.install
        require_space(self.models_dir, model_folder.room_for(source), "convert")
        target = self.models_dir / f"{_PARTIAL}{provenance.name}-{os.getpid()}"
        shutil.rmtree(target, ignore_errors=True)
        try:
            with disk_errors(self.models_dir):
                progress(Progress("convert", detail=provenance.name))
                conversion = install(source, target, provenance, progress)
                progress(Progress("install", detail=provenance.name))
                model_folder.finish(target, provenance, conversion)
                if taken := self._taken(provenance.name):
                    self._discard(self.models_dir / taken)  # a broken one: `_is_here` refuses the others
                target.rename(self.models_dir / provenance.name)
                sync_folder(self.models_dir)
        finally:
            shutil.rmtree(target, ignore_errors=True)


def _with_adapter(provenance: Provenance, adapter: shipped.ShippedAdapter | None) -> Provenance:
    """The provenance of what an adapter of ours is merged into: its card is kept as a notice."""
    if adapter is None:
        return provenance
    card = (adapter.card,) if adapter.card.is_file() else ()
    return replace(provenance, adapter=adapter.path, notices=(*provenance.notices, *card))


def _taught(provenance: Provenance, adapter: shipped.ShippedAdapter | None) -> Provenance:
    """A file that was given, as the catalog knows it with an adapter of ours."""
    if adapter is None or adapter.base != provenance.sha256:
        return provenance
    entry = catalog.lookup(adapter.model)
    return replace(provenance, name=entry.name, spec=entry.pull_spec, licence=entry.licence.id)


def _is_name_of(word: str, name: str) -> bool:
    return word.strip().casefold() in {name.casefold(), *(a.casefold() for a in catalog.aliases()[name])}


def _not_installed(wanted: str, known: str, installed: list[str]) -> ModelNotFound:
    """The error for a model that is not here; `known` is its name in the catalog, or empty."""
    if known:
        return ModelNotFound(f"the model {known!r} is not on this machine", hint=f"llm models pull {known}")
    near = nearest(wanted, installed)
    if near:
        return ModelNotFound(f"no model {wanted!r} on this machine", hint=f"did you mean {' or '.join(near)}?")
    near = nearest(wanted, catalog.aliases())
    hint = f"llm models pull {near[0]}" if near else "llm models list"
    return ModelNotFound(f"no model {wanted!r} on this machine", hint=hint)
