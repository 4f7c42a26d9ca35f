"""Models from the publisher's hub: which files of a repository make a model, and bringing them, checked.

huggingface_hub names the files and their hashes (and knows the user's token and HF_ENDPOINT); `download` brings them.
Pickled weights (.bin, .pt) are never fetched.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from engine.disk import gigabytes, require_space
from engine.download import RemoteFile, SourceError, download, new_client
from engine.errors import UsageError
from engine.local_source import is_notice, notices_in
from engine.manifest import sha256_of
from engine.schema import Progress, Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from engine.catalog import CatalogEntry
    from engine.schema import ProgressCallback

CONNECT_SECONDS = 4.0
_COMPANIONS = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
    "chat_template.json", "model.safetensors.index.json",
}  # fmt: skip
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_OFFLINE_HINT = "check the network, or bring the file yourself and run `llm models import PATH`"


def fetch_from_hub(
    entry: CatalogEntry, folder: Path, progress: ProgressCallback, patience: float
) -> tuple[Path, Provenance]:
    """The entry's file or folder inside `folder`, and where it came from.

    `patience`: seconds until a silent hub is given up. Raises SourceError, UsageError; disk trouble is OSError.
    """
    progress(Progress("connect", detail=f"hub, {entry.repo}"))
    info = _ask(entry, patience)
    remotes = _choose(entry, info)
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(remote.size for remote in remotes)
    present = sum(_present(folder, remote) for remote in remotes)
    require_space(folder, total - present, "download")
    done = 0
    with new_client(_headers(), CONNECT_SECONDS) as client:
        for remote in sorted(remotes, key=lambda remote: remote.size):

            def report(received: int, done: int = done, name: str = remote.name) -> None:
                progress(Progress("download", done + received, total, name))

            def verifying(read: int, remote: RemoteFile = remote) -> None:
                progress(Progress("verify", read, remote.size, remote.name))

            download(client, remote, folder, report, verifying)
            done += remote.size
    return hub_result(entry, folder, info)


def hub_result(entry: CatalogEntry, folder: Path, info: Any = None) -> tuple[Path, Provenance]:
    """What was brought into `folder`. A file with a pinned hash needs no `info`, so no network."""
    card = info.card_data if info is not None else None
    licence, url = entry.licence.id, entry.licence.url
    if not licence and card is not None:
        named = card.get("license_name") or card.get("license") or ""
        licence = ", ".join(named) if isinstance(named, list) else str(named)
        url = str(card.get("license_link") or f"https://huggingface.co/{entry.repo}")
    commit = f"@{info.sha}" if info is not None and not entry.sha256 else ""
    path = folder / _basename(entry.file) if entry.file else folder
    provenance = Provenance(
        name=entry.name,
        source=f"hf:{entry.repo}{commit}" + (f"/{entry.file}" if entry.file else ""),
        spec=entry.pull_spec,
        licence=licence,
        licence_url=url,
        file=path.name if entry.file else "",
        sha256=(entry.sha256 or sha256_of(path)) if entry.file else "",
        source_files=() if entry.file else _hashes(folder, info),
        notices=notices_in(folder),
    )
    return path, provenance


def _hashes(folder: Path, info: Any) -> tuple[tuple[str, str], ...]:
    """Name and sha256 of each file; the hub's own word for the large ones, which has just been checked."""
    known = {s.rfilename: s.lfs.sha256 for s in info.siblings if s.lfs} if info is not None else {}
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.endswith(".partial"))
    return tuple((path.name, known.get(path.name) or sha256_of(path)) for path in files)


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _headers() -> dict[str, str]:
    from huggingface_hub import get_token

    token = get_token()
    return {"User-Agent": "local-llm"} | ({"Authorization": f"Bearer {token}"} if token else {})


def _ask(entry: CatalogEntry, patience: float) -> Any:
    """The hub's description of a repository, with sizes and hashes of its files. Raises SourceError."""
    outcome: list[Any] = []

    def ask() -> None:
        from huggingface_hub import HfApi, constants

        # Else it reports versions and tools, and first asks its makers' server what tools there are.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        try:
            api = HfApi(endpoint=_endpoint(), library_name="local-llm")
            revision = entry.revision or None
            outcome.append(api.model_info(entry.repo, revision=revision, files_metadata=True, timeout=patience))
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread
            outcome.append(error)

    # A thread, because looking up a host's name knows no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience + 1)
    if not outcome:
        raise SourceError(f"the hub did not answer within {patience:.0f} seconds", hint=_OFFLINE_HINT)
    if isinstance(outcome[0], Exception):
        raise _explain(entry, outcome[0]) from outcome[0]
    return outcome[0]


