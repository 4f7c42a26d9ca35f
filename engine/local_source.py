"""What a file or folder on this machine is, as the source of an import: its kind, name, hash, licence and notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import catalog
from engine.errors import InputError
from engine.manifest import MANIFEST, sha256_of
from engine.schema import Progress, Provenance

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import ProgressCallback

_NOTICE_STEMS = ("license", "licence", "notice", "copying", "use_policy", "gemma_terms")
_LARGEST_NOTICE = 4 * 2**20


def is_notice(name: str) -> bool:
    """Whether a file of that name holds a licence or a notice, and may be kept by that name."""
    lower = name.casefold()
    kept = name.isprintable() and not {*name} & {*"/\\:"}  # others are no names of files on every system
    return kept and lower.startswith(_NOTICE_STEMS) and lower.endswith((".txt", ".md", ".html", *_NOTICE_STEMS))


def notices_in(folder: Path) -> tuple[Path, ...]:
    """The licence and notice files of a folder, sorted."""
    found = (path for path in folder.iterdir() if path.is_file() and is_notice(path.name))
    return tuple(sorted(path for path in found if path.stat().st_size <= _LARGEST_NOTICE))


def describe(path: Path, progress: ProgressCallback) -> Provenance:
    """The provenance of a `.gguf` file or of a folder with safetensors. Raises InputError."""
    try:
        if path.is_dir():
            return _describe_folder(path.resolve())
        if not path.exists():
            raise InputError(
                f"there is no {path}", hint="give a .gguf file or a folder with config.json and safetensors"
            )
        if not path.is_file():
            raise InputError(f"{path} is no file and no folder", hint="a model is read more than once: give a file")
        return _describe_file(path.resolve(), progress)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def _describe_file(path: Path, progress: ProgressCallback) -> Provenance:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        hint = "give a .gguf file or a folder with config.json and safetensors"
        if path.suffix == ".safetensors" or (path.parent / "config.json").exists():
            hint = f"give the folder: {path.parent}"
        raise InputError(f"{path} is not a GGUF file: it begins with {magic!r}", hint=hint)
    total = path.stat().st_size
    sha256 = sha256_of(path, lambda done: progress(Progress("verify", done, total, path.name)))
    known = catalog.by_sha256(sha256)
    return Provenance(
        name=known.name if known else path.stem,
        source=f"imported from {path}",
        spec=known.pull_spec if known else "",
        licence=known.licence.id if known else "",
        licence_url=known.licence.url if known else "",
        file=path.name,
        sha256=sha256,
    )


def _describe_folder(path: Path) -> Provenance:
    names = {file.name for file in path.iterdir()}
    if "config.json" not in names:
        ggufs = sorted(name for name in names if name.endswith(".gguf"))
        hint = f"give one of its files: {path / ggufs[0]}" if ggufs else "a Hugging Face folder has a config.json"
        raise InputError(f"{path} has no config.json", hint=hint)
    if MANIFEST in names:
        raise InputError(
            f"{path} is a model of this program, converted already",
            hint="copy the folder to where `llm paths` says that models are",
        )
    if not any(name.endswith(".safetensors") for name in names):
        raise InputError(
            f"{path} has no .safetensors weights",
            hint="pickled weights (.bin, .pt) are never loaded: convert them first",
        )
    return Provenance(name=path.name, source=f"imported from {path}", notices=notices_in(path))
