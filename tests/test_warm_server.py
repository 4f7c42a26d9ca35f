"""The warm server as a user meets it: real processes, the same answers, one user's alone."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import toy_checkpoints
from cli_process import COMMAND, environment, llm
from interrupts import interrupted
from test_import_hygiene import loaded_by
from warm_server import KEPT, hello, home_like, opened, serving, socket_in, wait_until

from engine.config import SamplingConfig
from engine.errors import EngineError, InputTooLong
from engine.library import Library
from engine.serving import wire
from engine.serving.client import MOST_OPEN
from engine.serving.remote import RemoteSession
from engine.serving.warm import Terms, is_running
from engine.serving.wire import Wire, WireError
from engine.structure import compile_schema
from engine.tasks.classify import fit_each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.schema import Message
    from engine.session import Session

pytestmark = pytest.mark.skipif(not wire.available(), reason="no unix sockets here")


@pytest.fixture(scope="module")
def home(tiny_model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return home_like(tiny_model_home, tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with serving(home, "--threads", "1") as process:
        yield process


@pytest.fixture
def warm(home: Path, server: subprocess.Popen[bytes]) -> Iterator[RemoteSession]:
    found = opened(home)
    assert isinstance(found, RemoteSession), found
    yield found
    found.close()


def test_it_has_the_surface_of_a_session() -> None:
    from engine.session import Session

    def methods(of: type) -> dict[str, inspect.Signature]:
        found = inspect.getmembers(of, inspect.isfunction)
        return {name: inspect.signature(method) for name, method in found if not name.startswith("_")}

    ours, theirs = methods(RemoteSession), methods(Session)
    assert ours == {name: theirs[name] for name in ours}
    assert theirs.keys() - ours.keys() == {"embedding", "glance", "rows", "token_bytes"}


def test_every_call_gives_what_a_session_gives(warm: RemoteSession, tiny_session: Session) -> None:
    text, messages = "the harbour opens at six\n港口六点开门 \udcff", hello()
    ours = (warm.name, warm.context, warm.device, warm.kernel, warm.identity, warm.is_chat)
    assert ours == (
        tiny_session.name, tiny_session.context, tiny_session.device,
        tiny_session.kernel, tiny_session.identity, tiny_session.is_chat,
    )  # fmt: skip
    text = text.removesuffix("\udcff")
    assert warm.count(text) == tiny_session.count(text)
    assert warm.pieces(text) == tiny_session.pieces(text)
    assert warm.count_messages(messages) == tiny_session.count_messages(messages)
    assert warm.prompt_text(messages) == tiny_session.prompt_text(messages)
    assert warm.score(messages, ["yes", "no thanks"]) == tiny_session.score(messages, ["yes", "no thanks"])
    ids = [id_ for id_, _, _ in warm.pieces("once upon")]
    assert warm.score_ids(ids, [[5, 6], [7]]) == tiny_session.score_ids(ids, [[5, 6], [7]])
    assert (warm.embed([text, "a cat"]) == tiny_session.embed([text, "a cat"])).all()
    assert warm.next_tokens(messages, 4) == tiny_session.next_tokens(messages, 4)
    asked = [hello("one"), hello("two"), hello("x" * 20_000)]
    for ours, theirs in zip(
        warm.score_many(asked, ["a", "b"]), tiny_session.score_many(asked, ["a", "b"]), strict=True
    ):
        if isinstance(theirs, InputTooLong):
            assert isinstance(ours, InputTooLong)
            assert (ours.message, ours.hint) == (theirs.message, theirs.hint)
        else:
            assert ours == theirs


def said(session: Session | RemoteSession, **how: object) -> list[tuple[str, tuple[int, ...], object]]:
    sampling = SamplingConfig(max_tokens=40, temperature=0.8, seed=3)
    chunks = session.stream(hello(), sampling, **how)  # type: ignore[arg-type]
    return [(chunk.text, chunk.ids, chunk.finish_reason) for chunk in chunks if chunk.ids]


def test_streams_are_the_same(warm: RemoteSession, tiny_session: Session) -> None:
    assert said(warm) == said(tiny_session)
    grammar = compile_schema({"type": "object", "properties": {"age": {"type": "integer", "maximum": 9}}})
    assert said(warm, grammar=grammar) == said(tiny_session, grammar=grammar)
    heard: list[str] = []

    def enough(text: str) -> bool:
        heard.append(text)
        return len(heard) == 5

    ours = said(warm, enough=enough)
    mine, heard = heard, []
    assert ours == said(tiny_session, enough=enough)
    assert mine == heard
    sampling = SamplingConfig(max_tokens=12, temperature=0.8, seed=5)
    ids = [chunk.ids for chunk in warm.complete("once upon", sampling)]
    assert ids == [chunk.ids for chunk in tiny_session.complete("once upon", sampling)]


def test_many_streams_are_the_same_and_conversations_are_taken_as_rows_are_free(
    warm: RemoteSession, tiny_session: Session
) -> None:
    def run(session: Session | RemoteSession) -> list[object]:
        asked = (hello(text) for text in ("a", "b", "x" * 20_000, "c", "d"))
        found = session.stream_many(asked, SamplingConfig(max_tokens=9, temperature=1, seed=1), together=2)
        return [
            (index, str(chunk) if isinstance(chunk, EngineError) else (chunk.text, chunk.ids, chunk.finish_reason))
            for index, chunk in found
        ]

    assert run(warm) == run(tiny_session)


def test_a_conversation_may_be_made_of_the_reply_to_another(warm: RemoteSession, tiny_session: Session) -> None:
    """The server asks for it in the middle of a step: a reply that waited for that step's end would wait for ever."""

    def run(session: Session | RemoteSession) -> list[str]:
        short = SamplingConfig(max_tokens=9)

        def asked() -> Iterator[list[Message]]:
            for text in ("a", "b"):
                reply = session.stream(hello(text), short, enough=lambda said: len(said) > 12)
                yield hello("".join(chunk.text for chunk in reply))

        said = ["", ""]
        for index, chunk in session.stream_many(asked(), short):
            assert not isinstance(chunk, EngineError)
            said[index] += chunk.text
        return said

    assert run(warm) == run(tiny_session)


