"""A decoder from nothing at toy size: settings, windows, what is learnt, kill and resume, the commands that use it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cli_process import COMMAND, environment, llm
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import tokenizer_models
from engine.convert.publish import publish
from engine.errors import InputError, UsageError
from engine.model import Decoder
from engine.schema import Document
from engine.tokenizer import Tokenizer
from engine.training import state
from engine.training.blueprint import Blueprint
from engine.training.corpus import Corpus, encode, split
from engine.training.pretrain import Pretrainer, fresh
from engine.training.stepping import Measured, Step

if TYPE_CHECKING:
    from pathlib import Path

SHAPE: dict[str, Any] = {
    "layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "context": 32, "steps": 12, "batch_tokens": 128,
    "pass_tokens": 64, "learning_rate": 1e-2, "held_out": 0.1,
}  # fmt: skip
TEXT = "".join(f"The harbour has {n % 7} boats and one gull. 港口有{n % 7}条船。\n" for n in range(60))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(tokenizer_models.path())


def trainer(out: Path, seed: int = 0, text: str = TEXT, **changes: Any) -> Pretrainer:
    return Pretrainer([Document("a.txt", text)], Blueprint(**(SHAPE | changes)), out, seed=seed, device="cpu")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("layers = 2\nwidth = 64\nheads = 4", UsageError, "lacks context"),
        ("layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nlayer = 3", UsageError, "'layer'"),
        ("layers = 0\nwidth = 64\nheads = 4\ncontext = 64", UsageError, "layers must lie between 1 and 64, got 0"),
        ("layers = 2\nwidth = 60\nheads = 8\ncontext = 64", UsageError, "multiple of 2 x heads = 16, got 60"),
        ("layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nkv_heads = 3", UsageError, "multiple of kv_heads = 3"),
        ("layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nbatch_tokens = 32", UsageError, "batch_tokens"),
        ("layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nheld_out = 0", UsageError, "held_out"),
        ("layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nlearning_rate = -1", UsageError, "learning_rate"),
        ("layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nlearning_rate = nan", UsageError, "learning_rate"),
        ("layers = 2.5\nwidth = 64\nheads = 4\ncontext = 64", UsageError, "layers should be of type int"),
        ("layers = true\nwidth = 64\nheads = 4\ncontext = 64", UsageError, "layers should be of type int"),
        ('layers = 2\nwidth = 64\nheads = 4\ncontext = 64\nvocabulary = "../x"', UsageError, "no vocabulary"),
        ("layers =", InputError, "neither TOML nor JSON"),
        ("[1, 2]", InputError, "neither TOML nor JSON"),
        ("{", InputError, "neither TOML nor JSON"),
    ],
)
def test_nonsense_is_refused_and_named(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        Blueprint.read(Document("c.toml", text))
    assert said in str(caught.value)


def test_toml_and_json_say_the_same() -> None:
    lines = "\n".join(f"{name} = {value}" for name, value in SHAPE.items())
    assert Blueprint.read(Document("c.toml", lines)) == Blueprint.read(Document("c", json.dumps(SHAPE)))


def test_the_rate_rises_and_falls_to_a_tenth() -> None:
    rates = [Blueprint(**SHAPE, warmup=0.25).rate(step, 12) for step in range(12)]
    assert rates[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 1e-3 < rates[-1] < 2e-3


@given(st.text(alphabet="ab\n好", max_size=60), st.floats(0.01, 0.5))
def test_a_text_is_split_into_its_two_ends_at_a_line(text: str, share: float) -> None:
    kept, held = split(text, share)
    assert kept + held == text
    assert len(held) >= round(len(text) * share) - 1
    if "\n" in kept:
        assert kept.endswith("\n")


def test_a_long_text_is_encoded_in_parts_as_it_would_be_whole(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.training.corpus.AT_ONCE", 100)
    assert encode(tokenizer, TEXT) == tokenizer.encode(TEXT)
    unbroken = "港口有船" * 200
    assert tokenizer.decode(encode(tokenizer, unbroken)) == unbroken


def test_an_epoch_sees_every_window_once_and_begins_each_as_a_text(tokenizer: Tokenizer) -> None:
    corpus = Corpus([Document("a", TEXT)], tokenizer, 0.1, 32)
    first, second = corpus.epoch(0, 7), corpus.epoch(1, 7)
    assert first == corpus.epoch(0, 7) != second
    assert len(first) == corpus.windows == (len(corpus.stream) - 1) // 32
    seen = Counter(place for start in first for place in range(start, start + 32))
    assert set(seen.values()) == {1}
    batch = corpus.batch(first[:3])
    assert batch.shape == (3, 33)
    assert batch[:, 0].tolist() == [tokenizer.bos_id] * 3
    assert batch[1, 1:].tolist() == corpus.stream[first[1] : first[1] + 32].tolist()
    held = [id_ for window in corpus.held for id_ in window]
    assert tokenizer.decode(held) == corpus.held_text == split(TEXT, 0.1)[1]
    assert corpus.held_bytes == sum(len(tokenizer.token_bytes(id_)) for id_ in held)


def test_too_little_text_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="expected at least 32 and 2"):
        Corpus([Document("a", "One line.\nAnother.\n")], tokenizer, 0.1, 32)


@pytest.mark.parametrize("steps", [0, 12])
def test_the_tokens_that_are_told_beforehand_are_those_that_are_seen(tmp_path: Path, steps: int) -> None:
    """An epoch's last step may have fewer windows than the others."""
    run = trainer(tmp_path / "m", steps=steps, epochs=3, batch_tokens=32 * 20)
    assert run.corpus.windows > 20
    assert run.corpus.windows % 20
    assert run.plan().seen == sum(event.tokens for event in run.run() if isinstance(event, Step))


