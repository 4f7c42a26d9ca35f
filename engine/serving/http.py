"""HTTP around the API: the standard library's threaded server, with a token, limits, and no trust in who calls.

It serves a few programs of one user on one machine, and one thread computes anyway: an event loop and a framework
would bring a dozen packages for nothing. Every request needs the token, whatever it asks for, and a Host that is this
machine: a page in a browser that has its own name point here (DNS rebinding) is turned away.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from engine.errors import EngineError, InputError, InputTooLong, UsageError
from engine.serving.api import UnknownModel
from engine.serving.requests import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.serving.api import Api, Events
    from engine.serving.warm import WarmServer

LARGEST_BODY = 8 * 2**20
"""Bytes."""
PATIENCE = 30.0
"""Seconds that a client may take to send its request, or to read a piece of the answer; what was refused is read for as
long, so that its sender comes to hear why."""
QUIET = 1.0
"""Seconds without a byte after which nothing more of that is waited for."""
MOST_AT_WORK = 32
"""Requests that are answered at a time, each with a KV cache of its own; more are told to come again."""
MOST_CONNECTIONS = 256
"""Programs keep some open between requests."""
POSTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


class HttpServer(ThreadingHTTPServer):
    """Listens at once, so that a taken port is known before a model is loaded; who comes early waits."""

    daemon_threads = True
    request_queue_size = 16

    api: Api
    warm: WarmServer

    def __init__(self, host: str, port: int, token: str) -> None:
        """Raises OSError where the address can't be had."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._token, self._host = token.encode(), host
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.places = threading.BoundedSemaphore(MOST_AT_WORK)
        super().__init__((host, port), _Handler)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/v1"

    @contextlib.contextmanager
    def answering(self, api: Api, warm: WarmServer) -> Iterator[None]:
        """While it is entered, a thread takes requests; `warm` is told that it is in use."""
        self.api, self.warm = api, warm
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread a connection, up to a limit."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place free at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients come and go: their broken connections are no news."""

    def knows(self, authorization: str) -> bool:
        """Whether the token came, compared in the same time whatever came."""
        return hmac.compare_digest(authorization.encode("utf-8", "replace"), b"Bearer " + self._token)

    def expects(self, host: str) -> bool:
        """Whether a Host header is a name of this machine."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if is_loopback(self._host):
            return is_loopback(name)
        return ipaddress.ip_address(self._host).is_unspecified or name.strip("[]") == self._host


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "local-llm", ""
    timeout = PATIENCE
    server: HttpServer

    def finish(self) -> None:
        """The end of a connection: closed over what was sent and not read, it would break, and the answer with it."""
        super().finish()
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(QUIET)
            while time.monotonic() < until and self.connection.recv(65536):
                pass

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing about anybody's requests is written down."""

    def do_GET(self) -> None:
        if self._refuse() or (self._has_body() and self._body() is None):
            return
        if self.path == "/v1/models":
            self._json(200, self.server.api.models())
        elif self.path.startswith("/v1/models/"):
            self._reply(lambda: self.server.api.model(unquote(self.path.removeprefix("/v1/models/"))))
        elif self.path in POSTS:
            self._error(405, f"{self.path} takes POST")
        else:
            self._error(404, f"unknown path {self.path:.100}; known: /v1/models, {', '.join(POSTS)}")

    def do_POST(self) -> None:
        if self._refuse() or (body := self._body()) is None:
            return
        if self.path not in POSTS:
            self._error(404, f"unknown path {self.path:.100}; known: {', '.join(POSTS)}")
            return
        try:
            data = json.loads(body, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            self._error(400, f"the body is no JSON: {error}")
            return
        if not isinstance(data, dict):
            self._error(400, "the body must be a JSON object")
            return
        if not self.server.places.acquire(blocking=False):
            self._error(503, f"{MOST_AT_WORK} requests are being answered, try again", kind="server_error")
            return
        try:
            with self.server.warm.in_use():
                self.server.warm.count_request()
                self._reply(lambda: self.server.api.answer(self.path, data, self._is_gone))
        finally:
            self.server.places.release()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses: methods that are none of ours, and what is no HTTP."""
        self._error(code, message or explain or "")

    def _reply(self, answering: Callable[[], dict[str, Any] | Events]) -> None:
        """What the API says, or why it does not."""
        try:
            answer = answering()
        except BadRequest as error:
            self._error(400, error.message, error.field)
        except UnknownModel as error:
            self._error(404, error.message, "model", "model_not_found")
        except InputTooLong as error:
            field = "prompt" if self.path == "/v1/completions" else "messages"
            self._error(400, error.message, field, "context_length_exceeded")
        except (UsageError, InputError) as error:
            self._error(400, error.message)
        except EngineError as error:
            self._error(500, error.message, kind="server_error")
        except Exception as error:  # noqa: BLE001  (one request must not end the others)
            self._error(500, f"{type(error).__name__}: {error}", kind="server_error")
        else:
            if isinstance(answer, dict):
                self._json(200, answer)
            else:
                self._events(answer)

    def _refuse(self) -> bool:
        """Turn away who may not ask; True if that was done."""
        if not self.server.expects(self.headers.get("Host", "")):
            self._error(403, "the Host header names another machine")
        elif not self.server.knows(self.headers.get("Authorization", "")):
            self._error(401, "expected the header Authorization: Bearer TOKEN", code="invalid_api_key")
        else:
            return False
        return True

    def _has_body(self) -> bool:
        """Whether a body follows, which a GET may have: left unread, it would be the next request."""
        return "Content-Length" in self.headers or "Transfer-Encoding" in self.headers

    def _body(self) -> bytes | None:
        """The request's body; None if it was refused."""
        lengths = self.headers.get_all("Content-Length") or []
        digits = lengths[0].strip() if len(lengths) == 1 else ""
        if self.headers.get("Transfer-Encoding") or not (digits.isascii() and digits.isdigit()):
            self._error(411, "expected one Content-Length and no Transfer-Encoding")
            return None
        length = int(digits[:20])  # more of them are beyond the limit as well, and of what Python reads
        if length > LARGEST_BODY:
            self._error(413, f"the body has {length:,} bytes, at most {LARGEST_BODY:,} are taken")
            return None
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return None
        return body

    def _is_gone(self) -> bool:
        """Whether the client has hung up."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _json(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status >= 400:
            # What was refused may not have been read: what follows would not be a request.
            self.close_connection = True
            self.send_header("Connection", "close")
            if status == 401:
                self.send_header("WWW-Authenticate", "Bearer")
            if status == 503:
                self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(data)

    def _error(
        self, status: int, message: str, field: str = "", code: str = "", kind: str = "invalid_request_error"
    ) -> None:
        told = {"message": message, "type": kind, "param": field or None, "code": code or None}
        self._json(status, {"error": told})

    def _events(self, events: Iterator[dict[str, Any]]) -> None:
        """Server-sent events; a reader that hangs up ends the stream within a token."""
        self.close_connection = True
        with contextlib.closing(events):  # type: ignore[type-var]
            self.send_response(200)
            for name, value in (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")):
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for event in events:
                    if self._is_gone():
                        return
                    self._event(json.dumps(event, ensure_ascii=False))
            except EngineError as error:
                told = {"message": error.message, "type": "server_error", "param": None, "code": None}
                self._event(json.dumps({"error": told}, ensure_ascii=False))
                return
            self._event("[DONE]")

    def _event(self, data: str) -> None:
        self.wfile.write(b"data: " + data.encode("utf-8", "replace") + b"\n\n")
        self.wfile.flush()


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")