def _explain(entry: CatalogEntry, error: Exception) -> SourceError:
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        message, hint = "the hub is switched off by HF_HUB_OFFLINE", "unset HF_HUB_OFFLINE"
    elif isinstance(error, GatedRepoError):
        message, hint = f"the hub gives {entry.repo} only to who accepted its licence", _accept_hint(entry)
    elif isinstance(error, RepositoryNotFoundError):
        message = f"the hub has no model {entry.repo}, or it is private"
        hint = "check the spelling; for a private model set HF_TOKEN"
    elif status in {401, 403}:
        message, hint = f"the hub refuses {entry.repo} ({status})", _accept_hint(entry)
    elif status == 404:
        message = f"the hub has no {entry.repo}" + (f" at {entry.revision}" if entry.revision else "")
        hint = "check the name and the revision"
    elif status is not None:
        message, hint = f"the hub answers {status} for {entry.repo}", "try again later"
    else:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message, hint = f"the hub can't be reached: {reason}", _OFFLINE_HINT
    return SourceError(message, hint=hint)


def _accept_hint(entry: CatalogEntry) -> str:
    return f"accept the licence at https://huggingface.co/{entry.repo}, then set HF_TOKEN to a token of that account"


def _choose(entry: CatalogEntry, info: Any) -> list[RemoteFile]:
    """The files to bring. Raises SourceError if the entry's are not there, UsageError if there is only GGUF to name."""
    by_name = {sibling.rfilename: sibling for sibling in info.siblings or []}
    if entry.file:
        if entry.file not in by_name:
            raise SourceError(f"{entry.repo} has no file {entry.file}", hint=_gguf_hint(entry, by_name.values()))
        names = [entry.file]
    else:
        names = _weights(entry, by_name)
        if "config.json" not in by_name:
            raise SourceError(f"{entry.repo} has no config.json: it is not a model of a known family")
        names += sorted(_COMPANIONS & by_name.keys())
    names += sorted(filter(is_notice, by_name))
    return [_remote(entry, info.sha, by_name[name]) for name in names]


def _weights(entry: CatalogEntry, by_name: dict[str, Any]) -> list[str]:
    """Names of the safetensors at the root of a repository."""
    if "model.safetensors" in by_name:
        return ["model.safetensors"]
    shards = sorted(name for name in by_name if _SHARD.fullmatch(name))
    if shards and "model.safetensors.index.json" in by_name:
        last = _SHARD.fullmatch(shards[-1])
        if last and len(shards) == int(last[2]):
            return shards
        raise SourceError(f"{entry.repo} lacks some of its weights: {len(shards)} shards of {last and int(last[2])}")
    if any(name.lower().endswith(".gguf") for name in by_name):
        raise UsageError(f"{entry.repo} has only GGUF files: name one", hint=_gguf_hint(entry, by_name.values()))
    raise SourceError(f"{entry.repo} has no safetensors weights; pickled ones (.bin, .pt) are never loaded")


def _gguf_hint(entry: CatalogEntry, siblings: Iterable[Any]) -> str:
    files = sorted((s.size or 0, s.rfilename) for s in siblings if s.rfilename.lower().endswith(".gguf"))
    if not files:
        return f"see what it has at https://huggingface.co/{entry.repo}"
    revision = f"@{entry.revision}" if entry.revision else ""
    shown = [f"hf:{entry.repo}{revision}/{name} ({gigabytes(size)})" for size, name in files[:8]]
    return "one of " + ", ".join(shown) + (f" and {len(files) - 8} more" if len(files) > 8 else "")


def _remote(entry: CatalogEntry, commit: str, sibling: Any) -> RemoteFile:
    from huggingface_hub import hf_hub_url

    sha256 = sibling.lfs.sha256 if sibling.lfs else ""
    size = sibling.size if isinstance(sibling.size, int) else -1
    if sibling.rfilename == entry.file and entry.sha256:
        if size != entry.size or (sha256 and sha256 != entry.sha256):
            raise SourceError(f"{entry.repo}/{entry.file} has been changed at the hub: not the file of the catalog")
        sha256 = entry.sha256
    if size < 0 or not (sha256 or sibling.blob_id):
        raise SourceError(f"the hub does not say how to check {entry.repo}/{sibling.rfilename}")
    return RemoteFile(
        url=hf_hub_url(entry.repo, sibling.rfilename, revision=commit, endpoint=_endpoint()),
        name=_basename(sibling.rfilename),
        size=size,
        sha256=sha256,
        git_sha1="" if sha256 else sibling.blob_id,
        refused=_accept_hint(entry),
    )


def _basename(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _present(folder: Path, remote: RemoteFile) -> int:
    """Bytes of a file that are here already."""
    here = (folder / remote.name, folder / f"{remote.name}.partial")
    return min(max((path.stat().st_size for path in here if path.is_file()), default=0), remote.size)