def test_what_is_learnt_is_near_what_there_is_to_learn(tmp_path: Path) -> None:
    run = trainer(tmp_path / "m", steps=120)
    events = list(run.run())
    measured = [event.loss for event in events if isinstance(event, Measured)]
    assert measured[0] == pytest.approx(math.log(16_000), rel=0.05)
    assert measured[-1] < 0.4  # a line has one of seven numbers, twice the same, and some 25 tokens
    facts = json.loads((tmp_path / "m" / "training.json").read_text(encoding="utf-8"))
    assert facts["held_out_perplexity_by_byte"] == pytest.approx(run.by_byte(measured[-1]))
    given_, said = run.sample(0)
    assert TEXT.startswith(given_, TEXT.index(given_))
    assert "boats" in given_ + said


def test_passes_of_a_step_add_up_to_the_whole(tmp_path: Path) -> None:
    found = []
    for pass_tokens in (32, 128):
        run = trainer(tmp_path / "m", pass_tokens=pass_tokens)
        steps = run.run()
        while not isinstance(next(steps), Step):
            pass
        grads = {name: parameter.grad.clone() for name, parameter in run.model.named_parameters()}
        steps.close()
        state.place(tmp_path / "m").unlink()
        found.append(grads)
    for name, grad in found[0].items():
        torch.testing.assert_close(grad, found[1][name], rtol=0.1, atol=0.03 * float(grad.abs().max()))


