"""An adapter that ships: merged when its base is pulled, told by `show`, refused for others; off without its file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from cli_process import llm
from hub_server import HubServer
from tiny_models import entry_of, finish, start
from toy_checkpoints import write_chat_gguf

from engine import adapter, catalog, checkpoint, manifest, shipped
from engine.catalog import CATALOG, default_entry, lookup
from engine.convert.adapted import AdaptedSource
from engine.convert.float_model import float_decoder
from engine.convert.gguf import GgufSource
from engine.errors import CheckpointError, ModelNotFound, UsageError
from engine.kernels.reference import ReferenceKernel
from engine.library import Library
from engine.schema import Message
from engine.session import Session
from engine.training import rows
from engine.training.loop import Trainer
from engine.training.settings import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TERMS = ["rows of ours: Apache 2.0", "passages: CC BY-SA 4.0, the editors"]
CONFIG = TrainingConfig(rank=8, alpha=16, epochs=30, learning_rate=1e-2, step_tokens=64, pass_tokens=64, held_out=0.2)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.gguf`, the model made of it, and an adapter trained over that one to say forty two."""
    folder = tmp_path_factory.mktemp("shipped")
    write_chat_gguf(folder / "tiny.gguf")
    library = Library(folder / "models", folder / "cache")
    library.import_path(folder / "tiny.gguf", "tiny")
    taught = [
        rows.Conversation((Message("user", f"question {n} " + "word " * (n % 5)), Message("assistant", "forty two")))
        for n in range(12)
    ]
    about = {"licences": TERMS, "files": []}
    trainer = Trainer(folder / "models" / "tiny", taught, CONFIG, folder / "tasks.safetensors", "cpu", about)
    list(trainer.run())
    return folder


@pytest.fixture
def source(made: Path) -> bytes:
    return (made / "tiny.gguf").read_bytes()


