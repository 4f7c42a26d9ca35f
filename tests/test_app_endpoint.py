"""The app and the commands in front of a server that stops talking: whoever waits can stop, ask again and leave."""

from __future__ import annotations

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest
from app_pilot import ask, running, say, screen_text, wait_until

from engine.config import SamplingConfig
from engine.endpoint import EndpointSession
from engine.schema import Message
from tui.app import LlmApp
from tui.cli.deliver import collect
from tui.cli.installed import open_library
from tui.paths import places
from tui.settings import Settings
from tui.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Hanging(BaseHTTPRequestHandler):
    """Answers `all` and breaks `cut` off; says two words to `two` and none to anything else, until it is let go on."""

    go_on: ClassVar = threading.Event()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        self._begin()
        self.wfile.write(json.dumps({"data": [{"id": "slow"}]}).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        if asked not in {"all", "cut", "two"}:
            self.go_on.wait()
        self._begin()
        for word in ("one ", "two"):
            self._event({"choices": [{"delta": {"content": word}}]})
        if asked == "two":
            self.go_on.wait()
        if asked != "cut":
            self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})

    def _begin(self) -> None:
        self.send_response(200)
        self.end_headers()

    def _event(self, event: object) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())


@pytest.fixture
def url() -> Iterator[str]:
    Hanging.go_on.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hanging) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        Hanging.go_on.set()
        server.shutdown()


def app_at(url: str, home: Path) -> LlmApp:
    where = places({"LOCAL_LLM_HOME": str(home)})
    settings = Settings.load(where.config_file, environ={}, folder=home)
    return LlmApp(settings, where, open_library(where), Strings("en"), remote=EndpointSession(url, "", ""))


@pytest.mark.skipif(os.name != "posix", reason="a Ctrl-C is sent as Unix does")
def test_ctrl_c_ends_an_answer_that_hangs_without_another_word(url: str) -> None:
    session = EndpointSession(url, "", "")

    def write(text: str) -> None:
        if text == "two":
            os.kill(os.getpid(), signal.SIGINT)

    result = collect(session.stream([Message("user", "two")], SamplingConfig()), write)
    assert (result.text, result.interrupted, result.finish_reason) == ("one two", True, "stopped")
    session.close()


def test_a_time_limit_ends_an_answer_that_hangs(url: str) -> None:
    session = EndpointSession(url, "", "")
    result = collect(session.stream([Message("user", "two")], SamplingConfig()), lambda _: None, timeout=0.2)
    assert (result.timed_out, result.finish_reason) == (True, "stopped")
    session.close()


@pytest.mark.parametrize(("asked", "said"), [("none", []), ("two", ["two", "one two"])])
async def test_a_server_that_hangs_can_be_stopped_and_asked_again(
    url: str, tmp_path: Path, asked: str, said: list[str]
) -> None:
    app = app_at(url, tmp_path)
    async with running(app) as pilot:
        await say(pilot, asked)
        await wait_until(pilot, lambda: any(one.began for one in app.chat.writings.values()), "the beginning")
        await wait_until(pilot, lambda: app.chat.talk.tip.text == "".join(said[1:]), "its words")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.chat.writings, "its end")
        assert [turn.text for turn in app.chat.talk.path] == said
        app.chat.prompt.clear()
        await ask(pilot, "all")
        assert app.chat.talk.tip.text == "one two"
        assert app.chat.talk.tip.finish == "stop"


async def test_a_task_at_a_server_that_hangs_can_be_stopped(url: str, tmp_path: Path) -> None:
    app = app_at(url, tmp_path)
    async with running(app) as pilot:
        await say(pilot, "/translate Hello there.")
        await wait_until(pilot, lambda: any(one.began for one in app.chat.writings.values()), "the beginning")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.chat.writings, "its end")


async def test_an_answer_that_a_server_breaks_off_is_not_shown_as_whole(url: str, tmp_path: Path) -> None:
    app = app_at(url, tmp_path)
    async with running(app) as pilot:
        await ask(pilot, "cut")
        await wait_until(pilot, lambda: "cut: Esc o goes on" in screen_text(app), "how it ended")
        assert app.chat.talk.tip.text == "one two"


async def test_an_answer_that_can_not_be_gone_on_with_stays_as_whole_as_it_was(url: str, tmp_path: Path) -> None:
    app = app_at(url, tmp_path)
    async with running(app) as pilot:
        await ask(pilot, "all")
        await say(pilot, "/continue")
        await wait_until(pilot, lambda: app._notifications, "why it can't be")
        assert not app.chat.writings
        assert app.chat.talk.tip.finish == "stop"


async def test_what_a_model_of_this_machine_is_loaded_with_is_refused_once_where_a_server_answers(
    url: str, tmp_path: Path
) -> None:
    app = app_at(url, tmp_path)
    async with running(app) as pilot:
        await wait_until(pilot, lambda: app.models.name == "slow", "the server's model")
        await wait_until(pilot, lambda: "is sent to 127.0.0.1:" in screen_text(app), "where texts go")
        assert "Everything stays on this machine" not in screen_text(app)
        before = app.settings["ctx"]
        await say(pilot, "/set ctx 2048")
        await wait_until(pilot, lambda: app._notifications, "why it can't be")
        app.chat.prompt.clear()
        await say(pilot, "/set seed 7")
        await wait_until(pilot, lambda: app.settings["seed"] == 7, "what can be")
        said = [one.message for one in app._notifications]
        assert [one.split("\n")[0] for one in said] == ["/set can't change ctx", "seed = 7"]
        assert "ctx" not in said[0].split("\n")[1]
        assert app.settings["ctx"] == before
