"""The HTTP server as a program meets it: a real process, the public API, and nobody who should not be let in."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import numpy
import pytest
from cli_process import llm, told
from warm_server import home_like, serving, socket_in, wait_until

from engine.config import SamplingConfig
from engine.schema import Message
from engine.serving.http import LARGEST_BODY, MOST_AT_WORK
from engine.serving.warm import is_running
from tui.paths import places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.session import Session

HELLO = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Served:
    """A running server and what is needed to talk to it."""

    home: Path
    url: str
    token: str

    def post(self, path: str, body: Any, **settings: Any) -> httpx.Response:
        with self.client() as client:
            return client.post(path, content=json.dumps(body), **settings)  # ASCII: a body may hold half a character

    def chat(self, **fields: Any) -> httpx.Response:
        return self.post("/chat/completions", {"model": "tiny", "messages": HELLO, "max_tokens": 8} | fields)

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"} | headers, timeout=60, trust_env=False
        )

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port or 80


@pytest.fixture(scope="module")
def served(tiny_model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = home_like(tiny_model_home, tmp_path_factory.mktemp("http"))
    with serving(home, "--http", "--port", "0"):
        status = is_running(socket_in(home))
        assert status is not None
        token = places({"LOCAL_LLM_HOME": str(home)}).token_file.read_text().strip()
        yield Served(home, status["url"], token)


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def expected(session: Session, **sampling: Any) -> str:
    drawn = SamplingConfig(**({"temperature": 1.0, "max_tokens": 8} | sampling))
    return "".join(chunk.text for chunk in session.stream([Message("user", "hello")], drawn))


def test_it_lists_its_model(served: Served) -> None:
    with served.client() as client:
        [model] = client.get("/models").json()["data"]
        assert model["id"] == "tiny"
        assert client.get("/models/tiny").json() == client.get("/models/t%69ny").json() == model
        other = client.get("/models/other")
    assert other.status_code == 404
    assert error_of(other)["code"] == "model_not_found"


def test_a_chat_is_what_the_session_says(served: Served, tiny_session: Session) -> None:
    answer = served.chat(temperature=0).json()
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": expected(tiny_session, temperature=0.0)}
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["prompt_tokens"] == tiny_session.count_messages([Message("user", "hello")])
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8


def test_a_seed_repeats_and_a_stream_says_the_same(served: Served, tiny_session: Session) -> None:
    said = expected(tiny_session, seed=5, top_p=0.9, temperature=0.8)
    fields = {"seed": 5, "top_p": 0.9, "temperature": 0.8}
    assert served.chat(**fields).json()["choices"][0]["message"]["content"] == said
    streamed = served.chat(**fields, stream=True, stream_options={"include_usage": True})
    assert streamed.headers["content-type"] == "text/event-stream"
    found = events(streamed.text)
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(e["choices"][0]["delta"]["content"] for e in found if e["choices"]) == said
    assert [e["choices"][0]["finish_reason"] for e in found if e["choices"]][-1] == "length"
    assert found[-1]["usage"]["completion_tokens"] == 8


def test_a_stop_text_ends_the_answer_before_it(served: Served) -> None:
    whole = served.chat(temperature=0).json()["choices"][0]["message"]["content"]
    stop = whole[3:6]
    answer = served.chat(temperature=0, stop=stop).json()["choices"][0]
    assert answer["message"]["content"] == whole[: whole.index(stop)]
    assert answer["finish_reason"] == "stop"


def test_logprobs_are_those_of_the_tokens(served: Served, tiny_session: Session) -> None:
    answer = served.chat(temperature=0, logprobs=True).json()["choices"][0]
    drawn = list(tiny_session.stream([Message("user", "hello")], SamplingConfig(max_tokens=8)))
    assert [item["logprob"] for item in answer["logprobs"]["content"]] == [p for c in drawn for p in c.logprobs]
    first = served.chat(temperature=0, logprobs=True, top_logprobs=5, max_tokens=1).json()["choices"][0]
    (told_first,) = first["logprobs"]["content"]
    top = told_first["top_logprobs"]
    assert len(top) == 5
    assert top[0]["bytes"] == told_first["bytes"]
    assert top[0]["logprob"] == pytest.approx(told_first["logprob"], abs=1e-4)
    assert [item["logprob"] for item in top] == sorted((item["logprob"] for item in top), reverse=True)


def test_a_json_schema_is_kept(served: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 9}, "ok": {"type": "boolean"}},
        "required": ["age", "ok"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    answer = served.chat(response_format=wanted, max_tokens=100).json()["choices"][0]
    assert answer["finish_reason"] == "stop"
    jsonschema.validate(json.loads(answer["message"]["content"]), schema)


def test_completions_and_embeddings_are_the_sessions(served: Served, tiny_session: Session) -> None:
    answer = served.post("/completions", {"model": "tiny", "prompt": "once", "max_tokens": 6, "temperature": 0}).json()
    chunks = tiny_session.complete("once", SamplingConfig(max_tokens=6))
    assert answer["choices"][0]["text"] == "".join(chunk.text for chunk in chunks)
    texts = ["a cat", "一只猫"]
    found = served.post("/embeddings", {"model": "tiny", "input": texts}).json()
    assert [item["embedding"] for item in found["data"]] == tiny_session.embed(texts).tolist()
    assert found["usage"]["total_tokens"] == sum(map(tiny_session.count, texts))


def test_vectors_come_in_base64_to_whom_asks_for_it(served: Served) -> None:
    """As OpenAI's own client for Python does unless it is told."""
    request = {"model": "tiny", "input": ["one", "图书馆"]}
    plain = served.post("/embeddings", request).json()["data"]
    packed = served.post("/embeddings", request | {"encoding_format": "base64"}).json()["data"]
    for row, same in zip(packed, plain, strict=True):
        vector = numpy.frombuffer(base64.b64decode(row["embedding"]), "<f4")
        assert vector.tolist() == pytest.approx(same["embedding"], abs=1e-6)