def test_a_ctrl_c_at_any_line_of_a_call_leaves_no_reply_for_the_next() -> None:
    facts = {
        "name": "m",
        "device": "cpu",
        "kernel": "k",
        "identity": "i",
        "is_chat": True,
        "memory_bytes": 0,
        "probes": [],
    }
    for stop in range(200):
        ours, theirs = (Wire(end) for end in socket.socketpair())

        def serve(link: Wire = theirs) -> None:
            with contextlib.suppress(WireError):
                while True:
                    link.send({"value": len(link.receive()[0]["text"])})

        server = threading.Thread(target=serve)
        server.start()
        session = RemoteSession(Path("nowhere"), {"context": 100}, ours, facts)
        done = not interrupted("remote.py", stop, lambda: session.count("one"))  # noqa: B023
        with contextlib.suppress(WireError):
            assert session.count("four") == 4
        session.close()
        server.join(10)
        theirs.close()
        if done:
            return
    pytest.fail("it never ended")


def test_more_labels_may_fit_than_streams_may_be_open(warm: RemoteSession, tiny_session: Session) -> None:
    labels = [f"label {number}" for number in range(MOST_OPEN + 1)]
    texts = ["the harbour opens at six", "港口六点开门"]
    warmly, coldly = (list(fit_each(one, texts, labels)) for one in (warm, tiny_session))  # type: ignore[arg-type]
    for ours, theirs in zip(warmly, coldly, strict=True):
        assert isinstance(ours, dict), ours
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_errors_keep_their_kind_and_their_hint(warm: RemoteSession) -> None:
    with pytest.raises(InputTooLong, match="the context is") as caught:
        warm.stream(hello("x" * 20_000), SamplingConfig())
    assert "Shorten" in caught.value.hint
    assert warm.count("still there") > 0


def test_two_clients_get_a_token_each_in_turn_and_neither_disturbs_the_other(
    home: Path, warm: RemoteSession, tiny_session: Session
) -> None:
    other = opened(home)
    assert isinstance(other, RemoteSession)
    sampling = SamplingConfig(max_tokens=30, temperature=0.9, seed=11)
    prompts = ("first", "another one")
    alone = [[c.ids for c in tiny_session.stream(hello(text), sampling)] for text in prompts]
    first, second = (client.stream(hello(text), sampling) for client, text in zip((warm, other), prompts, strict=True))
    mixed: list[list[tuple[int, ...]]] = [[], []]
    for ours, theirs in zip(first, second, strict=False):
        mixed[0].append(ours.ids)
        mixed[1].append(theirs.ids)
        warm.count("in between")
    least = min(map(len, mixed))
    assert [row[:least] for row in mixed] == [row[:least] for row in alone]
    assert least > 5
    other.close()


