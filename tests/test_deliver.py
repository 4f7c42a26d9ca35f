"""How a stream of chunks leaves a command: streamed, whole, as JSON, into a file, stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from engine.errors import OutputError
from engine.schema import Chunk, Coverage
from tui.cli.console import Console
from tui.cli.deliver import LOOPED, Delivery, Result, collect, print_json
from tui.cli.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.schema import FinishReason

CHUNKS = (
    Chunk("你", (1,), (-0.5,), prompt_tokens=7, output_tokens=1, prefill_seconds=0.5),
    Chunk("好", (2,), (-1.5,), prompt_tokens=7, output_tokens=2, prefill_seconds=0.5, decode_seconds=0.1),
    Chunk("", prompt_tokens=7, output_tokens=2, decode_seconds=0.1, finish_reason="stop"),
)


def show(options: Options, stats: bool = False) -> Result:
    return Delivery(Console(), options, stats=stats).show(iter(CHUNKS), model="tiny", place="cpu/x")


def test_the_answer_alone_is_on_stdout_with_a_final_newline(capsys: pytest.CaptureFixture[str]) -> None:
    show(Options(), stats=True)
    out, err = capsys.readouterr()
    assert out == "你好\n"
    assert "prompt 7 tok at 14.0 tok/s" in err
    assert "output 2 tok at 10.0 tok/s" in err


def test_without_streaming_the_same_text_comes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    show(Options(no_stream=True))
    assert capsys.readouterr().out == "你好\n"


def test_json_is_one_object_with_the_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    show(Options(json=True))
    out = capsys.readouterr().out
    data = json.loads(out)
    assert out.count("\n") == 1
    assert "你好" in out, "UTF-8 is not escaped"
    keys = "id model prompt_tokens output_tokens finish_reason duration_ms ttft_ms text mean_logprob"
    assert list(data) == keys.split()
    assert (data["text"], data["finish_reason"], data["mean_logprob"]) == ("你好", "stop", -1.0)
    assert (data["prompt_tokens"], data["output_tokens"]) == (7, 2)


def test_the_figures_are_of_the_first_token_the_end_and_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result()
    for chunk, elapsed in zip(CHUNKS, (0.75, 1.5, 2.25), strict=True):
        result.add(replace(chunk, cached_tokens=3), elapsed)
    assert result.stats("tiny", "cpu") == (
        "tiny on cpu · prompt 7 tok (3 cached) at 8.0 tok/s · output 2 tok at 10.0 tok/s"
        " · first token 0.75 s · total 2.25 s · stop"
    )
    data = result.to_json("tiny")
    assert (data["ttft_ms"], data["duration_ms"]) == (750, 2250)
    data = Result().to_json("tiny")
    assert (data["prompt_tokens"], data["output_tokens"], data["mean_logprob"]) == (0, 0, None), "nobody counted"
    told = Result(prompt_tokens=7, output_tokens=2, first_token=0.5, duration=1).stats("m", "its server")
    assert told == "m on its server · prompt 7 tok · output 2 tok · first token 0.50 s · total 1.00 s · stop"
    started = time.monotonic()
    show(Options(json=True))
    data = json.loads(capsys.readouterr().out)
    assert 0 <= data["ttft_ms"] <= data["duration_ms"] <= 1000 * (time.monotonic() - started) + 1


def test_a_value_is_one_line_of_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(Console(), {"a": "你\n好"})
    assert capsys.readouterr().out == '{"a": "你\\n好"}\n'


def test_a_file_gets_the_whole_answer_and_stdout_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(Options(output=tmp_path / "out.txt"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "out.txt" in err
    assert (tmp_path / "out.txt").read_text("utf-8") == "你好\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "setting", "flags", "rendered", "repainted"),
    [
        (Terminal, "xterm", True, {}, True, True),
        (Terminal, "xterm", False, {}, False, False),
        (Terminal, "xterm", True, {"raw": True}, False, False),
        (Terminal, "xterm", False, {"md": True}, True, True),
        (Terminal, "xterm", True, {"no_stream": True}, True, False),
        (Terminal, "xterm", True, {"json": True}, False, False),
        (Terminal, "dumb", True, {}, False, False),
        (Terminal, "dumb", True, {"md": True}, True, False),
        (io.StringIO, "xterm", True, {}, False, False),
        (io.StringIO, "xterm", True, {"md": True}, True, False),
    ],
)
def test_markdown_is_rendered_where_a_person_reads_it_or_asks_for_it(
    stream: type[io.StringIO],
    term: str,
    setting: bool,
    flags: dict[str, Any],
    rendered: bool,
    repainted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", term)
    stdout = stream()
    monkeypatch.setattr(sys, "stdout", stdout)
    delivery = Delivery(Console(), Options(**flags), markdown=setting)
    delivery.show([Chunk("a **bold** word", (1,), finish_reason="stop")], model="tiny", place="cpu", waiting="")
    assert "bold" in stdout.getvalue()
    assert ("**" not in stdout.getvalue(), "\x1b[?2026h" in stdout.getvalue()) == (rendered, repainted)


@pytest.mark.parametrize(
    ("reason", "context", "said"),
    [
        ("stop", 9, ""),
        ("length", None, "cut at 2 tokens; --max-tokens gives more room\n"),
        ("length", 10, "cut at 2 tokens; --max-tokens gives more room\n"),
        ("length", 9, "cut at 2 tokens: the context of 9 tokens is full\n"),
        ("repeated", None, f"{LOOPED}\n"),
    ],
)
def test_an_answer_that_did_not_come_to_its_end_says_why(
    reason: FinishReason, context: int | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for json_wanted in (False, True):
        chunks = [*CHUNKS[:2], replace(CHUNKS[2], finish_reason=reason)]
        delivery = Delivery(Console(language="en"), Options(json=json_wanted))
        delivery.show(chunks, model="tiny", place="cpu", context=context)
        assert capsys.readouterr().err == ("" if json_wanted else said), "JSON says it in its own field"


def test_an_error_in_the_middle_ends_the_line_that_was_begun(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[Chunk]:
        yield CHUNKS[0]
        raise OutputError("no more")

    with pytest.raises(OutputError):
        Delivery(Console(), Options()).show(broken(), model="tiny", place="cpu")
    assert capsys.readouterr().out == "你\n"


def test_other_events_reach_their_listener_and_not_the_text() -> None:
    seen: list[object] = []
    coverage = Coverage(1, 1, 2, 2, 3, 3)
    result = collect([CHUNKS[0], coverage, CHUNKS[2]], lambda text: None, on_event=seen.append)
    assert seen == [coverage]
    assert result.text == "你"


def endless() -> Iterator[Chunk]:
    count = 0
    while True:
        count += 1
        time.sleep(0.002)
        yield Chunk("x", (1,), (-1.0,), output_tokens=count)


def interrupted() -> Iterator[Chunk]:
    """Ctrl-C comes when something was said."""
    for chunk in endless():
        if chunk.output_tokens == 10:
            os.kill(os.getpid(), signal.SIGINT)
        yield chunk


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_ctrl_c_keeps_what_was_said_closes_the_stream_and_restores_the_handler() -> None:
    before = signal.getsignal(signal.SIGINT)
    closed = []

    def chunks() -> Iterator[Chunk]:
        try:
            yield from interrupted()
        finally:
            closed.append(True)

    result = collect(chunks(), lambda text: None)
    assert result.interrupted
    assert result.finish_reason == "stopped"
    assert len(result.text) == result.output_tokens > 1
    assert closed == [True]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
@pytest.mark.parametrize("chunk", [Chunk("x"), Chunk("", (1,))], ids=["a server's words", "half a character"])
def test_ctrl_c_keeps_what_has_no_tokens_or_no_text_yet(chunk: Chunk) -> None:
    def chunks() -> Iterator[Chunk]:
        yield chunk
        os.kill(os.getpid(), signal.SIGINT)
        yield chunk

    result = collect(chunks(), lambda text: None)
    assert result.interrupted
    assert (result.text, result.ids) == (chunk.text * 2, [*chunk.ids, *chunk.ids])
    assert result.first_token > 0


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_ctrl_c_before_the_first_token_leaves_at_once() -> None:
    def slow() -> Iterator[Chunk]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        yield CHUNKS[0]

    with pytest.raises(KeyboardInterrupt):
        collect(slow(), lambda text: None)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_a_stopped_one_shot_answer_is_printed_then_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        Delivery(Console(), Options(json=True)).show(interrupted(), model="tiny", place="cpu")
    data = json.loads(capsys.readouterr().out)
    assert data["finish_reason"] == "stopped"
    assert data["text"].startswith("x")


def test_a_time_limit_stops_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    result = Delivery(Console(), Options(timeout=0.05)).show(endless(), model="tiny", place="cpu")
    assert result.finish_reason == "stopped"
    assert "--timeout" in capsys.readouterr().err
