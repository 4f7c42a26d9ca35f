"""How the warm server and its clients speak: frames of JSON, and perhaps raw numbers, over a per-user unix socket.

Frames carry plain JSON types alone; nothing that comes over the wire is ever executed or unpickled. Importing this
imports neither torch nor numpy.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import engine
from engine import errors
from engine.errors import EngineError
from engine.schema import Chunk, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

PROTOCOL = 1
LARGEST = 256 * 2**20
"""Bytes of a frame's JSON, and of its numbers."""
CONNECT_SECONDS = 5.0
_HEAD = struct.Struct(">4sII")
_MAGIC = b"llm1"
_CHUNK_FIELDS = tuple(field.name for field in dataclasses.fields(Chunk))
_AGAIN = "run the command again"


class WireError(EngineError):
    """The other side is gone, or what it sent is no frame."""


class Wire:
    """One end of a connection. A frame that was begun and not finished makes the connection useless: it is closed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.open = True

    def send(self, message: dict[str, Any], numbers: bytes = b"") -> None:
        """One frame. Raises WireError if the other side is gone."""
        data = json.dumps(message).encode()
        if max(len(data), len(numbers)) > LARGEST:
            raise WireError(f"a message of {len(data) + len(numbers):,} bytes is too long for the warm server")
        try:
            self._connection.sendall(_HEAD.pack(_MAGIC, len(data), len(numbers)) + data + numbers)
        except OSError as error:
            self.close()
            raise WireError(f"the warm server's connection broke: {error.strerror or error}", hint=_AGAIN) from error
        except BaseException:
            self.close()
            raise

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame: its JSON object and its numbers. Raises WireError at the end, or for what is no frame."""
        try:
            magic, length, extra = _HEAD.unpack(self._exactly(_HEAD.size))
            if magic != _MAGIC or max(length, extra) > LARGEST:
                raise WireError("what came is no frame of the warm server's protocol")
            message = json.loads(self._exactly(length))
            if not isinstance(message, dict):
                raise WireError("what came is no JSON object")
            return message, self._exactly(extra)
        except (OSError, ValueError, RecursionError) as error:
            self.close()
            raise WireError(f"the warm server's connection broke: {error}", hint=_AGAIN) from error
        except BaseException:
            self.close()
            raise

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._connection.recv(min(count - len(parts), 1 << 20))
            if not part:
                raise WireError("the other side of the warm server's connection is gone", hint=_AGAIN)
            parts += part
        return bytes(parts)

    def wait_at_most(self, seconds: float | None) -> None:
        """How long a frame may take; None: for ever."""
        self._connection.settimeout(seconds)

    def close(self) -> None:
        """End the connection; the other side sees it at once."""
        self.open = False
        self._connection.close()


def available() -> bool:
    """Whether this system has unix sockets."""
    return hasattr(socket, "AF_UNIX")


def connect(path: Path) -> Wire | None:
    """A connection to the server that listens there; None if there is none, or if it is not this user's own."""
    if not available() or not _is_private(path):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(str(path))
        if not is_own(connection):
            raise PermissionError("another user's server")
    except OSError:
        connection.close()
        return None
    return Wire(connection)


def listen(path: Path) -> socket.socket:
    """A listening socket of mode 0600 there; one that nobody listens at any more is replaced. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(128)  # a shell may begin many commands at once
    return listener


def _is_private(path: Path) -> bool:
    """Whether a socket lies there that only this user can have made: it and its folder are ours, and closed to others.

    Costs two `stat` calls; links are not followed.
    """
    try:
        folder, own = os.lstat(path.parent), os.lstat(path)
    except OSError:
        return False
    mine = folder.st_uid == own.st_uid == os.getuid()
    return mine and stat.S_ISDIR(folder.st_mode) and stat.S_ISSOCK(own.st_mode) and not folder.st_mode & 0o077


def is_own(connection: socket.socket) -> bool:
    """Whether the process at the other end runs as this user, where the system tells; elsewhere modes must do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return bool(user == os.getuid())


def build() -> str:
    """Names this very code: a server of other code is not used, since its answers might differ. Costs about 1 ms."""
    root = Path(engine.__file__).parent
    digest = hashlib.sha256(f"{PROTOCOL} {root}".encode())
    folders = [str(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    digest.update(f"{entry.path} {status.st_size} {status.st_mtime_ns}\n".encode())
                elif entry.is_dir() and not entry.name.startswith((".", "__")):
                    folders.append(entry.path)
    return digest.hexdigest()


def pack_messages(messages: Sequence[Message]) -> list[list[str]]:
    """Messages as JSON types."""
    return [[message.role, message.content] for message in messages]


def unpack_messages(data: Sequence[Sequence[Any]]) -> list[Message]:
    """The inverse of `pack_messages`."""
    return [Message(role, content) for role, content in data]


def pack_chunk(chunk: Chunk) -> list[Any]:
    """A chunk as JSON types."""
    return [getattr(chunk, name) for name in _CHUNK_FIELDS]


def unpack_chunk(data: Sequence[Any]) -> Chunk:
    """The inverse of `pack_chunk`."""
    values: Any = (tuple(value) if isinstance(value, list) else value for value in data)
    return Chunk(*values)


def pack_error(error: EngineError) -> dict[str, str]:
    """An error that a person can mend, as JSON types."""
    return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}


def unpack_error(data: dict[str, str]) -> EngineError:
    """The inverse of `pack_error`; a kind that is not of the error tree becomes its root."""
    kind = getattr(errors, data["kind"], EngineError)
    if not (isinstance(kind, type) and issubclass(kind, EngineError)):
        kind = EngineError
    return kind(data["message"], hint=data["hint"])