def test_a_long_text_that_is_embedded_holds_up_nobody(served: Served, tiny_session: Session) -> None:
    text, found = "the harbour opens at six " * 60_000, []
    before = (is_running(socket_in(served.home)) or {})["requests"]
    thread = threading.Thread(target=lambda: found.append(served.post("/embeddings", {"model": "tiny", "input": text})))
    thread.start()
    wait_until(lambda: (is_running(socket_in(served.home)) or {})["requests"] > before)
    assert served.chat().status_code == 200
    assert not found, "whoever came meanwhile is answered first"
    thread.join(120)
    assert found[0].json()["data"][0]["embedding"] == tiny_session.embed([text])[0].tolist()


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("chat/completions", {"messages": []}, "messages"),
    ("chat/completions", {"messages": "hello"}, "messages"),
    ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
    ("chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]"),
    ("chat/completions", {"messages": [{"role": "user", "content": "x", "extra": 1}]}, "messages[0]"),
    ("chat/completions", {"temperature": "hot"}, "temperature"),
    ("chat/completions", {"temperature": -1}, "temperature"),
    ("chat/completions", {"temperature": True}, "temperature"),
    ("chat/completions", {"temperature": 10**400}, "temperature"),
    ("chat/completions", {"top_p": 0}, "top_p"),
    ("chat/completions", {"max_tokens": 0}, "max_tokens"),
    ("chat/completions", {"max_completion_tokens": 0}, "max_completion_tokens"),
    ("chat/completions", {"seed": -1}, "seed"),
    ("chat/completions", {"stop": [1]}, "stop"),
    ("chat/completions", {"stop": ""}, "stop"),
    ("chat/completions", {"stream": "yes"}, "stream"),
    ("chat/completions", {"n": 2}, "n"),
    ("chat/completions", {"n": True}, "n"),
    ("chat/completions", {"presence_penalty": False}, "presence_penalty"),
    ("chat/completions", {"tools": [{}]}, "tools"),
    ("chat/completions", {"colour": "red"}, "colour"),
    ("chat/completions", {"top_logprobs": 3}, "top_logprobs"),
    ("chat/completions", {"response_format": {"type": "xml"}}, "response_format"),
    ("chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "?"}}}},
     "response_format"),
    ("chat/completions", {"model": None}, "model"),
    ("chat/completions", {"messages": [{"role": ["user"], "content": "x"}]}, "messages[0]"),
    ("completions", {"prompt": "x", "logprobs": []}, "logprobs"),
    ("completions", {"prompt": "x", "logprobs": False}, "logprobs"),
    ("completions", {"prompt": "x\ud800"}, None),
    ("chat/completions", {"messages": [{"role": "user", "content": "\udfff"}]}, None),
    ("completions", {"prompt": ""}, "prompt"),
    ("completions", {"prompt": ["a", "b"]}, "prompt"),
    ("completions", {"prompt": "x", "echo": True}, "echo"),
    ("completions", {"prompt": "x", "echo": 0}, "echo"),
    ("embeddings", {"input": []}, "input"),
    ("embeddings", {"input": [1, 2]}, "input"),
    ("embeddings", {"input": "x", "encoding_format": "base16"}, "encoding_format"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "fields", "blamed"), WRONG, ids=[f"{p} {f}"[:50] for p, f, _ in WRONG])
