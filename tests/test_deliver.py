"""How a stream of chunks leaves a command: streamed, whole, as JSON, into a file, stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from engine.errors import OutputError
from engine.schema import Chunk, Coverage
from tui.cli.console import Console
from tui.cli.deliver import Delivery, Result, collect
from tui.cli.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def test_a_file_gets_the_whole_answer_and_stdout_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(Options(output=tmp_path / "out.txt"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "out.txt" in err
    assert (tmp_path / "out.txt").read_text("utf-8") == "你好\n"


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
