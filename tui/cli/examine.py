"""What `llm doctor` looks at, one function a subject; each returns findings and never raises for what it finds."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.ahead import machine_memory
from engine.errors import EngineError
from engine.schema import ModelSummary
from tui.cli.console import program
from tui.cli.deliver import place_of
from tui.cli.opening import Run
from tui.cli.progress import size
from tui.settings import SettingsError

Status = Literal["ok", "note", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    text: str
    hint: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """Figures for `--json`."""


def settings(run: Run, broken: list[SettingsError]) -> list[Finding]:
    """What is wrong with settings, all others being looked at without it; or where those that are set stand."""
    if broken:
        return [Finding("settings", "fail", error.message, error.hint) for error in broken]
    origins = dict.fromkeys(value.origin for _, value in run.settings.items() if value.origin != "default")
    return [Finding("settings", "ok", "\n".join(origins) or "all at their defaults", "", {"origins": list(origins)})]


def commands_on_path(run: Run) -> list[Finding]:
    """Every `llm` and `local-llm` on PATH, in order; another program of that name in front is worth knowing."""
    ours = Path(sys.argv[0]).resolve()
    found = [path for name in ("llm", "local-llm") for path in _every(name)]
    mine = [path for path in found if _is_ours(path, ours)]
    listed = "\n".join(f"{path}{'' if path in mine else '  (another program)'}" for path in found) or "none"
    details = {"commands": [str(path) for path in found], "running": str(ours)}
    first = next(iter(_every("llm")), None)
    if first is None:
        return [Finding("command", "note", f"no llm on PATH; running {ours}", "add its folder to PATH", details)]
    if first not in mine:
        hint = "call ours local-llm, or put its folder first on PATH"
        return [Finding("command", "note", f"`llm` runs {first}, another program\n{listed}", hint, details)]
    return [Finding("command", "ok", f"`llm` runs {first}" + (f"\n{listed}" if len(found) > 1 else ""), "", details)]


def _every(name: str) -> list[Path]:
    names = [name, f"{name}.exe"] if os.name == "nt" else [name]
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    candidates = [folder / each for folder in folders for each in names]
    return list(dict.fromkeys(path for path in candidates if path.is_file() and os.access(path, os.X_OK)))


def _is_ours(path: Path, running: Path) -> bool:
    if path.resolve() == running or path.resolve().parent == running.parent:
        return True
    with contextlib.suppress(OSError):
        return b"from tui.cli." in path.read_bytes()[:4096]
    return False


def python(run: Run) -> list[Finding]:
    """The interpreter and the package."""
    try:
        ours = importlib.metadata.version("local-llm")
    except importlib.metadata.PackageNotFoundError:
        ours = "not installed as a package"
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, local-llm {ours}"
    details = {"python": platform.python_version(), "executable": sys.executable, "local_llm": ours}
    return [Finding("python", "ok", f"{text}\n{sys.executable}", "", details)]


def torch(run: Run) -> list[Finding]:
    """Whether PyTorch can be imported, and how long that takes."""
    started = time.monotonic()
    try:
        import torch as library
    except Exception as error:  # noqa: BLE001  (a broken installation raises anything)
        reason = f"torch can't be imported: {type(error).__name__}: {error}"
        return [Finding("torch", "fail", reason, "install this package again")]
    seconds = time.monotonic() - started
    details = {"torch": library.__version__, "import_seconds": round(seconds, 2)}
    return [Finding("torch", "ok", f"torch {library.__version__}, imported in {seconds:.1f} s", "", details)]


def memory(run: Run) -> list[Finding]:
    """Physical memory, and what of it is free."""
    total, free = memory_bytes()
    if not total:
        return [Finding("memory", "note", "unknown on this system")]
    text = f"{size(total)}" + (f", {size(free)} available" if free else "")
    details = {"total": total, "available": free}
    if free and free < 1_500_000_000:
        return [Finding("memory", "note", text, "the default model needs about 1.2 GB", details)]
    return [Finding("memory", "ok", text, "", details)]


def memory_bytes() -> tuple[int, int]:
    """Total and available memory; 0 where unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
        return tuple(int(lines[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]
    return machine_memory(), 0


def devices(run: Run) -> list[Finding]:
    """Where a model can be computed, and which way was chosen."""
    try:
        from engine.devices import devices as all_devices

        known = all_devices()
    except Exception as error:  # noqa: BLE001  (without torch there is nothing to ask)
        return [Finding("devices", "fail", f"unknown: {type(error).__name__}: {error}")]
    lines = [f"{device.name}: {device.kernel if device.available else 'no'} ({device.reason})" for device in known]
    details = {
        device.name: {"available": device.available, "kernel": device.kernel, "reason": device.reason}
        for device in known
    }
    cores = os.cpu_count() or 1
    return [Finding("devices", "ok", "\n".join([*lines, f"{cores} CPU threads"]), "", details | {"cpu_count": cores})]


def folders(run: Run) -> list[Finding]:
    """Our folders: writable, private, with room."""
    findings = []
    for name, path in (("models", run.places.models), ("state", run.places.state), ("cache", run.places.cache)):
        if os.path.lexists(path) and not os.path.isdir(path):
            findings.append(Finding(name, "fail", f"{path} is no folder", "move it away", {"path": str(path)}))
            continue
        existing = next((parent for parent in (path, *path.parents) if os.path.isdir(parent)), Path(path.anchor))
        free = 0
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(existing).free
        writable = os.access(existing, os.W_OK | os.X_OK)
        text = f"{path}{'' if existing == path else ' (not made yet)'}, {size(free)} free"
        details = {"path": str(path), "free": free, "writable": writable}
        if not writable:
            findings.append(Finding(name, "fail", f"{text}, can't be written", "set LOCAL_LLM_HOME", details))
            continue
        open_to = _open_to_others(run.places.state) if name == "state" else False
        hint = f"others can read it: chmod 700 {path}" if open_to else ""
        findings.append(Finding(name, "note" if open_to else "ok", text, hint, details))
    return findings


def _open_to_others(path: Path) -> bool:
    if os.name != "posix":
        return False
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


def models(run: Run, *, full: bool) -> list[Finding]:
    """Each installed model, checked against its manifest."""
    try:
        names = run.library.names()
        default = run.default_model
    except EngineError as error:
        return [Finding("models", "fail", error.message, error.hint)]
    if not names:
        return [Finding("models", "note", "none is installed", f"{program()} models pull")]
    findings = [] if run.settings["endpoint"] else _missing(run)
    for name in names:
        label = f"{name}{' (default)' if name == default else ''}"
        try:
            run.library.verify(name, full=full)
            summary = run.library.summary(name)
            if summary.problem:
                findings.append(Finding("model", "fail", f"{label}: {summary.problem}", "", {"name": name}))
                continue
            text = f"{label}: {size(summary.bytes_on_disk)}, {'hashes' if full else 'sizes and times'} are right"
            findings.append(Finding("model", "ok", text, "", {"name": name, "bytes": summary.bytes_on_disk}))
        except EngineError as error:
            findings.append(Finding("model", "fail", f"{label}: {error.message}", error.hint, {"name": name}))
    return findings


def _missing(run: Run) -> list[Finding]:
    """Models that settings name and that are not here."""
    findings = []
    for setting in ("model", "chat_model"):
        try:
            if wanted := run.settings[setting]:
                run.library.find(wanted)
        except EngineError as error:
            findings.append(Finding("model", "fail", f"{run.settings.origin(setting)}: {error.message}", error.hint))
    return findings


def generation(run: Run) -> list[Finding]:
    """A short real answer of the installed model, loaded here, with every socket refused meanwhile."""
    try:
        if not run.library.names():
            return []
        summary = run.find_installed()
        with sockets_refused() as attempts:
            return [_generate(run, summary), _offline(attempts)]
    except EngineError as error:
        return [Finding("run", "fail", error.message, error.hint)]


def _generate(run: Run, summary: ModelSummary) -> Finding:
    from engine.schema import Message
    from tui.cli.deliver import collect

    started = time.monotonic()
    with contextlib.closing(run.load_here(summary)) as session:
        loaded = time.monotonic() - started
        sampling = run.sampling(max_tokens=32)
        result = collect(session.stream([Message("user", "Count from one to twenty.")], sampling), lambda text: None)
        where = place_of(session)
        held = session.memory_bytes
    if result.interrupted:
        raise KeyboardInterrupt
    rate = (result.output_tokens - 1) / result.decode if result.decode > 0 else 0.0
    text = (
        f"{summary.name} on {where}: loaded in {loaded:.1f} s, first token after {result.first_token:.2f} s, "
        f"{rate:.1f} tok/s, {size(held)}"
    )
    details = {
        "model": summary.name,
        "place": where,
        "load_seconds": round(loaded, 2),
        "ttft_ms": round(result.first_token * 1000),
        "tokens_per_second": round(rate, 1),
        "memory_bytes": held,
    }
    return Finding("run", "ok" if result.output_tokens else "fail", text, "", details)


def _offline(attempts: list[str]) -> Finding:
    if attempts:
        return Finding("offline", "fail", f"the run tried the network: {', '.join(attempts)}", "", {"tried": attempts})
    return Finding("offline", "ok", "no socket was asked for while it ran; any would have been refused")


@contextlib.contextmanager
def sockets_refused() -> Iterator[list[str]]:
    """While it is entered, opening or connecting a socket raises; yields the list of what was tried."""
    attempts: list[str] = []
    active = True

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if active and event in {"socket.connect", "socket.getaddrinfo", "socket.__new__", "socket.sendto"}:
            attempts.append(event)
            raise PermissionError(f"{event} is refused while the doctor looks")

    sys.addaudithook(refuse)  # can't be taken away again: the flag ends it
    try:
        yield attempts
    finally:
        active = False
