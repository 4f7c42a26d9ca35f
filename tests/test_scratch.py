"""A decoder from nothing beside an n-gram model and an LSTM: the same bytes, and figures that can be checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from test_pretrain import SHAPE, TEXT, trainer

from benchmarks import scratch
from benchmarks.baselines import lstm_text
from engine.evaluation.likelihood import perplexity_by_byte

if TYPE_CHECKING:
    from pathlib import Path


def test_an_lstm_learns_and_its_memory_goes_on(tmp_path: Path) -> None:
    run = trainer(tmp_path / "m")
    untaught = lstm_text.train(run.corpus, run.blueprint, 0)
    taught = lstm_text.train(run.corpus, run.blueprint, 60)
    before, after = (lstm_text.likelihoods(model, run.corpus) for model in (untaught, taught))
    assert sum(part.size for part in after) == run.corpus.held_bytes
    assert sum(part.tokens for part in after) == run.corpus.held_tokens
    assert before[0].logprob / before[0].tokens == pytest.approx(-math.log(16_000), rel=0.05)
    assert perplexity_by_byte(after) < 0.5 * perplexity_by_byte(before)
    # In one piece it says the same.
    ids = [id_ for window in run.corpus.held for id_ in window]
    with torch.no_grad():
        logits, _ = taught(torch.tensor([[1, *ids[:-1]]]))
    whole = float(logits[0].log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum())
    assert sum(part.logprob for part in after) == pytest.approx(whole, rel=1e-4)
    again = lstm_text.train(run.corpus, run.blueprint, 60)
    assert torch.equal(again.bias, taught.bias)


def test_the_table_has_all_three_on_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("\n".join(f"{name} = {value}" for name, value in SHAPE.items()))
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    scratch.main([str(tmp_path / "c.toml"), str(tmp_path / "a.txt"), "--out", str(tmp_path / "kept")])
    lines = capsys.readouterr().out.splitlines()
    run = trainer(tmp_path / "m")
    assert f"{run.corpus.held_bytes} bytes held out" in lines[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:]]
    assert [row[0] for row in rows] == ["4-gram model (Kneser-Ney)", "LSTM", "decoder"]
    assert all(
        1 < float(row[2]) < 50 and float(row[3]) == pytest.approx(math.log2(float(row[2])), abs=2e-3) for row in rows
    )
    assert float(rows[0][2]) < 2, "lines that repeat are what n-grams are made for"
    assert (tmp_path / "kept" / "model.safetensors").exists()
    with pytest.raises(SystemExit, match="no such file"):
        scratch.main([str(tmp_path / "none.toml"), str(tmp_path / "a.txt")])