def test_a_wrong_field_is_refused_by_name(
    served: Served, path: str, fields: dict[str, Any], blamed: str | None
) -> None:
    usual = {"model": "tiny"} | ({"messages": HELLO} if path == "chat/completions" else {})
    response = served.post(f"/{path}", usual | fields)
    assert response.status_code == 400
    assert error_of(response)["param"] == blamed


def test_what_is_too_long_or_another_model_is_told(served: Served) -> None:
    long = served.chat(messages=[{"role": "user", "content": "x " * 20_000}], stream=True)
    assert long.status_code == 400
    assert (error_of(long)["code"], error_of(long)["param"]) == ("context_length_exceeded", "messages")
    long = served.post("/completions", {"model": "tiny", "prompt": "x " * 20_000})
    assert (error_of(long)["code"], error_of(long)["param"]) == ("context_length_exceeded", "prompt")
    other = served.chat(model="gpt-x")
    assert other.status_code == 404
    assert error_of(other)["code"] == "model_not_found"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic {token}", "bearer {token}", "Bearer {token}x"])
def test_nobody_gets_in_without_the_token(served: Served, header: str) -> None:
    for path in ("/models", "/nothing"):
        with httpx.Client(base_url=served.url, trust_env=False) as client:
            response = client.get(path, headers={"Authorization": header.format(token=served.token)})
        assert response.status_code == 401
        assert "tiny" not in response.text


def test_every_event_of_a_streamed_completion_has_a_choice(served: Served) -> None:
    """Clients take the first of each: only the counts at the end, where they are asked for, have none."""
    fields = {"model": "tiny", "prompt": "once", "max_tokens": 6, "temperature": 0, "stream": True}
    whole = served.post("/completions", fields | {"stream": False}).json()["choices"][0]["text"]
    *found, counts = events(served.post("/completions", fields | {"stream_options": {"include_usage": True}}).text)
    assert "".join(event["choices"][0]["text"] for event in found) == whole
    assert (counts["choices"], counts["usage"]["completion_tokens"]) == ([], 6)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil.example:1"]
)
def test_a_host_that_is_not_this_machine_is_turned_away(served: Served, host: str) -> None:
    with served.client(Host=host) as client:
        response = client.get("/models")
    assert response.status_code == 403
    for good in ("localhost", "127.0.0.1:99", "[::1]:8757"):
        with served.client(Host=good) as client:
            assert client.get("/models").status_code == 200


