"""Requests to a server of the OpenAI-compatible API, and what went wrong with them in words."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, InputError, InputTooLong

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CONNECT_SECONDS, SILENT_SECONDS = 10.0, 300.0
LARGEST_LINE = 4 * 2**20
"""Characters of a stream's event, above which the server is not believed."""
ADDRESS = "check the address, which mostly ends in /v1, and the model's name"


class EndpointError(EngineError):
    """The server can't be reached, or what it says is not the API."""


class BrokenOff(EndpointError):
    """The server ended an answer in the middle."""


class Api:
    """One server, spoken to with a key."""

    def __init__(self, url: str, key: str) -> None:
        import httpx

        address = httpx.URL(url)
        self.host, self._url = address.netloc.decode(), url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        local = address.host in {"localhost", "127.0.0.1", "::1"}
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/",
            headers=headers,
            timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not local,  # a proxy must not see what stays on this machine
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def models(self) -> dict[str, dict[str, Any]]:
        """The server's models by name."""
        data = self._sent("GET", "models")
        try:
            return {str(model["id"]): model for model in data["data"]}
        except (KeyError, TypeError) as error:
            raise EndpointError(f"{self._url} does not list models as the API says", hint=ADDRESS) from error

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        return self._sent("POST", path, body)

    def _sent(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with self._told():
            response = self._client.request(method, path, json=body)
            if response.status_code != 200:
                raise refusal(response.status_code, response.text, f"{self._url}/{path}")
            data = response.json()
        if not isinstance(data, dict):
            raise EndpointError(f"{self._url}/{path} answered with no JSON object", hint=ADDRESS)
        return data

    def events(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The events of a streamed answer."""
        with self._told(), self._client.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                response.read()
                raise refusal(response.status_code, response.text, f"{self._url}/{path}")
            for line in response.iter_lines():
                if len(line) > LARGEST_LINE:
                    raise EndpointError("the server sent an event that is too long")
                name, _, data = line.partition(":")
                if name != "data":
                    continue
                if data.strip() == "[DONE]":
                    return
                event = json.loads(data)
                if not isinstance(event, dict):
                    raise EndpointError("the server sent an event that is no JSON object")
                if event.get("error"):
                    raise refusal(500, data, f"{self._url}/{path}")
                yield event

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.TimeoutException as error:
            raise EndpointError(f"{self._url} did not answer in time") from error
        except httpx.HTTPError as error:
            raise EndpointError(f"{self._url} can't be reached: {error}", hint="does the server run there?") from error
        except UnicodeEncodeError as error:
            half = ord(error.object[error.start])
            raise InputError(
                f"the text holds half a surrogate pair (U+{half:04X})", hint="Save the text as UTF-8 and try again."
            ) from error
        except ValueError as error:
            raise EndpointError(f"{self._url} answered with no JSON: {error}", hint=ADDRESS) from error


def refusal(status: int, text: str, where: str) -> EngineError:
    """What a server's error says, as one of ours."""
    message, code = text.strip(), ""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        error = json.loads(text)
        error = error.get("error", error)
        message = str(error.get("message") or error.get("detail") or message) if isinstance(error, dict) else str(error)
        code = str(error.get("code")) if isinstance(error, dict) else ""
    message = " ".join(message.split())[:300] or "no reason given"
    if status in {401, 403}:
        return EndpointError(f"{where}: {message}", hint="the key goes into LOCAL_LLM_API_KEY or api_key_file")
    if code == "context_length_exceeded" or ("context" in message and "exceed" in message):
        return InputTooLong(f"the server says: {message}", hint="Shorten the input.")
    hint = ADDRESS if status in {301, 302, 303, 307, 308, 404, 405} else ""
    return EndpointError(f"{where} answered {status}: {message}", hint=hint)
