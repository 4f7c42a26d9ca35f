"""`--endpoint`: the commands against a real server of the API, which is our own; what it can't do is said."""

from __future__ import annotations

import inspect
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import numpy
import pytest
from cli_process import llm, told
from test_import_hygiene import loaded_by
from warm_server import home_like, serving, socket_in

from engine.config import SamplingConfig
from engine.endpoint import EndpointSession
from engine.endpoint_api import EndpointError
from engine.endpoint_fields import chances
from engine.errors import InputError, InputTooLong, ModelNotFound, OutputError, UsageError
from engine.generation import Generation
from engine.schema import Message
from engine.serving.warm import is_running
from engine.structure import compile_schema
from tui.paths import places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from engine.session import Session


@dataclass(frozen=True)
class Served:
    url: str
    token: str
    client: Path
    """A home without any model."""

    def run(self, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Any:
        given = {"stdin": stdin} if stdin is not None else {}
        key = {"LOCAL_LLM_API_KEY": self.token} if env is None else env
        return llm(self.client, *arguments, "--endpoint", self.url, env=key, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(tiny_model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = home_like(tiny_model_home, tmp_path_factory.mktemp("endpoint"))
    with serving(home, "--http", "--port", "0"):
        url = (is_running(socket_in(home)) or {})["url"]
        token = places({"LOCAL_LLM_HOME": str(home)}).token_file.read_text().strip()
        yield Served(url, token, tmp_path_factory.mktemp("client"))


@pytest.fixture
def remote(served: Served) -> Iterator[EndpointSession]:
    session = EndpointSession(served.url, served.token, "")
    yield session
    session.close()


def hello(text: str = "hello") -> list[Message]:
    return [Message("user", text)]


def test_it_has_the_surface_of_a_session() -> None:
    from engine import session

    def methods(of: type) -> dict[str, inspect.Signature]:
        found = inspect.getmembers(of, inspect.isfunction)
        return {name: inspect.signature(method) for name, method in found if not name.startswith("_")}

    ours, theirs = methods(EndpointSession), methods(session.Session)
    assert ours == {name: theirs[name] for name in ours}
    assert theirs.keys() - ours.keys() == {"embedding", "glance", "glance_many", "rows", "token_bytes"}


def test_it_says_what_the_model_says(remote: EndpointSession, tiny_session: Session) -> None:
    sampling = SamplingConfig(max_tokens=12, temperature=0.7, top_p=0.9, seed=4)
    ours, theirs = (list(session.stream(hello(), sampling)) for session in (remote, tiny_session))
    assert "".join(chunk.text for chunk in ours) == "".join(chunk.text for chunk in theirs)
    assert ours[-1].finish_reason == theirs[-1].finish_reason
    assert (ours[-1].prompt_tokens, ours[-1].output_tokens) == (theirs[-1].prompt_tokens, theirs[-1].output_tokens)
    completed = ["".join(chunk.text for chunk in s.complete("once", sampling)) for s in (remote, tiny_session)]
    assert completed[0] == completed[1]
    numpy.testing.assert_allclose(remote.embed(["a cat", "猫"]), tiny_session.embed(["a cat", "猫"]), atol=1e-6)
    assert remote.name == "tiny"


def test_labels_are_scored_by_the_first_token(remote: EndpointSession, tiny_session: Session) -> None:
    reply = tiny_session.stream(hello(), SamplingConfig(max_tokens=1))
    assert isinstance(reply, Generation)
    list(reply)
    (first, _), (second, _) = reply.likeliest(2)
    labels = [tiny_session.token_bytes(id_).decode("utf-8", "replace").strip() for id_ in (first, second)]
    (rows,) = remote.score_many([hello()], labels)
    expected = [probability for _, probability in reply.likeliest(2)]
    assert not isinstance(rows, InputTooLong)
    assert [row[0] for row in rows] == pytest.approx(expected, abs=0.05)


def test_labels_that_begin_alike_are_refused_only_where_that_matters() -> None:
    top = [(" pos", -0.1), ("neg", -3.0), ("n", -5.0)]
    assert chances(top, ["positive", "negative"]) == pytest.approx([-0.1, -2.873], abs=0.01)
    assert chances(top, ["other", "negative"])[0] == -5.0
    with pytest.raises(UsageError, match="begin alike"):
        chances([("sp", -0.5)], ["sport", "spam"])


def test_many_at_once_come_in_order_and_each_as_alone(remote: EndpointSession, tiny_session: Session) -> None:
    sampling = SamplingConfig(max_tokens=9)
    texts = ["a", "b", "x " * 20_000, "c"]
    found = list(remote.stream_many((hello(text) for text in texts), sampling, together=2))
    assert [index for index, _ in found] == [0, 1, 2, 3]
    for (_, chunk), text in zip(found, texts, strict=True):
        if len(text) > 1:
            assert isinstance(chunk, InputTooLong)
        else:
            alone = "".join(c.text for c in tiny_session.stream(hello(text), sampling))
            assert not isinstance(chunk, InputTooLong)
            assert chunk.text == alone


def test_a_schema_is_kept_and_checked_here_too(remote: EndpointSession) -> None:
    grammar = compile_schema(
        {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["age"]}
    )
    text = "".join(chunk.text for chunk in remote.stream(hello(), SamplingConfig(max_tokens=80), grammar=grammar))
    assert grammar.fits(text)


def test_it_ends_where_the_caller_has_enough(remote: EndpointSession) -> None:
    heard: list[str] = []

    def enough(text: str) -> bool:
        heard.append(text)
        return len(heard) == 3

    chunks = list(remote.stream(hello(), SamplingConfig(max_tokens=50), enough=enough))
    assert len(heard) == 3
    assert "".join(chunk.text for chunk in chunks) == heard[-1]


def test_what_the_api_has_not_is_refused(remote: EndpointSession) -> None:
    with pytest.raises(UsageError, match="go on"):
        remote.stream(hello(), SamplingConfig(), continue_last=True)
    with pytest.raises(UsageError, match="score"):
        remote.score(hello(), ["a"])
    with pytest.raises(InputTooLong, match="the server says"):
        remote.stream(hello("x " * 20_000), SamplingConfig())


COMMANDS: list[tuple[list[str], bytes | None]] = [
    (["ask", "hello", "--max-tokens", "6", "--json"], None),
    (["ask", "who?", "--schema", "age int 0..9", "--max-tokens", "60"], b"Anna is 3"),
    (["ask", "who?", "--max-tokens", "6"], b"Anna is 3"),
    (["complete", "once upon", "--max-tokens", "6"], None),
    (["summarize", "--length", "short", "-"], b"The harbour opens at six. " * 30),
    (["translate", "-"], b"The harbour opens at six.\n"),
    (["batch", "Say: {text}", "--in", "lines", "--max-tokens", "6", "-"], b"one\ntwo\n"),
    (["sentiment", "I loved it", "--json"], None),
    (["embed", "a cat"], None),
    (["chat", "--max-tokens", "6"], b"hello\n"),
]


@pytest.mark.parametrize(
    ("arguments", "stdin"), COMMANDS, ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_commands_run_without_a_model_here(served: Served, arguments: list[str], stdin: bytes | None) -> None:
    done = served.run(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_files_are_indexed_and_found_by_meaning(served: Served, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The harbour opens at six.\n\n" * 3)
    assert served.run("index", "add", str(note)).returncode == 0
    found = served.run("search", "harbour", "--meaning", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["model"] == "tiny"


@pytest.mark.parametrize(
    "arguments",
    [["tokens", "hello"], ["models", "default"], ["models", "show", "--json"], ["doctor", "--threads", "1"]],
)
def test_what_is_about_a_model_of_this_machine_asks_no_endpoint(tiny_model_home: Path, arguments: list[str]) -> None:
    nowhere = {"LOCAL_LLM_ENDPOINT": "http://127.0.0.1:9/v1"}
    done, plain = (llm(tiny_model_home, *arguments, env=env, timeout=120) for env in (nowhere, {}))
    assert (done.returncode, plain.returncode) == (0, 0), done.stderr
    assert done.stdout == plain.stdout or arguments[0] == "doctor"  # which says how long it took


def test_an_adapter_is_trained_over_a_model_of_this_machine(served: Served, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "response": "b"}\n' * 30)
    out = ("--out", str(tmp_path / "mine.safetensors"))
    done = llm(served.client, "finetune", str(tmp_path / "rows.jsonl"), *out, env={"LOCAL_LLM_ENDPOINT": served.url})
    assert (done.returncode, "no model is installed" in told(done)[0]) == (3, True)


def test_an_endpoint_loads_no_torch(served: Served) -> None:
    asked = ("ask", "hello", "--max-tokens", "4", "--endpoint", served.url)
    code, modules = loaded_by(served.client, *asked, LOCAL_LLM_API_KEY=served.token)
    assert code == 0
    assert modules.isdisjoint({"torch", "numpy", "sentencepiece"})


def test_the_key_comes_from_a_private_file_or_the_environment_and_is_never_shown(
    served: Served, tmp_path: Path
) -> None:
    refused = served.run("ask", "hello", env={})
    assert refused.returncode == 1
    assert "LOCAL_LLM_API_KEY" in refused.stderr.decode()
    key = tmp_path / "key"
    key.write_text(served.token + "\n")
    key.chmod(0o600)
    env = {"LOCAL_LLM_API_KEY_FILE": str(key)}
    assert served.run("ask", "hello", "--max-tokens", "4", env=env).returncode == 0
    key.chmod(0o644)
    open_to_all = served.run("ask", "hello", env=env)
    assert open_to_all.returncode == 1
    assert "can be read by others" in open_to_all.stderr.decode()
    wrong = served.run("ask", "hello", "--debug", "-v", env={"LOCAL_LLM_API_KEY": "wrong-and-secret"})
    assert wrong.returncode == 1
    assert b"wrong-and-secret" not in wrong.stderr + wrong.stdout


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        (["--top-k", "5"], 2, "--top-k is not in the API"),
        (["--threads", "2"], 2, "about this machine"),
        (["-m", "gpt-x"], 3, "has no model gpt-x"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_flags_that_it_can_not_honour_are_refused(served: Served, flags: list[str], code: int, reason: str) -> None:
    done = served.run("ask", "hello", *flags)
    assert done.returncode == code
    assert reason in told(done)[0]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/v1", "localhost:80", "http://", "http://my host/v1", "http://user:key@localhost/v1",
        "http://localhost/v1?key=x",
    ],
)  # fmt: skip
def test_a_url_that_is_none_or_holds_a_key_is_refused(tmp_path: Path, url: str) -> None:
    assert llm(tmp_path, "ask", "hello", "--endpoint", url).returncode == 2


def test_a_projects_file_can_not_send_texts_away(served: Served, tmp_path: Path) -> None:
    (tmp_path / ".local-llm.toml").write_text(f'endpoint = "{served.url}"\n')
    done = llm(served.client, "ask", "hello", cwd=tmp_path)
    assert done.returncode == 2
    assert "can't be set for a project" in told(done)[0]


def test_nobody_at_the_other_end_is_told_in_two_lines(tmp_path: Path) -> None:
    done = llm(tmp_path, "ask", "hello", "--endpoint", "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert "can't be reached" in told(done)[0]
    assert len(told(done)) <= 3


@pytest.mark.parametrize(
    "answer", [(404, b"404 page not found"), (302, b""), (200, b"<html>hello</html>"), (200, b"[]")], ids=str
)
def test_an_address_that_is_not_the_apis_is_told_with_what_one_looks_like(
    odd: EndpointSession, answer: tuple[int, bytes]
) -> None:
    Odd.answers["models"] = Odd.answers["embeddings"] = answer
    with pytest.raises(EndpointError) as caught:
        odd.embed(["x"])
    assert "/v1" in caught.value.hint


class Odd(BaseHTTPRequestHandler):
    """A server that answers as it is told, as some servers do."""

    answers: ClassVar[dict[str, Any]] = {}

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.answers[self.path.removeprefix("/v1/")]
        status, data = answer(json.loads(body)) if callable(answer) else answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def odd() -> Iterator[EndpointSession]:
    Odd.answers = {"models": (200, b'{"data": [{"id": "m", "max_model_len": 777}]}')}
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        session = EndpointSession(f"http://127.0.0.1:{server.server_port}/v1", "", "")
        yield session
        session.close()
        server.shutdown()
        thread.join()


def test_other_servers_faults_are_told_apart(odd: EndpointSession) -> None:
    assert odd.context == 777
    data = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    Odd.answers["chat/completions"] = (200, data)
    with pytest.raises(EndpointError, match="broke off"):
        list(odd.stream(hello(), SamplingConfig()))
    Odd.answers["chat/completions"] = (200, b'data: {"error": {"message": "out of memory"}}\n\n')
    with pytest.raises(EndpointError, match="out of memory"):
        odd.stream(hello(), SamplingConfig())
    Odd.answers["chat/completions"] = (503, b'{"status": "loading"}')
    with pytest.raises(EndpointError, match=r'answered 503: {"status": "loading"}'):
        odd.stream(hello(), SamplingConfig())
    Odd.answers["chat/completions"] = (200, b"data: {\n\n")
    with pytest.raises(EndpointError, match="no JSON"):
        odd.stream(hello(), SamplingConfig())
    Odd.answers["chat/completions"] = (200, b'{"choices": [{"message": {"content": "x"}}]}')
    with pytest.raises(UsageError, match="log-probabilities"):
        list(odd.score_many([hello()], ["a", "b"]))
    Odd.answers["embeddings"] = (200, b'{"data": []}')
    with pytest.raises(EndpointError, match="embeddings"):
        odd.embed(["x"])


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [None]}, {"choices": {}}, {"choices": [[]]}, {"choices": [{"delta": ["x"]}]},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "x"}]}}]}, {"usage": "none", "choices": None},
    ],
)  # fmt: skip
def test_an_event_of_an_odd_form_adds_nothing(odd: EndpointSession, event: dict[str, Any]) -> None:
    Odd.answers["chat/completions"] = (200, b"data: " + json.dumps(event).encode() + b"\n\n" + said("hello"))
    *pieces, last = odd.stream(hello(), SamplingConfig())
    assert ([piece.text for piece in pieces], last.finish_reason) == (["hello"], "stop")