@pytest.fixture
def ships(made: Path, source: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model is the catalog's default, and the folder of shipped adapters holds one for it."""
    entry = entry_of(source, default=True, aliases=("toy",), parts=(), notices=())
    monkeypatch.setattr("engine.catalog.CATALOG", (*(replace(one, default=False) for one in CATALOG), entry))
    monkeypatch.setattr("engine.shipped.FOLDER", tmp_path / "shipped")
    ours = replace(shipped.KNOWN[0], base=entry.sha256, model="tiny-tasks", aliases=("toy",))
    monkeypatch.setattr("engine.shipped.KNOWN", (ours,))
    (tmp_path / "shipped").mkdir()
    shutil.copyfile(made / "tasks.safetensors", ours.path)
    ours.card.write_text("# The data\n", encoding="utf-8")
    return tmp_path / "shipped"


@pytest.fixture
def hub(source: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import close_session

    with HubServer() as server:
        server.repos["acme/tiny"] = {"tiny.gguf": source}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        close_session()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "models", tmp_path / "cache")


def answer(folder: Path, question: str = "question 99 word") -> str:
    from engine.config import SamplingConfig

    session = Session.open(folder, device="cpu", threads=1)
    greedy = SamplingConfig(temperature=0, max_tokens=8)
    return "".join(chunk.text for chunk in session.stream([Message("user", question)], greedy))


def test_without_its_file_the_catalog_is_as_it_was(ships: Path) -> None:
    assert default_entry().name == "tiny-tasks"
    assert lookup("toy").name == "tiny-tasks"
    (ships / "tasks.safetensors").unlink()
    assert catalog.entries() == catalog.CATALOG
    assert default_entry().name == "tiny"
    assert lookup("toy").name == "tiny"


def test_every_adapter_that_ships_fits_its_base_and_says_its_terms() -> None:
    """Of the real table: what lies in the folder is small, whole, licensed, and its base the one that is named."""
    names = {entry.sha256 for entry in CATALOG}
    assert all(known.base in names for known in shipped.KNOWN)
    for known in shipped.adapters():
        found = adapter.load(known.path)
        assert known.path.stat().st_size <= shipped.LARGEST
        assert found.info["base"] == known.base
        assert found.info["smoothing"] == {}
        assert found.info["licences"]
        assert known.card.is_file()
        assert known.licence_name in known.card.read_text(encoding="utf-8")


def test_pulling_the_default_merges_the_adapter_and_says_so(ships: Path, library: Library, hub: HubServer) -> None:
    summary = library.pull(default_entry().pull_spec)
    folder = library.models_dir / "tiny-tasks"
    assert answer(folder) == "forty two"
    assert summary.licence == "Apache-2.0 AND CC-BY-SA-4.0"
    assert summary.notices == ("NOTICE-tasks.md",)
    assert summary.quality["en"].kl < 0.02
    merged = summary.adapter
    assert merged is not None
    assert merged.base == summary.sha256 == lookup("tiny").sha256
    assert merged.sha256 == hashlib.sha256((ships / "tasks.safetensors").read_bytes()).hexdigest()
    assert merged.licences == tuple(TERMS)
    assert library.default == "tiny-tasks"
    library.verify("tiny-tasks", full=True)
    assert library.pull("tiny-tasks") == summary


def test_the_plain_model_stays_pullable_and_goes_on_with_what_was_downloaded(
    ships: Path, library: Library, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.pull("tiny-tasks", install=interrupted)  # type: ignore[arg-type]
    assert [path for path, _, _ in hub.requests].count("tiny.gguf") == 1
    plain = library.pull("tiny")
    assert [path for path, _, _ in hub.requests].count("tiny.gguf") == 1
    assert (plain.adapter, plain.licence, plain.notices) == (None, "Apache-2.0", ())
    assert answer(library.models_dir / "tiny") != "forty two"
    library.pull("tiny-tasks")
    assert library.names() == ["tiny", "tiny-tasks"]
    assert list((library.cache_dir / "downloads").iterdir()) == []


def test_a_short_name_means_whichever_of_the_two_is_here_and_a_full_name_that_one_alone(
    ships: Path, library: Library, hub: HubServer
) -> None:
    library.pull("tiny")
    assert library.find("toy").name == "tiny"
    assert library.default == "tiny"
    with pytest.raises(ModelNotFound):
        library.find("tiny-tasks")
    library.pull("tiny-tasks")
    assert library.find("toy").name == library.default == "tiny-tasks"
    assert library.find("tiny").name == "tiny"


def test_the_list_tells_who_has_the_plain_model_of_the_taught_one(
    ships: Path, library: Library, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from tui.cli.main import run

    monkeypatch.setenv("LOCAL_LLM_HOME", str(tmp_path))
    nothing = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr("sys.stdin", nothing)
    library.import_path(made / "tiny.gguf")
    assert run(["models", "list", "--all"]) == 0
    said = capsys.readouterr()
    assert "tiny-tasks" in said.out
    assert "models pull" in said.err
    assert run(["models", "import", str(made / "tiny.gguf"), "--adapter", "tasks"]) == 0
    assert run(["ask", "question 99 word", "--temperature", "0", "--max-tokens", "8", "-q"]) == 0
    assert capsys.readouterr().out == "forty two\n"
    assert run(["ask", "question 99 word", "-m", "tiny", "--adapter", "tasks", "--temperature", "0", "-q"]) == 0
    assert capsys.readouterr().out == "forty two\n"
    assert run(["models", "list"]) == 0
    assert "models pull" not in capsys.readouterr().err
    nothing.close()


def test_a_newer_adapter_replaces_the_older_one_at_the_next_pull(ships: Path, library: Library, hub: HubServer) -> None:
    library.pull("tiny-tasks")
    old = adapter.load(ships / "tasks.safetensors")
    adapter.save(ships / "tasks.safetensors", old.tensors, old.info | {"steps": 1})
    again = library.pull("tiny-tasks")
    assert again.adapter is not None
    assert again.adapter.sha256 == manifest.sha256_of(ships / "tasks.safetensors") != old.sha256


def test_a_file_that_is_at_hand_becomes_either_model(ships: Path, library: Library, made: Path) -> None:
    tuned = library.import_path(made / "tiny.gguf", adapter=shipped.resolve(Path("tasks")))
    assert (tuned.name, tuned.licence, tuned.notices) == (
        "tiny-tasks", "Apache-2.0 AND CC-BY-SA-4.0", ("NOTICE-tasks.md",),
    )  # fmt: skip
    assert library.import_path(made / "tiny.gguf").name == "tiny"


def test_the_float_weights_are_those_of_both(made: Path) -> None:
    """Against each layer's own matrices, put together by hand."""
    found = adapter.load(made / "tasks.safetensors")
    plain, changed = GgufSource(made / "tiny.gguf"), AdaptedSource(GgufSource(made / "tiny.gguf"), found)
    ours, theirs = float_decoder(changed).state_dict(), float_decoder(plain).state_dict()
    for name, weight in theirs.items():
        stem = name.removesuffix(".weight")
        expected = weight
        if f"{stem}.a" in found.tensors:
            a, b = found.tensors[f"{stem}.a"].double(), found.tensors[f"{stem}.b"].double()
            assert (b @ a).abs().max() > 0
            expected = (weight.double() + found.info["scale"] * b @ a).float()
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-5)


def test_int8_with_the_adapter_is_near_the_float_model_with_it(made: Path, ships: Path, library: Library) -> None:
    library.import_path(made / "tiny.gguf", "merged", adapter=made / "tasks.safetensors")
    found = adapter.load(made / "tasks.safetensors")
    exact = float_decoder(AdaptedSource(GgufSource(made / "tiny.gguf"), found))
    ours = checkpoint.load(library.models_dir / "merged", ReferenceKernel(), torch.device("cpu"))
    ids = torch.tensor([[5, 9, 300, 77, 1234]])
    with torch.no_grad():
        expected, got = exact.logits(exact(ids)).log_softmax(-1), ours.logits(ours(ids)).log_softmax(-1)
    assert float((expected.exp() * (expected - got)).sum(-1).mean()) < 0.01


def test_an_adapter_goes_into_no_other_file_and_never_twice(
    ships: Path, library: Library, made: Path, tmp_path: Path
) -> None:
    write_chat_gguf(tmp_path / "other.gguf", seed=1)
    with pytest.raises(UsageError, match="not over this file"):
        library.import_path(tmp_path / "other.gguf", "other", adapter=made / "tasks.safetensors")
    assert library.names() == []
    library.import_path(made / "tiny.gguf", "merged", adapter=made / "tasks.safetensors")
    with pytest.raises(UsageError, match="trained over tiny"):
        Session.open(library.models_dir / "merged", device="cpu", threads=1, adapter=made / "tasks.safetensors")


def test_an_adapter_of_ours_brings_its_probes_whether_it_was_merged_or_is_named(
    made: Path, ships: Path, library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = hashlib.sha256((ships / "tasks.safetensors").read_bytes()).hexdigest()
    ours = replace(shipped.KNOWN[0], sha256=digest)
    monkeypatch.setattr("engine.shipped.KNOWN", (ours,))
    ours.probes_path.write_bytes(b"")
    library.import_path(made / "tiny.gguf", "merged", adapter=ours.path)
    library.import_path(made / "tiny.gguf", "plain")
    found = adapter.load(ours.path)
    adapter.save(tmp_path / "another", found.tensors, found.info | {"rows": 1})

    def probes(name: str, change: Path | None = None) -> Mapping[str, Path]:
        return Session.open(library.models_dir / name, device="cpu", threads=1, adapter=change).probes

    assert probes("merged") == probes("plain", ours.path) == {"sentiment.en": ours.probes_path}
    assert probes("plain") == probes("plain", tmp_path / "another") == {}


def test_an_adapter_of_another_shape_or_over_smoothed_weights_is_refused(
    library: Library, made: Path, tmp_path: Path
) -> None:
    found = adapter.load(made / "tasks.safetensors")
    wide = {name: torch.cat([t, t], 1 if name.endswith(".a") else 0) for name, t in found.tensors.items()}
    adapter.save(tmp_path / "wide", wide, found.info)
    adapter.save(tmp_path / "smooth", found.tensors, found.info | {"smoothing": {"gate_up": 0.65}})
    with pytest.raises(CheckpointError, match="does not fit the layer"):
        library.import_path(made / "tiny.gguf", "wide", adapter=tmp_path / "wide")
    with pytest.raises(UsageError, match="smoothed"):
        library.import_path(made / "tiny.gguf", "smooth", adapter=tmp_path / "smooth")
    assert library.names() == []


def test_an_adapter_trained_over_the_merged_model_is_not_the_plain_ones(made: Path, library: Library) -> None:
    library.import_path(made / "tiny.gguf", "merged", adapter=made / "tasks.safetensors")
    library.import_path(made / "tiny.gguf", "plain")
    assert manifest.read(library.models_dir / "plain").base == lookup_sha(made)
    merged = manifest.read(library.models_dir / "merged")
    assert merged.base == merged.identity


def lookup_sha(made: Path) -> str:
    return hashlib.sha256((made / "tiny.gguf").read_bytes()).hexdigest()


def test_show_tells_of_the_adapter_and_of_a_model_with_it(made: Path, tmp_path: Path) -> None:
    adapter_file = str(made / "tasks.safetensors")
    flags = ("--adapter", adapter_file, "--name", "mine")
    assert llm(tmp_path, "models", "import", str(made / "tiny.gguf"), *flags).returncode == 0
    assert llm(tmp_path, "models", "import", "mine", *flags).returncode == 2
    shown = llm(tmp_path, "models", "show", "mine").stdout.decode()
    alone = llm(tmp_path, "models", "show", adapter_file).stdout.decode()
    for text in (shown, alone):
        assert lookup_sha(made) in text
        assert TERMS[0] in text
        assert TERMS[1] in text
    assert "<|user|>{user}<|end|><|assistant|>{assistant}<|end|>" in alone
    assert "rank 8" in alone
    data = json.loads(llm(tmp_path, "models", "show", "mine", "--json").stdout)
    assert data["adapter"]["licences"] == TERMS
    info = json.loads(llm(tmp_path, "models", "show", adapter_file, "--json").stdout)
    assert info["base"] == data["adapter"]["base"]
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    assert llm(tmp_path, "models", "show", "./junk").returncode == 3


def test_a_manifest_with_a_damaged_adapter_is_a_broken_model(made: Path, library: Library) -> None:
    library.import_path(made / "tiny.gguf", "merged", adapter=made / "tasks.safetensors")
    path = library.models_dir / "merged" / manifest.MANIFEST
    data = json.loads(path.read_text(encoding="utf-8"))
    for wrong in ({"name": "x"}, {**data["adapter"], "licences": [7]}, {**data["adapter"], "base": 7}, "x", [1]):
        path.write_text(json.dumps(data | {"adapter": wrong}), encoding="utf-8")
        assert "damaged" in library.summary("merged").problem
    del data["adapter"]
    path.write_text(json.dumps(data), encoding="utf-8")
    assert library.summary("merged").problem == ""


def test_the_table_and_an_adapters_manifest_are_read_without_torch(made: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom engine import adapter, catalog\n"
        "catalog.entries(), adapter.read_info(Path(sys.argv[1]))\n"
        "print(sorted({'torch', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    assert finish(start(code, made / "tasks.safetensors")).strip() == "[]"