def raw(served: Served, data: bytes) -> bytes:
    with socket.create_connection(served.address, timeout=20) as connection:
        connection.sendall(data)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_bodies_have_limits_and_one_length(served: Served) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n".encode()
    assert b" 413 " in raw(served, head + b"Content-Length: 99999999999\r\n\r\n")
    assert b" 411 " in raw(served, head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert b" 411 " in raw(served, head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
    assert b" 411 " in raw(served, head + b"Content-Length: -2\r\n\r\n{}")
    assert b" 411 " in raw(served, head + b"Content-Length: \xb2\r\n\r\n{}")
    assert b" 413 " in raw(served, head + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}")
    for body in (b"{", b"[1]", b"\xff", b'{"a": NaN}', b"[" * 100_000):
        assert b" 400 " in raw(served, head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def test_who_sends_too_much_hears_why(served: Served) -> None:
    """Not only that the connection broke, which clients take for a fault of the line and try again."""
    for token, status in ((served.token, 413), ("nobody", 401)):
        connection = http.client.HTTPConnection(*served.address, timeout=20)
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("POST", "/v1/embeddings", b"x" * (LARGEST_BODY + 1), headers)
        assert connection.getresponse().status == status
        connection.close()


def test_a_body_that_a_get_brings_is_not_the_next_request(served: Served) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n".encode()
    last = head + b"Connection: close\r\n\r\n"
    answered = raw(served, head + b"Content-Length: 11\r\n\r\nhello\r\n\r\nxx" + last)
    assert answered.count(b"HTTP/1.1 200 ") == 2
    assert answered.count(b"HTTP/1.1 ") == 2
    assert b" 411 " in raw(served, head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + last)


def test_other_paths_and_methods_are_told(served: Served) -> None:
    with served.client() as client:
        assert client.get("/chat/completions").status_code == 405
        assert client.get("/nothing").status_code == 404
        assert client.post("/nothing", json={}).status_code == 404
        other = client.put("/models")
        assert other.status_code in {405, 501}
        assert "PUT" in error_of(other)["message"]
    assert b'{"error": ' in raw(served, b"GET / HTTP/7\r\n\r\n")


def test_who_only_keeps_a_connection_takes_no_place_and_too_many_at_work_are_told(served: Served) -> None:
    body = json.dumps({"model": "tiny", "messages": HELLO, "max_tokens": 300, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n".encode()
    request = head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with contextlib.ExitStack() as ends:
        for _ in range(MOST_AT_WORK + 1):
            ends.enter_context(socket.create_connection(served.address, timeout=60))
        at_work = [ends.enter_context(socket.create_connection(served.address, timeout=60)) for _ in range(60)]
        for connection in at_work:
            connection.sendall(request)
        began = [connection.recv(4096) for connection in at_work]
    statuses = [answer.split(b" ", 2)[1] for answer in began]
    assert set(statuses) == {b"200", b"503"}
    assert statuses.count(b"200") >= MOST_AT_WORK
    assert all(b"Retry-After: " in answer for answer in began if b" 503 " in answer)
    wait_until(lambda: (is_running(socket_in(served.home)) or {})["clients"] == 0, 10)


def test_a_reader_that_hangs_up_stops_the_model(served: Served) -> None:
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 1900, "stream": True}
    with served.client() as client, client.stream("POST", "/chat/completions", json=body) as response:
        next(response.iter_lines())
    wait_until(lambda: (is_running(socket_in(served.home)) or {})["clients"] == 0, 5)
    body["stream"] = False
    with served.client() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/chat/completions", json=body, timeout=httpx.Timeout(10, read=0.02))
    wait_until(lambda: (is_running(socket_in(served.home)) or {})["clients"] == 0, 5)


def test_streams_of_several_clients_say_what_each_says_alone_and_one_may_hang_up(
    served: Served, tiny_session: Session
) -> None:
    texts = [f"question {number} " * (1 + 20 * number) for number in range(5)]
    greedy = SamplingConfig(max_tokens=60)
    said = ["".join(chunk.text for chunk in tiny_session.stream([Message("user", text)], greedy)) for text in texts]
    got: dict[int, str] = {}

    def ask(number: int) -> None:
        messages = [{"role": "user", "content": texts[number]}]
        answer = served.chat(messages=messages, temperature=0, max_tokens=60, stream=True)
        got[number] = "".join(event["choices"][0]["delta"]["content"] for event in events(answer.text))

    def leave() -> None:
        body = {"model": "tiny", "messages": HELLO, "max_tokens": 1900, "stream": True}
        with served.client() as client, client.stream("POST", "/chat/completions", json=body) as response:
            for _ in zip(range(9), response.iter_lines(), strict=False):
                pass

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)] + [threading.Thread(target=leave)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [got[number] for number in range(5)] == said
    wait_until(lambda: (is_running(socket_in(served.home)) or {})["clients"] == 0, 5)


def test_clients_of_both_kinds_get_their_own_answers_at_once(served: Served, tiny_session: Session) -> None:
    said = {seed: expected(tiny_session, seed=seed, max_tokens=30) for seed in range(4)}
    got: dict[int, str] = {}

    def ask(seed: int) -> None:
        answer = served.chat(seed=seed, max_tokens=30, stream=bool(seed % 2))
        if seed % 2:
            got[seed] = "".join(e["choices"][0]["delta"]["content"] for e in events(answer.text))
        else:
            got[seed] = answer.json()["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in said]
    for thread in threads:
        thread.start()
    assert llm(served.home, "ask", "hello", "--max-tokens", "5").returncode == 0
    for thread in threads:
        thread.join(60)
    assert got == said


def test_the_token_file_is_private_and_its_token_stays(served: Served) -> None:
    path = places({"LOCAL_LLM_HOME": str(served.home)}).token_file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(served.token) >= 32


def test_a_token_that_others_can_read_is_not_used(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    path = places({"LOCAL_LLM_HOME": str(home)}).token_file
    path.parent.mkdir(mode=0o700)
    path.write_text("t" * 40)
    os.chmod(path, 0o644)
    done = llm(home, "serve", "--http", "--port", "0")
    assert done.returncode == 1
    assert "can be read by others" in done.stderr.decode()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--http", "--host", "0.0.0.0"], "reached by other machines"),
        (["--http", "--host", "192.168.1.5"], "reached by other machines"),
        (["--http", "--host", "::"], "reached by other machines"),
        (["--http", "--host", "example.org"], "expects an IP address"),
        (["--expose"], "belong to --http"),
        (["--port", "1"], "belong to --http"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_listens_beyond_this_machine_only_where_that_is_said(tmp_path: Path, flags: list[str], reason: str) -> None:
    done = llm(tmp_path, "serve", *flags)
    assert done.returncode == 2
    assert reason in told(done)[0]


def test_a_taken_port_is_told(served: Served, tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    port = str(served.address[1])
    for where in ((), ("--background",)):
        done = llm(home, "serve", "--http", "--port", port, *where)
        assert done.returncode == 1, "the command line was right"
        assert f"127.0.0.1 port {port}: " in told(done)[0]
        assert told(done)[0].count("llm: ") == 1
        assert "--port 0" in told(done)[-1]
    done = llm(home, "serve", "--http", "--port", "0", "--host", "192.0.2.1", "--expose")  # kept for documentation
    assert "--host an address of this machine" in told(done)[-1]
    weights = home / "models" / "tiny" / "model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))
    done = llm(home, "serve", "--http", "--port", port)
    assert f"port {port}: " in told(done)[0], "which is told before the weights are looked at"
    assert isinstance(served.token, str)


def test_a_server_of_both_kinds_ends_whole(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    with serving(home, "--http", "--port", "0") as process:
        url = (is_running(socket_in(home)) or {})["url"]
        process.terminate()
        assert process.wait(20) == 143
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