def test_many_clients_at_once_get_their_own_answers(home: Path, warm: RemoteSession, tiny_session: Session) -> None:
    sampling = SamplingConfig(max_tokens=15, temperature=0.9, seed=2)
    prompts = [f"question {number}" for number in range(6)]
    expected = ["".join(c.text for c in tiny_session.stream(hello(text), sampling)) for text in prompts]
    got: dict[int, str] = {}

    def ask(number: int) -> None:
        client = opened(home)
        assert isinstance(client, RemoteSession)
        got[number] = "".join(c.text for c in client.stream(hello(prompts[number]), sampling))
        client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [got[number] for number in range(6)] == expected


def test_a_stream_that_is_left_stops_and_the_connection_goes_on(home: Path, warm: RemoteSession) -> None:
    stream = warm.stream(hello(), SamplingConfig(max_tokens=4000))
    next(stream)
    stream.close()
    assert warm.count("x") >= 1
    interrupted = warm.stream(hello(), SamplingConfig(max_tokens=4000))
    next(interrupted)
    warm._link.close()  # what a Ctrl-C in the middle of a frame does
    with pytest.raises(EngineError, match="connection broke") as caught:
        next(interrupted)
    assert caught.value.hint == "run the command again"
    assert warm.count("x") >= 1
    wait_until(lambda: (is_running(socket_in(home)) or {}).get("clients") == 1)


