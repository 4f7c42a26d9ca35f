"""Shipping an adapter: its papers go with it, and what must not be shipped is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from recipe_data import write as write_data

from engine import adapter, manifest, shipped
from engine.errors import InputError, UsageError
from recipes import average
from recipes.__main__ import write
from recipes.ship import ship

if TYPE_CHECKING:
    from pathlib import Path

OURS = shipped.KNOWN[0]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    write(write_data(folder / "data"), folder / "out", len)
    return folder / "out"


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter as `llm finetune` writes it, and a folder of its own to ship it into."""
    monkeypatch.setattr("engine.shipped.FOLDER", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    tensors = {"layers.0.mlp.down.a": torch.ones(2, 4), "layers.0.mlp.down.b": torch.ones(3, 2)}
    info = {
        "base": OURS.base, "base_name": "plain", "base_licence": "Apache-2.0", "smoothing": {}, "rank": 2, "scale": 2.0,
        "training": {"epochs": 1}, "rows": 5, "steps": 1, "held_out_losses": [[0, 2.5], [1, 1.5]],
    }  # fmt: skip
    adapter.save(tmp_path / "mine", tensors, info)
    return tmp_path / "mine"


def test_the_papers_go_with_it(trained: Path, mixture: Path) -> None:
    ship(trained, [mixture], OURS)
    assert shipped.find("tasks") is not None
    found = adapter.load(OURS.path)
    assert torch.equal(found.tensors["layers.0.mlp.down.a"].float(), torch.ones(2, 4))
    assert found.info["files"][0]["name"] == "train.jsonl"
    lines = found.info["licences"]
    assert any("CC BY-SA 4.0" in line for line in lines)
    assert any(line.startswith("cmrc: ") for line in lines)
    assert not any("#1" in line for line in lines)
    card = OURS.card.read_text(encoding="utf-8")
    assert "2.500 → 1.500" in card
    assert (mixture / "DATA.md").read_text(encoding="utf-8") in card
    ship(OURS.path, [mixture], OURS)
    assert adapter.load(OURS.path).info["licences"] == lines


def test_an_older_adapter_gets_its_turn_markers_from_its_base(
    trained: Path, mixture: Path, tiny_model_home: Path
) -> None:
    base = tiny_model_home / "models" / "tiny"
    with pytest.raises(UsageError, match="is not the base"):
        ship(trained, [mixture], OURS, base)
    found = adapter.load(trained)
    theirs = replace(OURS, base=manifest.read(base).base)
    adapter.save(trained, found.tensors, found.info | {"base": theirs.base})
    ship(trained, [mixture], theirs, base)
    assert "<|user|>{user}<|end|>" in adapter.load(theirs.path).info["turns"]


def test_what_must_not_be_shipped_is_refused(trained: Path, mixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not over the base"):
        ship(trained, [mixture], replace(OURS, base="0" * 64))
    with pytest.raises(InputError, match="does not name"):
        ship(trained, [mixture], replace(OURS, licence_name="CC0"))
    found = adapter.load(trained)
    adapter.save(trained, found.tensors, found.info | {"files": [{"sha256": "another"}]})
    with pytest.raises(InputError, match="other files"):
        ship(trained, [mixture], OURS)
    monkeypatch.setattr("engine.shipped.LARGEST", 10)
    with pytest.raises(UsageError, match="at most 10"):
        ship(trained, [mixture], OURS)
    changed_since = shutil.copytree(mixture, trained.with_name("copy"))
    (changed_since / "train.jsonl").write_text("{}\n")
    monkeypatch.setattr("engine.shipped.LARGEST", 10**6)
    with pytest.raises(InputError, match="is not what"):
        ship(trained, [changed_since], OURS)
    assert not OURS.path.exists()


def changed(one: adapter.Adapter) -> torch.Tensor:
    """What an adapter adds to the weight."""
    a, b = (one.tensors[f"layers.0.mlp.down.{part}"].float() for part in "ab")
    return b @ a * float(one.info["scale"])


def test_an_average_of_one_rank_is_exact_and_tells_of_each(trained: Path, mixture: Path) -> None:
    torch.manual_seed(0)
    first = adapter.load(trained)
    other = trained.with_name("other")
    tensors = {"layers.0.mlp.down.a": torch.randn(2, 4), "layers.0.mlp.down.b": torch.randn(3, 2)}
    adapter.save(other, tensors, first.info | {"scale": 0.5, "steps": 7, "strength": 0.25})
    second = adapter.load(other)
    average.main([str(trained.with_name("mean")), "0.25", str(trained), "0.75", str(other)])
    found = adapter.load(trained.with_name("mean"))
    wanted = 0.25 * changed(first) + 0.75 * changed(second)
    u, values, v = torch.linalg.svd(wanted, full_matrices=False)
    best = u[:, :2] * values[:2] @ v[:2]  # what two ranks can hold of three
    assert (changed(found) - best).abs().max() <= 0.05 * wanted.abs().max()  # kept in bfloat16
    ship(trained.with_name("mean"), [mixture], OURS)
    card = OURS.card.read_text(encoding="utf-8")
    assert f"0.25 of the run with sha256 `{first.sha256}`, at strength 1:" in card
    assert f"0.75 of the run with sha256 `{second.sha256}`, at strength 0.25:" in card
    assert "5 rows in 7 steps" in card


def test_adapters_of_other_bases_have_no_average(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = adapter.load(trained)
    adapter.save(trained.with_name("other"), found.tensors, found.info | {"base": "0" * 64})
    mean = trained.with_name("mean")
    with pytest.raises(SystemExit, match="other models"):
        average.main([str(mean), "0.5", str(trained), "0.5", str(trained.with_name("other"))])
    with pytest.raises(SystemExit, match="OUT"):
        average.main([str(mean), "0.5"])
    assert not mean.exists()
    assert capsys.readouterr().out == ""
