"""A model hub on the loopback: the part of the protocol that pulls need, with byte ranges and faults to order."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 4096
"""Bytes from which a file has a sha256, as files in large-file storage do."""


class HubServer:
    """Serves `repos[OWNER/REPO][path]`; a context manager. Faults are attributes that tests set."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.card: dict[str, Any] = {"license": "apache-2.0"}
        self.cuts: dict[str, list[int]] = {}
        """By path: after how many bytes each answer in turn is cut."""
        self.served: dict[str, bytes] = {}
        """By path: bytes that are sent in place of the true ones."""
        self.status: dict[str, int] = {}
        """By path (`api` for the description): the error to answer with."""
        self.claimed: dict[str, int] = {}
        """By path: the size that the description states."""
        self.ranges = True
        self.redirect = False
        self.block_delay = 0.0
        self.hang = False
        self.requests: list[tuple[str, str, str]] = []
        """Path, Range and Authorization of each request for a file."""
        self.released = threading.Event()
        self.connected = threading.Event()
        self.hung_up = threading.Event()

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_of = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def describe(self, repo: str) -> dict[str, Any]:
        siblings = []
        for path, data in self.repos[repo].items():
            size = self.claimed.get(path, len(data))
            sibling: dict[str, Any] = {"rfilename": path, "size": size, "blobId": git_sha1(data)}
            if len(data) >= LARGE:
                sibling["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 130}
            siblings.append(sibling)
        return {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "cardData": self.card, "tags": []}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        hub = self.server_of
        path = unquote(urlsplit(self.path).path)
        hub.connected.set()
        if hub.hang:
            while not hub.released.is_set():
                self.connection.settimeout(0.1)
                try:
                    if not self.connection.recv(1):
                        hub.hung_up.set()
                        break
                except TimeoutError:
                    continue
                except OSError:
                    hub.hung_up.set()
                    break
            self.close_connection = True
            return
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._answer_description(hub, found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._answer_file(hub, found[1], found[3], "/cdn" not in self.path)
        elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self._answer_file(hub, found[1], found[2], False)
        else:
            self._plain(404, b"not here")

    def _plain(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer_description(self, hub: HubServer, repo: str) -> None:
        if status := hub.status.get("api"):
            code = {401: "RepoNotFound", 403: "GatedRepo"}.get(status, "")
            self._plain(status, b'{"error": "no"}', **({"X_Error_Code": code} if code else {}))
        elif repo not in hub.repos:
            self._plain(401, b'{"error": "Repository not found"}', X_Error_Code="RepoNotFound")
        else:
            self._plain(200, json.dumps(hub.describe(repo)).encode(), Content_Type="application/json")

    def _answer_file(self, hub: HubServer, repo: str, path: str, first_hop: bool) -> None:
        hub.requests.append((path, self.headers.get("Range", ""), self.headers.get("Authorization", "")))
        if status := hub.status.get(path):
            self._plain(status, b"no")
            return
        if hub.redirect and first_hop:
            self._plain(302, b"", Location=f"{hub.url}/cdn/{repo}/{path}")
            return
        data = hub.served.get(path, hub.repos[repo][path])
        start = 0
        if hub.ranges and (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start = int(found[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cuts = hub.cuts.get(path, [])
        end = start + cuts.pop(0) if cuts else len(data)
        try:
            for at in range(start, min(end, len(data)), 16384):
                self.wfile.write(data[at : min(at + 16384, end)])
                if hub.block_delay:
                    hub.released.wait(hub.block_delay)
        except OSError:
            hub.hung_up.set()
        self.close_connection = end < len(data)