def test_half_a_character_is_refused_as_a_session_refuses_it(odd: EndpointSession) -> None:
    with pytest.raises(InputError, match=r"half a surrogate pair \(U\+DCFF\)"):
        odd.stream(hello("a \udcff"), SamplingConfig())


def test_a_server_that_ignores_schemas_is_found_out(odd: EndpointSession) -> None:
    grammar = compile_schema({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})

    def say(text: str) -> None:
        Odd.answers["chat/completions"] = (200, said(text))

    say('{"a":1}')
    assert "".join(c.text for c in odd.stream(hello(), SamplingConfig(), grammar=grammar)) == '{"a": 1}'
    for wrong in ("Sure! Here it is", '{"b": 1}'):
        say(wrong)
        with pytest.raises(OutputError):
            list(odd.stream(hello(), SamplingConfig(), grammar=grammar))
        many = dict(odd.stream_many([hello("a"), hello("b")], SamplingConfig(), grammar=grammar))
        assert [type(many[number]) for number in (0, 1)] == [OutputError, OutputError]


def test_a_server_that_knows_the_older_form_of_schemas_is_asked_in_it(odd: EndpointSession) -> None:
    grammar = compile_schema({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        if body["response_format"]["type"] == "json_schema":
            return 500, b'{"error": {"message": "response_format: expected json_object, got json_schema"}}'
        assert body["response_format"]["schema"] == grammar.schema
        return 200, said('{"a": 1}')

    Odd.answers["chat/completions"] = answer
    assert "".join(c.text for c in odd.stream(hello(), SamplingConfig(), grammar=grammar)) == '{"a": 1}'


def test_a_server_that_breaks_answers_off_is_asked_one_by_one(odd: EndpointSession) -> None:
    times: dict[str, int] = {}

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        text = body["messages"][0]["content"]
        times[text] = times.get(text, 0) + 1
        return 200, said(text.upper()) if times[text] == 2 else b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'

    Odd.answers["chat/completions"] = answer
    found = list(odd.stream_many([hello("a"), hello("b")], SamplingConfig()))
    assert [(index, chunk.text) for index, chunk in found if not isinstance(chunk, InputTooLong)] == [
        (0, "A"),
        (1, "B"),
    ]


def test_who_has_enough_of_many_does_not_wait_for_the_others(odd: EndpointSession) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        if body["messages"][0]["content"] == "b":
            asked.set()
            release.wait(20)
        return 200, said("x")

    Odd.answers["chat/completions"] = answer
    many = odd.stream_many([hello("a"), hello("b")], SamplingConfig())
    assert next(many)[0] == 0
    assert asked.wait(20)
    begun = time.monotonic()
    many.close()
    assert time.monotonic() - begun < 10
    release.set()


def test_reading_is_timed_from_the_request_to_the_first_piece(odd: EndpointSession) -> None:
    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(0.2)
        return 200, said("x")

    Odd.answers["chat/completions"] = answer
    *_, last = odd.stream(hello(), SamplingConfig())
    assert last.prefill_seconds >= 0.2


def said(text: str) -> bytes:
    event = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}
    return b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n"


def test_a_server_of_several_models_wants_a_name(odd: EndpointSession) -> None:
    Odd.answers["models"] = (200, b'{"data": [{"id": "m"}, {"id": "n"}]}')
    with pytest.raises(ModelNotFound, match="2 models"):
        EndpointSession(odd._api._url, "", "")
    assert EndpointSession(odd._api._url, "", "n").name == "n"