def test_streams_that_are_never_read_are_not_left_open(warm: RemoteSession) -> None:
    for _ in range(MOST_OPEN + 1):
        stream = warm.stream(hello(), SamplingConfig(max_tokens=4))
        stream.close()
    assert len(list(warm.stream(hello(), SamplingConfig(max_tokens=4)))) > 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "other"}, "another model"),
        ({"device": "cuda"}, "computes on cpu"),
        ({"threads": 7}, "1 threads"),
        ({"context": 10_000_000}, "context is"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_server_with_other_terms_is_not_used(
    home: Path, server: subprocess.Popen[bytes], tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    if "model" in changes and not (home / "models" / "other").exists():
        Library(home / "models", home / "cache").import_path(
            toy_checkpoints.write_chat_model(tmp_path / "toy", seed=2), "other"
        )
    found = opened(home, **changes)  # type: ignore[arg-type]
    assert isinstance(found, str)
    assert reason in found


def test_a_server_of_other_code_is_not_used(tiny_session: Session) -> None:
    terms = Terms("x", "auto", None)
    asked = {"build": wire.build(), "identity": "x", "device": "auto", "threads": None, "context": None}
    assert terms.problem(asked, tiny_session) == ""
    assert "other code" in terms.problem(asked | {"build": "old"}, tiny_session)


COMMANDS: list[tuple[list[str], bytes | None]] = [
    (["sentiment", "I loved every minute", "--json"], None),
    (["sentiment", "--in", "lines", "--json", "-"], "I loved it\n房间又脏又吵\n".encode()),
    (["classify", "--labels", "travel,food", "the ferry leaves at seven", "--json"], None),
    (["classify", "--labels", "a,b", *(f"--example={text}" for text in ("x=a", "y=a", "z=b", "w=b")), "v"], None),
    (["ask", "hello", "--max-tokens", "12"], None),
    (["ask", "who?", "--schema", "age int 0..9", "--max-tokens", "40"], b"Anna is 3"),
    (["complete", "once upon", "--max-tokens", "8", "--temperature", "1", "--seed", "4"], None),
    (["summarize", "--length", "short", "--no-cache", "-"], b"The harbour opens at six. " * 40),
    (["translate", "-"], b"The harbour opens at six.\n"),
    (["batch", "Say: {text}", "--in", "lines", "--max-tokens", "9", "-"], b"one\ntwo\nthree\n"),
    (["embed", "a cat on a mat"], None),
    (["chat", "--max-tokens", "8", "--seed", "1"], b"hello\n/regen\nand now?\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "stdin"), COMMANDS, ids=[words[0] + str(at) for at, (words, _) in enumerate(COMMANDS)]
)
def test_commands_answer_the_same_with_and_without_a_server(
    home: Path, server: subprocess.Popen[bytes], tmp_path: Path, arguments: list[str], stdin: bytes | None
) -> None:
    cold_home = home_like(home, tmp_path / "cold")
    given = {"stdin": stdin} if stdin else {}
    here = llm(home, *arguments, "--verbose", **given)  # type: ignore[arg-type]
    there = llm(cold_home, *arguments, "--verbose", **given)  # type: ignore[arg-type]
    assert here.returncode == there.returncode == 0, (here.stderr, there.stderr)
    figures = ("duration_ms", "ttft_ms", "tokens_per_second")
    assert comparable(here.stdout, figures) == comparable(there.stdout, figures)
    assert KEPT in here.stderr.decode()
    assert KEPT not in there.stderr.decode()


def comparable(data: bytes, without: tuple[str, ...]) -> list[object]:
    rows: list[object] = []
    for line in data.decode().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            row = line
        rows.append({k: v for k, v in row.items() if k not in without} if isinstance(row, dict) else row)
    return rows


def test_a_warm_command_loads_neither_torch_nor_numpy(home: Path, server: subprocess.Popen[bytes]) -> None:
    for arguments in (["sentiment", "I loved it"], ["ask", "hello"], ["classify", "--labels", "a,b", "x"]):
        code, modules = loaded_by(home, *arguments)
        assert code == 0
        assert modules.isdisjoint({"torch", "numpy", "sentencepiece", "safetensors", "textual"})


def test_the_doctor_looks_beside_a_server(home: Path, server: subprocess.Popen[bytes]) -> None:
    done = llm(home, "doctor", "--json", "--threads", "1", timeout=120)
    assert done.returncode == 0, done.stderr
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert (checks["run"], checks["offline"]) == ("ok", "ok")


def test_socket_and_folder_are_this_users_alone(home: Path, server: subprocess.Popen[bytes]) -> None:
    path = socket_in(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_client_trusts_no_socket_in_a_folder_that_others_can_open(
    home: Path, server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    path = socket_in(home)
    path.parent.chmod(0o755)
    try:
        assert opened(home) == "no server listens"
    finally:
        path.parent.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(path)
    tmp_path.chmod(0o700)
    assert wire.connect(link) is None
    there = wire.connect(path)
    assert there is not None
    there.close()


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED") or os.getuid() != 0, reason="needs root, to be another user")
def test_another_user_is_seen_through_even_where_modes_let_them_in() -> None:
    with tempfile.TemporaryDirectory(prefix="open-") as folder, wire.listen(Path(folder) / "s") as listener:
        for path in (folder, f"{folder}/s"):
            os.chmod(path, 0o777)
        for user in (0, 65534):
            with socket.socket(socket.AF_UNIX) as caller:
                os.seteuid(user)
                try:
                    caller.connect(f"{folder}/s")
                finally:
                    os.seteuid(0)
                connection, _ = listener.accept()
                with connection:
                    assert wire.is_own(connection) is (user == 0)


NOISE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "huge": b"llm1" + b"\xff" * 8,
    "broken json": b"llm1" + struct.pack(">II", 4, 0) + b"[[[[",
    "no operation": b"llm1" + struct.pack(">II", 2, 0) + b"{}",
    "nothing": b"",
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_noise_on_the_socket_harms_nobody(home: Path, warm: RemoteSession, noise: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(socket_in(home)))
        caller.sendall(noise)
        caller.shutdown(socket.SHUT_WR)
        caller.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert caller.recv(100) == b""
    assert warm.count("x") >= 1


def test_wrong_requests_are_answered_with_an_error(warm: RemoteSession) -> None:
    for request in ({"op": "eval"}, {"op": "count"}, {"op": "next", "id": 99}, {"op": "__class__"}, {"op": ["x"]}):
        with pytest.raises(EngineError):
            warm._exchange(request)
    assert warm.count("x") >= 1


def test_ctrl_c_on_the_client_stops_the_server_within_a_token(home: Path, server: subprocess.Popen[bytes]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "complete", "once upon a time", "--max-tokens", "100000", "--temperature", "1"],
        env=environment(home), cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) in {130, 0}
    wait_until(lambda: (is_running(socket_in(home)) or {})["clients"] == 0, 5)
    process.communicate()


@pytest.mark.parametrize("value", ["soon", "-5m", "5 weeks", ""])
def test_a_time_that_is_none_is_refused(home: Path, value: str) -> None:
    done = llm(home, "serve", "--keep-alive", value)
    assert done.returncode == 2