def test_the_folder_is_what_others_read_as_well(tmp_path: Path) -> None:
    import transformers

    for tied in (True, False):
        folder = tmp_path / str(tied)
        folder.mkdir()
        torch.manual_seed(1)
        model = fresh(Decoder(Blueprint(**SHAPE, tied_head=tied).model(16_000)))
        publish(model, folder, tokenizer_models.DEFAULT)
        reference = transformers.LlamaForCausalLM.from_pretrained(folder).eval()
        ids = torch.tensor([[1, 5, 300, 77, 12_000, 9]])
        with torch.no_grad():
            torch.testing.assert_close(model.logits(model(ids)), reference(ids).logits, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_another(tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        list(trainer(tmp_path / name, seed, steps=3).run())
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path, stop: int) -> None:
    list(trainer(tmp_path / "whole").run())
    steps = trainer(tmp_path / "parts").run()
    while not isinstance(event := next(steps), Step) or event.number < stop:
        pass
    steps.close()
    assert not (tmp_path / "parts").exists()
    with pytest.raises(UsageError, match="seed differ"):
        list(trainer(tmp_path / "parts", seed=1).run())
    with pytest.raises(UsageError, match="data differ"):
        list(trainer(tmp_path / "parts", text=TEXT + "More.\n").run())
    list(trainer(tmp_path / "parts").run())
    for name in ("model.safetensors", "training.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text("\n".join(f"{name} = {value}" for name, value in SHAPE.items()))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def test_the_command_trains_and_the_other_commands_use_the_model(home: Path) -> None:
    flags = ("--out", "small", "--name", "small", "--threads", "1", "--licence", "text: ours")
    done = llm(home, "finetune", "--from-scratch", "small.toml", "text.txt", *flags, timeout=240)
    told = done.stderr.decode()
    assert done.returncode == 0, told
    assert done.stdout == b""
    assert "12 steps see" in told
    assert "held-out loss" in told
    assert "▸" in told
    facts = json.loads((home / "small" / "training.json").read_text(encoding="utf-8"))
    assert facts["files"][0]["name"] == "text.txt"
    assert "llm complete … -m small" in told  # it goes on with texts and has never seen a question
    shown = json.loads(llm(home, "models", "show", "small", "--json").stdout)
    assert (shown["chat"], shown["context"], shown["notices"]) == (False, 32, ["NOTICE.md"])
    measured = llm(home, "eval", "perplexity", "--data", "small/held_out.txt", "-m", "small", "--json")
    figure = json.loads(measured.stdout)["metrics"]["perplexity_by_byte"]["value"]
    assert figure == pytest.approx(facts["held_out_perplexity_by_byte"], rel=0.1)
    again = llm(home, "finetune", "--from-scratch", "small.toml", "text.txt", *flags)
    assert (again.returncode, b"models import small --name NAME" in again.stderr) == (2, True)
    taken = llm(home, "finetune", "--from-scratch", "small.toml", "text.txt", "--out", "other", "--name", "SMALL")
    assert (taken.returncode, b"already a model 'small'" in taken.stderr) == (2, True)
    assert not (home / "other").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rank", "4"], "--rank"),
        (["--learning-rate", "0.1"], "--learning-rate"),
        (["-m", "tiny"], "--model"),
    ],
)
def test_what_training_from_nothing_can_not_honour_is_refused(home: Path, flags: list[str], said: str) -> None:
    done = llm(home, "finetune", "--from-scratch", "small.toml", "text.txt", "--out", "small", *flags)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


@pytest.mark.parametrize("name", ["../x", ""])
def test_a_name_that_no_model_can_have_is_refused_before_the_training(home: Path, name: str) -> None:
    flags = ["--out", "small", "--name", name]
    done = llm(home, "finetune", "--from-scratch", "small.toml", "text.txt", *flags)
    assert done.returncode == 2
    assert "can't be a model's name" in done.stderr.decode()
    assert not (home / "small").exists()


def test_a_name_alone_or_a_missing_configuration_is_told(home: Path) -> None:
    assert llm(home, "finetune", "text.txt", "--out", "a", "--name", "x").returncode == 2
    assert llm(home, "finetune", "--from-scratch", "none.toml", "text.txt", "--out", "a").returncode == 1
    (home / "empty.txt").write_text("\n")
    assert llm(home, "finetune", "--from-scratch", "small.toml", "empty.txt", "--out", "a").returncode == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_a_killed_command_goes_on_to_the_same_weights(home: Path) -> None:
    script = (
        "import sys; from engine.training import stepping; stepping.SAVE_EVERY = 0.0\n"
        "from tui.cli.main import main; sys.argv[0] = 'llm'; main()"
    )
    words = ["finetune", "--from-scratch", "small.toml", "text.txt", "--threads", "1", "--out"]
    variables = environment(home)
    subprocess.run([*COMMAND, *words, "whole"], env=variables, cwd=home, check=True, capture_output=True, timeout=240)
    killed = subprocess.Popen(
        [sys.executable, "-c", script, *words, "parts"], env=variables, cwd=home, stderr=subprocess.DEVNULL
    )
    kept = home / "parts.training"
    while killed.poll() is None:
        if kept.exists():
            with safe_open(kept, framework="pt") as file:
                if json.loads(file.metadata()["training"])["step"] >= 2:
                    break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (home / "parts").exists()
    subprocess.run([*COMMAND, *words, "parts"], env=variables, cwd=home, check=True, capture_output=True, timeout=240)
    assert (home / "parts" / "model.safetensors").read_bytes() == (home / "whole" / "model.safetensors").read_bytes()
