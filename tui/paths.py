"""Where things are kept: XDG folders on every Unix, native ones elsewhere, all moved by `LOCAL_LLM_HOME`.

Nothing is created until something is written; folders that hold a user's text are 0700, files 0600.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError, InputError

APP = "local-llm"
HOME_VARIABLE = "LOCAL_LLM_HOME"
PROJECT_FILE = ".local-llm.toml"
_LONGEST_FOLDER = 90
"""Bytes; a unix socket's whole path may have 104 on some systems."""


class PlaceError(EngineError):
    """A folder or file of our own can't be made or written."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one user."""

    config: Path
    data: Path
    state: Path
    """Prompt-line history and logs."""
    cache: Path
    """Safe to delete."""
    runtime: Path
    """For the sockets of running servers; short enough for a socket's path."""

    @property
    def models(self) -> Path:
        """One folder for each installed model."""
        return self.data / "models"

    @property
    def config_file(self) -> Path:
        """The user's settings."""
        return self.config / "config.toml"

    @property
    def history_file(self) -> Path:
        """What was typed at the chat's prompt."""
        return self.state / "chat-history"

    @property
    def chats(self) -> Path:
        """What `/save` keeps."""
        return self.data / "chats"

    @property
    def history(self) -> Path:
        """The conversations that are kept."""
        return self.data / "app.db"

    @property
    def index(self) -> Path:
        """What `llm search` looks in."""
        return self.data / "index.db"

    @property
    def log_file(self) -> Path:
        """What a server in the background has to say."""
        return self.state / "serve.log"

    @property
    def app_file(self) -> Path:
        """What the app remembers of its looks."""
        return self.state / "app.json"

    @property
    def token_file(self) -> Path:
        """What programs need to use the HTTP server."""
        return self.state / "http-token"

    def named(self) -> dict[str, Path]:
        """Every place by its name, in the order that `paths` prints."""
        return {
            "config": self.config_file,
            "data": self.data,
            "models": self.models,
            "history": self.history,
            "chats": self.chats,
            "index": self.index,
            "state": self.state,
            "runtime": self.runtime,
            "cache": self.cache,
        }


def places(environ: Mapping[str, str] | None = None) -> Places:
    """The folders that the environment names. Raises PlaceError where no home can be found."""
    environ = os.environ if environ is None else environ
    if home := environ.get(HOME_VARIABLE):
        root = _from_here(at_home(home))
        state = root / "state"
        return Places(config=root, data=root, state=state, cache=root / "cache", runtime=_runtime(state))
    config, data, state, cache = (_folder(kind, environ) for kind in ("config", "data", "state", "cache"))
    session = environ.get("XDG_RUNTIME_DIR", "")
    runtime = Path(session) / APP if os.path.isabs(session) else _runtime(state)
    return Places(config, data, state, cache, runtime)


def at_home(path: str) -> Path:
    """A path as a shell has it, `~` a home folder; `~nobody/x`, of no user's, is a name like any other."""
    return Path(os.path.expanduser(path))


def _from_here(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError as error:  # the working directory was deleted
        hint = f"go to another folder, or set {HOME_VARIABLE} to a whole path"
        raise PlaceError(f"can't find {path}: the folder that it is counted from is gone", hint=hint) from error


def _runtime(state: Path) -> Path:
    """A folder in the state folder; where that is too deep for a socket, one of this user's among temporary files."""
    folder = state / "run"
    if os.name != "posix" or len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return folder
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"{APP}-{os.getuid()}-{digest}"


def _folder(kind: str, environ: Mapping[str, str]) -> Path:
    explicit = environ.get(f"XDG_{kind.upper()}_HOME", "")
    if os.name == "posix" and os.path.isabs(explicit):  # the specification: relative paths are ignored
        return Path(explicit) / APP
    import platformdirs

    try:
        native: Path = getattr(platformdirs, f"user_{kind}_path")(APP, appauthor=False)
    except RuntimeError as error:  # no HOME and no entry in the user database
        raise PlaceError("no home folder is known for this user", hint=f"set {HOME_VARIABLE} to a folder") from error
    return native


def project_file(folder: Path | None = None) -> Path | None:
    """The nearest `.local-llm.toml`, from a folder upwards; from here unless told."""
    try:
        start = Path.cwd() if folder is None else folder
        return next((file for parent in (start, *start.parents) if (file := parent / PROJECT_FILE).is_file()), None)
    except OSError:  # the working directory was deleted, or may not be read
        return None


def ensure(folder: Path) -> Path:
    """The folder, made with mode 0700 where it is missing. Raises PlaceError if it can't be made or written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(folder, PermissionError(13, "Permission denied"))
    return folder


def ensure_private(folder: Path) -> Path:
    """The folder as `ensure` makes it, and nobody else's: neither owned nor open to others, nor a link. PlaceError."""
    ensure(folder)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or (os.name == "posix" and status.st_uid != os.getuid()):
        raise PlaceError(f"{folder} belongs to someone else", hint="remove it, or set XDG_RUNTIME_DIR")
    if status.st_mode & 0o077:
        os.chmod(folder, 0o700)
    return folder


def _unwritable(path: Path, error: Exception) -> PlaceError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return PlaceError(f"can't write {path}: {reason}", hint=f"set {HOME_VARIABLE} to a folder that can be written")


def write_private(path: Path, data: bytes) -> None:
    """Write a file of our own whole or not at all, mode 0600; a link stays one. Raises PlaceError."""
    ensure(path.parent)
    try:
        _replace(_led_to(path), data, mode=0o600)
    except (OSError, RuntimeError, ValueError) as error:  # also links that go round, and a NUL in the name
        raise _unwritable(path, error) from error


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user asked for, whole or not at all, with the mode it had or the umask's.

    Raises InputError where the folder is missing or can't be written.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a pipe, as /dev/stdout may lead to: nothing to rename
            path.write_bytes(data)
        else:
            target = _led_to(path)
            _replace(target, data, mode=_mode_for(target))
    except (OSError, RuntimeError, ValueError) as error:  # also links that go round, and a NUL in the name
        raise _no_output(path, error) from error


def check_output(path: Path) -> None:
    """Raises the InputError of `write_output` for a place where nothing can be made: before the work, not after it."""
    import tempfile

    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.is_file() or not path.exists():
            tempfile.TemporaryFile(dir=_led_to(path).parent).close()
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_output(path, error) from error


def _no_output(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(f"can't write {path}: {reason}", hint="check the folder, its permissions and space")


def _led_to(path: Path) -> Path:
    """The file itself, where it is reached over a link."""
    return path.resolve() if path.is_symlink() else path


def _mode_for(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _replace(path: Path, data: bytes, mode: int) -> None:
    import tempfile

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
