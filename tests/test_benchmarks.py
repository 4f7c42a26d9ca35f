"""The project's own benchmarks: real engines take turns, and what they gave becomes a table and a plot."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import toy_checkpoints
from cli_process import environment

from benchmarks.contest import KL, OURS, Contestant, contestants, held
from benchmarks.divergence import write_float_logits
from benchmarks.plot import WIDTH, bars
from benchmarks.report import markdown
from engine.speed.measures import RESIDENT, SIZE, START, Measure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contest import Figures
    from engine.schema import Message
    from engine.session import Session

PREFILL, DECODE = (Measure(name, argument, "tok/s", f"{name} {argument}") for name, argument in
                   (("prefill", 64), ("decode", 0)))  # fmt: skip
COPYING = Measure("copying", 1, "tok/s", "copying")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_checkpoints.write_chat_model(tmp_path_factory.mktemp("toy") / "tiny")


def test_engines_take_turns_and_predict_the_same(toy: Path, tiny_model_home: Path, tmp_path: Path) -> None:
    model, lines = tiny_model_home / "models" / "tiny", list[str]()
    entered = contestants(model, 1, sys.executable, None, toy, None)
    assert [one.name for one in entered] == [OURS, *(f"transformers {k}" for k in ("float32", "bfloat16", "int8"))]
    write_float_logits(toy, model, tmp_path / "float.npz")
    wanted = [KL, START, RESIDENT, SIZE, PREFILL, DECODE, COPYING]
    figures = held(entered[:2], wanted, 2, tmp_path / "float.npz", lines.append)
    ours, theirs = figures[OURS], figures["transformers float32"]
    assert theirs["kl"][0] < 1e-6 < ours["kl"][0] < 0.05
    assert {key: len(values) for key, values in ours.items()} == {
        "kl": 1, "start": 2, "resident": 2, "size": 1, "prefill 64": 2, "decode 0": 2, "copying 1": 2,
    }  # fmt: skip
    assert ours.keys() - theirs.keys() == {"copying 1"}
    assert all(value > 0 for found in figures.values() for values in found.values() for value in values)
    order = [line.split(", ")[-1].split(":")[0] for line in lines if line.startswith("prefill 64")]
    assert order == [OURS, "transformers float32"] * 2


def test_a_measure_that_fails_is_told_and_the_others_go_on(tiny_model_home: Path, tmp_path: Path) -> None:
    model, lines = tiny_model_home / "models" / "tiny", list[str]()
    ours = Contestant(OURS, (sys.executable, "-m", "benchmarks.ours", str(model), "1"))
    deep = Measure("decode", -5000, "tok/s", "nowhere")
    figures = held([ours], [deep, PREFILL], 1, tmp_path / "none", lines.append)
    assert list(figures[OURS]) == ["prefill 64"]
    assert "Error" in next(line for line in lines if line.startswith("nowhere, ours"))


def test_peers_need_their_library_and_their_file(tmp_path: Path, toy: Path) -> None:
    assert [one.name for one in contestants(toy, 1, None, toy, toy, toy)] == [OURS]
    assert [one.name for one in contestants(toy, 1, sys.executable, toy, None, None)] == [OURS]


FIGURES: Figures = {
    OURS: {"prefill 64": [100.0, 110.0, 90.0], "start": [2.0, 2.0, 1.0], "decode 0": [0.123456]},
    "a <peer> & co": {"prefill 64": [50.0, 100.0, 30.0], "start": [4.0, 1.0, 3.0]},
}


def test_ratios_are_those_of_the_rounds_and_above_1_in_our_favour() -> None:
    rows = markdown("heading", [START, PREFILL, DECODE], FIGURES).splitlines()
    assert rows[2:7] == [
        "| | ours | a <peer> & co | ratio |",
        "|---|--:|--:|--:|",
        "| start to the first token | 2 s | 3 s | 2.00 |",
        "| prefill 64 | 100 tok/s | 50 tok/s | 2.00 |",
        "| decode 0 | 0.123 tok/s |  |  |",
    ]


def test_bars_are_as_long_as_their_figures_and_stay_on_the_picture() -> None:
    picture = ElementTree.fromstring(bars("a < b", "here", [START, PREFILL, DECODE], FIGURES))
    space = "{http://www.w3.org/2000/svg}"
    drawn = [box for box in picture.iter(f"{space}rect") if box.get("height") != "10"]
    lengths = [float(box.get("width", 0)) for box in drawn]
    assert len(lengths) == 5
    assert lengths[0] / lengths[1] == pytest.approx(2 / 3, abs=0.01)  # start: the longer one is full
    assert lengths[3] / lengths[2] == pytest.approx(0.5, abs=0.01)
    height = float(picture.get("viewBox", "").split()[3])
    for box in drawn:
        assert float(box.get("x", 0)) + float(box.get("width", 0)) < WIDTH
        assert float(box.get("y", 0)) < height
    said = [text.text for text in picture.iter(f"{space}text")]
    assert {"a < b", "here", "a <peer> & co", "100 tok/s", "less is better"} <= set(said)


def test_models_of_random_weights_say_numbers_and_have_the_size_that_they_are_called_by(tmp_path: Path) -> None:
    import torch

    from benchmarks import synthetic
    from engine.speed.ours import Ours

    for name in synthetic.SIZES:
        weights = synthetic.shape(name).num_parameters / 1e9
        assert weights == pytest.approx(float(name.removesuffix("B")), rel=0.1), name
    engine = Ours.open(synthetic.write(synthetic.shape("0.02B"), tmp_path), "cpu", 1)
    logits = engine.model.logits(engine.model(torch.tensor([[5, 6, 7]])))
    assert torch.isfinite(logits).all()
    assert logits.std() > 0.1
    assert engine.decode(0) > 0


@pytest.mark.parametrize(
    ("kinds", "headings", "first"),
    [
        (["depth", "size"], ["tiny, by depth", "random weights, by size"], ["0", "0.02B"]),
        (["batch"], ["tiny, by sequences"], ["1"]),
        (["file"], ["the default model, by length of a file"], ["1"]),
    ],
    ids=lambda value: value[0],
)
def test_growth_tells_what_each_step_costs(
    tiny_model_home: Path, tmp_path: Path, kinds: list[str], headings: list[str], first: list[str]
) -> None:
    out = tmp_path / "out" / "growth.md"
    small = ["--rounds", "1", "--most", "1", "--sizes", "0.02B", "--threads", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", *kinds, *small],
        env=environment(tiny_model_home), capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert out.read_text() == done.stdout
    tables = done.stdout.split("\n\n**")[1:]
    assert [text.split("**")[0] for text in tables] == headings
    cells = [[cell.strip() for cell in text.splitlines()[4].strip("|").split("|")] for text in tables]
    assert [row[0] for row in cells] == first
    assert all(float(cell) > 0 for row in cells for cell in row[1:] if cell)


def test_a_text_of_many_pages_is_summarized_and_what_was_asked_is_noted_for_the_peer(tiny_session: Session) -> None:
    from benchmarks.pages import WORDS, summarized, text_of

    text = text_of(4)
    assert len(text.split()) == 4 * WORDS
    seconds, recorded = summarized(tiny_session, text)
    assert seconds > 0
    assert len(recorded.prompts) == len(recorded.tokens) > 2
    assert all(0 < tokens < 500 for tokens in recorded.tokens)
    assert "".join(text.split())[:300] in "".join(recorded.prompts[0].split())


def test_drafts_are_timed_over_the_first_rows_of_files(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import drafted
    from engine.session import Session

    asked = [{"context": "The pier is old." * 9, "question": f"Which pier is the {nth}?"} for nth in ("first", "last")]
    texts = [{"text": f"Boat {number} lies in the harbour." * 40} for number in (1, 2, 3)]
    for name, rows in (("asked", asked), ("texts", texts)):
        (tmp_path / f"{name}.jsonl").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    prompts: list[str] = []
    stream = Session.stream

    def heard(self: Session, messages: list[Message], *told: Any, **named: Any) -> Any:
        prompts.append(messages[-1].content)
        return stream(self, messages, *told, **named)

    monkeypatch.setattr(Session, "stream", heard)
    monkeypatch.setattr(drafted, "LONGEST", 24)
    words = ["drafted", "--model", str(tiny_model_home / "models" / "tiny"), "--rounds", "1", "--threads", "1"]
    monkeypatch.setattr("sys.argv", [*words, "--limit", "2", "--data", *map(str, sorted(tmp_path.iterdir()))])
    drafted.main()

    rows = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[1] for row in rows] == ["2 of `asked.jsonl`", "2 of `texts.jsonl`"]
    assert all(float(cell) > 0 for row in rows for cell in row[2:6])
    for row in (*asked, *texts[:2]):  # with and without drafts
        assert sum(all(part in prompt for part in row.values()) for prompt in prompts) == 2
    assert not any("Boat 3" in prompt for prompt in prompts)

    (tmp_path / "short.jsonl").write_text('{"text": "Too short to be summarized."}', encoding="utf-8")
    monkeypatch.setattr("sys.argv", [*words, "--data", str(tmp_path / "short.jsonl")])
    with pytest.raises(SystemExit, match=r"short\.jsonl.*nothing was written"):
        drafted.main()
