"""`llm bench` as a user meets it, and the pieces that the project's own benchmarks share with it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_process import COMMAND, environment, llm, told
from warm_server import home_like

from engine.errors import CheckpointError, EngineError
from engine.speed.figures import Figure, in_rounds, shown
from engine.speed.machine import this_machine
from engine.speed.measures import DRAFTS, QUICK, WHOLE, Measure
from engine.speed.starting import our_command, start
from engine.speed.turns import ids_of

if TYPE_CHECKING:
    from pathlib import Path


def test_json_holds_every_measure_with_its_rounds(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "bench", "tiny", "--quick", "--rounds", "2", "--threads", "1", "--json", timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["model"], found["device"], found["threads"], found["rounds"]) == ("tiny", "cpu", 1, 2)
    assert found["machine"]["cores"] == this_machine().cores
    figures = {figure["measure"]: figure for figure in found["figures"]}
    assert list(figures) == ["start", "resident", *(measure.key for measure in QUICK), "size"]
    for name, figure in figures.items():
        assert 0 < figure["low"] <= figure["median"] <= figure["high"], name
        assert len(figure["values"]) == (1 if name == "size" else 2)
    assert 50 < figures["resident"]["median"] < 4000
    files = (tiny_model_home / "models" / "tiny").rglob("*")
    size = sum(file.stat().st_size for file in files if file.is_file())
    assert figures["size"]["median"] == pytest.approx(size / 1e6, rel=1e-4)


def test_people_get_a_table_and_what_does_not_fit_the_context_is_named(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "bench", "--rounds", "1", timeout=240)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("tiny on cpu/")
    assert lines[1] == str(this_machine())
    rows = {line[:35].split("  ")[0] for line in lines[4:]}
    assert {"start to the first token", "decode, depth 1024", "16 sequences together", "size on disk"} <= rows
    assert not any("8192" in line for line in lines)
    assert told(done)[-1] == "2 measures left out: the model's context is 2048 tokens"


@pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
def test_stopping_prints_what_was_measured(tiny_model_home: Path) -> None:
    terminal, theirs = os.openpty()  # on which progress is shown: that is how one knows that something was measured
    process = subprocess.Popen(
        [*COMMAND, "bench", "tiny", "--rounds", "4", "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(tiny_model_home),
    )
    os.close(theirs)
    shown = b""
    while not re.search(rb"measuring [1-9]", shown):
        shown += os.read(terminal, 4096)
    process.send_signal(signal.SIGINT)
    answer, _ = process.communicate(timeout=60)
    with contextlib.suppress(OSError):  # as Linux says that nobody writes there any more
        while more := os.read(terminal, 4096):
            shown += more
    os.close(terminal)
    assert process.returncode == 130, shown
    found = {figure["measure"]: len(figure["values"]) for figure in json.loads(answer)["figures"]}
    assert found["prefill 128"] > 0
    assert found.get("telling 1", 0) < 4
    assert b"stopped" in shown
    assert b"Traceback" not in shown


def test_bandwidth_counts_each_weight_that_a_token_reads_once(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.speed import ours

    monkeypatch.setattr(ours, "READ", 1 << 24)
    engine = ours.Ours.open(tiny_model_home / "models" / "tiny", "cpu", 1)
    monkeypatch.setattr(engine, "decode", {0: 1000.0}.__getitem__)
    config = engine.model.config
    rows = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    block = config.hidden_size * (rows + config.num_heads * config.head_dim + 3 * config.intermediate_size)
    scales = rows + 2 * config.hidden_size + 2 * config.intermediate_size
    head = config.vocab_size * (config.hidden_size + 4)
    assert engine.weights() == pytest.approx((config.num_layers * (block + 4 * scales) + head) * 1e-6)
    assert 0.1 < engine.memory() < 10_000


def test_a_model_that_is_not_there_or_is_named_twice_is_told(tiny_model_home: Path) -> None:
    assert llm(tiny_model_home, "bench", "nobody").returncode == 3
    done = llm(tiny_model_home, "bench", "tiny", "-m", "tiny")
    assert done.returncode == 2
    assert "named twice" in told(done)[0]


def test_a_start_tells_its_phases_and_a_failing_one_its_reason(tiny_model_home: Path) -> None:
    folder = tiny_model_home / "models" / "tiny"
    found = start(our_command(folder, "cpu", 1), environment(tiny_model_home))
    assert set(found.phases) == {"import", "load", "first"}
    assert all(seconds > 0 for seconds in found.phases.values())
    assert found.seconds > sum(found.phases.values())
    with pytest.raises(CheckpointError, match=r"config\.json"):
        start(our_command(tiny_model_home / "nothing", "cpu", 1), environment(tiny_model_home))
    with pytest.raises(EngineError, match="exit code 3"):
        start([sys.executable, "-c", "raise SystemExit(3)"])


def test_what_a_session_refuses_is_refused_as_there(tiny_model_home: Path, tmp_path: Path) -> None:
    home = home_like(tiny_model_home, tmp_path / "home")
    done = llm(home, "bench", "--device", "mps")
    assert (done.returncode, told(done)[0]) == (2, "llm: no mps device on this machine")
    (home / "models" / "tiny" / "config.json").write_text("{}")
    done = llm(home, "bench")
    assert (done.returncode, "config.json" in told(done)[0]) == (3, True)
    assert len(told(done)) == 2, "what to do is told"


def test_rounds_take_every_measure_in_turn() -> None:
    asked: list[object] = []

    class Engine:
        def prefill(self, count: int) -> float:
            asked.append(count)
            return float(len(asked))

    measures = [Measure("prefill", count, "tok/s", "") for count in (1, 2)]
    values = [value for _, value in in_rounds(Engine(), measures, 2)]
    assert asked == [1, 2, 1, 2]
    assert Figure(measures[0], tuple(values)).median == 2.5


def test_measures_are_known_by_different_names_and_numbers_are_short() -> None:
    keys = [measure.key for measure in WHOLE]
    assert len(set(keys)) == len(keys)
    assert set(QUICK) <= set(WHOLE)
    assert {measure.name for measure in DRAFTS} == {"copying", "telling"}
    assert [shown(value) for value in (0.01234, 1.5, 99.94, 1234.6)] == ["0.0123", "1.5", "99.9", "1235"]
    assert max(ids_of(10_000, 50)) == 49
