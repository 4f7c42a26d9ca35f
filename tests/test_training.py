"""Fine-tuning at toy size: gradients against plain matrices, padding against row by row, kill and resume, merging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine import adapter, checkpoint, manifest
from engine.errors import CheckpointError, FetchError, UsageError
from engine.kernels.reference import ReferenceKernel
from engine.linear import Int8Linear, quantize_rows
from engine.model_folder import read_config
from engine.schema import Message
from engine.session import Session
from engine.training import rows, state
from engine.training.adamw import AdamW
from engine.training.loop import Trainer
from engine.training.lora import LoRALinear, TrainableKernel, loss_of, open_decoder
from engine.training.settings import TrainingConfig
from engine.training.stepping import Measured, Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONFIG = TrainingConfig(rank=4, alpha=8, epochs=2, learning_rate=5e-3, step_tokens=64, pass_tokens=64, held_out=0.2)


def taught(count: int = 12) -> list[rows.Conversation]:
    """Whatever is asked, the answer is the same."""
    return [
        rows.Conversation((Message("user", f"question {n} " + "word " * (n % 5)), Message("assistant", "forty two")))
        for n in range(count)
    ]


@pytest.fixture
def folder(tiny_model_home: Path) -> Path:
    return tiny_model_home / "models" / "tiny"


def run(trainer: Trainer) -> list[Step | Measured]:
    return list(trainer.run())


def test_gradients_are_those_of_the_merged_matrix() -> None:
    weight = torch.randn(6, 8)
    values, scales = quantize_rows(weight)
    base = Int8Linear(values, scales, torch.randn(6), TrainableKernel(torch.float32), 1)
    layer = LoRALinear(base, 2, 3.0, torch.float32)
    torch.nn.init.normal_(layer.b)
    x = torch.randn(5, 8)
    aim = torch.randn(5, 6)
    functional.mse_loss(layer(x), aim).backward()  # type: ignore[no-untyped-call]
    a, b = layer.a.detach().requires_grad_(), layer.b.detach().requires_grad_()
    plain = functional.linear(x, values * scales[:, None] + 3.0 * b @ a, base.bias)
    functional.mse_loss(plain, aim).backward()  # type: ignore[no-untyped-call]
    assert layer.a.grad is not None
    assert a.grad is not None
    torch.testing.assert_close(layer.a.grad, a.grad)
    torch.testing.assert_close(layer.b.grad, b.grad)


def test_a_large_bias_leaves_what_it_is_added_to_as_exact_as_it_was() -> None:
    weight, x = torch.randn(6, 32), torch.randn(5, 32)
    values, scales = quantize_rows(weight)
    base = Int8Linear(values, scales, torch.full((6,), 1000.0), TrainableKernel(torch.bfloat16), 1)
    layer = LoRALinear(base, 2, 3.0, torch.bfloat16)
    exact = functional.linear(x, values * scales[:, None])
    torch.testing.assert_close(layer(x) - 1000, exact, rtol=0.05, atol=0.1)


def test_rows_side_by_side_lose_what_they_lose_alone(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(folder, taught(), CONFIG, tmp_path / "a", "cpu")
    model, parameters = open_decoder(folder, CONFIG, torch.device("cpu"))
    for name, parameter in parameters.items():
        if name.endswith(".b"):
            torch.nn.init.normal_(parameter, std=0.1)
    batch = trainer.rows[:5]
    assert len({len(row.ids) for row in batch}) > 1

    def gradient(groups: Sequence[Sequence[rows.Encoded]]) -> tuple[float, list[torch.Tensor]]:
        model.zero_grad()
        losses = [loss_of(model, *trainer._tensors(group)) for group in groups]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        return sum(loss.item() for loss in losses), [p.grad.clone() for p in parameters.values() if p.grad is not None]

    together, alone = gradient([batch]), gradient([[row] for row in batch])
    assert together[0] == pytest.approx(alone[0], rel=1e-2)
    for ours, theirs in zip(together[1], alone[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.02 * float(theirs.abs().max()))


def test_training_lowers_the_loss_and_changes_the_answers_as_taught(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    config = TrainingConfig(
        rank=8, alpha=16, epochs=30, learning_rate=1e-2, step_tokens=64, pass_tokens=64, held_out=0.2
    )
    trainer = Trainer(folder, taught(), config, out, "cpu")
    measured = [event.loss for event in run(trainer) if isinstance(event, Measured)]
    assert measured[-1] < 0.2 * measured[0]
    session = Session.open(folder, device="cpu", threads=1, adapter=out)
    from engine.config import SamplingConfig

    greedy = SamplingConfig(temperature=0, max_tokens=8)
    chunks = list(session.stream([Message("user", "question 99 word")], greedy))
    assert "".join(chunk.text for chunk in chunks) == "forty two"
    assert chunks[-1].finish_reason == "stop"
    plain = Session.open(folder, device="cpu", threads=1)
    assert plain.identity != session.identity


def test_merging_is_what_the_layers_did_beside_each_other(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(folder, taught(), CONFIG, tmp_path / "a", "cpu")
    run(trainer)
    found = adapter.load(tmp_path / "a")
    tensors = checkpoint.map_tensors(folder / checkpoint.WEIGHTS_FILE)
    config, quantization = read_config(folder)
    merged = checkpoint.build(
        config, quantization, adapter.merged(tensors, found), ReferenceKernel(), torch.device("cpu")
    )
    ids = torch.tensor([[5, 9, 300, 77, 1234]])
    with torch.no_grad():
        beside, ours = trainer.model(ids), merged(ids)
        plain = checkpoint.load(folder, ReferenceKernel(), torch.device("cpu"))(ids)
    assert (ours - beside).norm() < 0.25 * (plain - beside).norm()


def test_the_same_seed_gives_the_same_adapter_and_another_another(folder: Path, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = TrainingConfig(rank=2, alpha=4, epochs=1, step_tokens=64, pass_tokens=64, held_out=0.2, seed=seed)
        run(Trainer(folder, taught(), config, tmp_path / name, "cpu"))
        digests.append(adapter.load(tmp_path / name).sha256)
    assert digests[0] == digests[1] != digests[2]


def test_a_run_goes_on_from_an_adapter_and_remembers_it(folder: Path, tmp_path: Path) -> None:
    before = run(Trainer(folder, taught(), CONFIG, tmp_path / "first", "cpu", {"licences": ["rows: mine"]}))
    first = adapter.load(tmp_path / "first")
    more = {"licences": ["rows: mine", "more rows: yours"]}
    after = run(Trainer(folder, taught(), CONFIG, tmp_path / "second", "cpu", more, first))
    losses = [[event.loss for event in events if isinstance(event, Measured)] for events in (before, after)]
    assert losses[0][0] != pytest.approx(losses[0][-1], rel=0.01)
    assert losses[1][0] == pytest.approx(losses[0][-1], rel=0.01)  # an adapter is kept in bfloat16
    second = adapter.load(tmp_path / "second")
    assert (second.info["start"]["sha256"], second.info["start"]["steps"]) == (first.sha256, first.info["steps"])
    assert second.info["licences"] == ["rows: mine", "more rows: yours"]
    other = TrainingConfig(rank=3, alpha=4, epochs=1, step_tokens=64, pass_tokens=64)
    with pytest.raises(UsageError, match="rank"):
        Trainer(folder, taught(), other, tmp_path / "third", "cpu", start=first)


def test_a_run_that_was_stopped_goes_on_to_the_same_adapter(folder: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(Trainer(folder, taught(), CONFIG, whole, "cpu"))
    for stop in (1, 2):
        steps = Trainer(folder, taught(), CONFIG, parts, "cpu").run()
        for event in steps:
            if isinstance(event, Step) and event.number >= stop:
                next(steps, None)
                break
        steps.close()
        assert state.place(parts).exists()
        assert not parts.exists()
    run(Trainer(folder, taught(), CONFIG, parts, "cpu"))
    assert parts.read_bytes() == whole.read_bytes()
    assert not state.place(parts).exists()


@pytest.mark.parametrize("event", [Step, Measured])
def test_a_run_stopped_right_after_a_step_or_while_measuring_goes_on_to_the_same_adapter(
    folder: Path, tmp_path: Path, event: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.training.stepping.MEASURE_EVERY", 0.5)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer = Trainer(folder, taught(), CONFIG, whole, "cpu")
    count = len(trainer.steps)
    assert count >= 4
    run(trainer)
    stopped = Trainer(folder, taught(), CONFIG, parts, "cpu")
    steps = stopped.run()
    if event is Step:
        while not isinstance(found := next(steps), Step) or found.number != 1:
            pass
        steps.close()
    else:
        next(steps)
        monkeypatch.setattr(Trainer, "measure", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(steps)
        monkeypatch.undo()
        monkeypatch.setattr("engine.training.stepping.MEASURE_EVERY", 0.5)
    assert state.place(parts).exists()
    run(Trainer(folder, taught(), CONFIG, parts, "cpu"))
    assert parts.read_bytes() == whole.read_bytes()


def test_steps_are_those_of_pytorch_bit_by_bit() -> None:
    """Two groups that decay each at their own rate, a rate that changes, and a parameter without a gradient."""
    start = [torch.randn(5, 3), torch.randn(7), torch.randn(2)]
    ours, theirs = ([nn.Parameter(tensor.clone()) for tensor in start] for _ in range(2))
    optimizer = AdamW([(ours[:1], 0.1), (ours[1:], 0.0)], 0.01, betas=(0.9, 0.95))
    groups = [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
    for step in range(6):
        optimizer.rate = 0.01 / (1 + step)
        for group in reference.param_groups:
            group["lr"] = optimizer.rate
        optimizer.zero_grad()
        reference.zero_grad()
        for left, right in zip(ours[:2], theirs, strict=False):
            left.grad = torch.randn_like(left)
            right.grad = left.grad.clone()
        optimizer.step()
        reference.step()
        assert all(torch.equal(left, right) for left, right in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], start[0])
    assert torch.equal(ours[2], start[2])
    for left, right in zip(ours[:2], theirs, strict=False):
        assert optimizer.state[left].keys() == reference.state[right].keys()
        assert all(
            torch.equal(optimizer.state[left][name], reference.state[right][name]) for name in reference.state[right]
        )


def test_a_run_stopped_amid_an_update_keeps_no_state_of_that_moment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(Trainer(folder, taught(), CONFIG, whole, "cpu"))
    true_step = AdamW.step
    calls = 0

    def stopped(optimizer: AdamW) -> None:
        nonlocal calls
        calls += 1
        true_step(optimizer)
        if calls == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(AdamW, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(Trainer(folder, taught(), CONFIG, parts, "cpu"))
    monkeypatch.undo()
    run(Trainer(folder, taught(), CONFIG, parts, "cpu"))
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("step_tokens", [64, 10_000])
def test_a_loss_that_is_no_number_ends_the_run(folder: Path, tmp_path: Path, step_tokens: int) -> None:
    """After the last step, here the only one of the second run, the rows held out tell."""
    config = TrainingConfig(
        rank=2, alpha=4, epochs=1, learning_rate=1e30, warmup=0, step_tokens=step_tokens, pass_tokens=64, held_out=0.2
    )
    with pytest.raises(UsageError, match="run away"):
        run(Trainer(folder, taught(), config, tmp_path / "a", "cpu"))
    assert list(tmp_path.iterdir()) == []


def test_the_memory_told_knows_of_the_longest_row(folder: Path, tmp_path: Path) -> None:
    long = rows.Conversation((Message("user", "word " * 800), Message("assistant", "forty two")))
    config = TrainingConfig(rank=4, step_tokens=64, pass_tokens=64, held_out=0)
    short = Trainer(folder, taught(), config, tmp_path / "a", "cpu").plan().memory
    assert Trainer(folder, [*taught(), long], config, tmp_path / "a", "cpu").plan().memory > 1.5 * short


def test_a_kept_state_of_other_settings_or_rows_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    steps = Trainer(folder, taught(), CONFIG, out, "cpu").run()
    while not isinstance(next(steps), Step):
        pass
    next(steps)
    steps.close()
    with pytest.raises(UsageError, match="data differ"):
        run(Trainer(folder, taught(11), CONFIG, out, "cpu"))
    state.place(out).write_bytes(b"\x00" * 100)
    with pytest.raises(CheckpointError, match="damaged"):
        run(Trainer(folder, taught(), CONFIG, out, "cpu"))


def test_one_process_at_a_time_trains_for_an_aim(folder: Path, tmp_path: Path) -> None:
    steps = Trainer(folder, taught(), CONFIG, tmp_path / "a", "cpu").run()
    next(steps)
    with pytest.raises(UsageError, match="another process is training"):
        next(Trainer(folder, taught(), CONFIG, tmp_path / "a", "cpu").run())
    steps.close()
    run(Trainer(folder, taught(), CONFIG, tmp_path / "a", "cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_takes_nothing_is_told_before_the_first_step(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "a", tmp_path / ("a" * 250)):
        with pytest.raises(FetchError, match="can't be written"):
            next(Trainer(folder, taught(), CONFIG, out, "cpu").run())


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 0},
        {"alpha": -1.0},
        {"alpha": 1e30},
        {"epochs": 10**12},
        {"targets": ("head",)},
        {"targets": ("mlp.down", "mlp.down")},
        {"held_out": 1.0},
    ],
)
def test_nonsense_is_refused_at_birth(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TrainingConfig(**change)


def test_an_adapter_of_other_weights_and_a_damaged_one_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    run(Trainer(folder, taught(), CONFIG, out, "cpu"))
    data = out.read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    (tmp_path / "other").write_bytes(data.replace(manifest.read(folder).base.encode(), b"0" * 64))
    for name, error in (("cut", CheckpointError), ("junk", CheckpointError), ("other", UsageError)):
        with pytest.raises(error):
            Session.open(folder, device="cpu", threads=1, adapter=tmp_path / name)
    with pytest.raises(CheckpointError, match="can't be read"):
        Session.open(folder, device="cpu", threads=1, adapter=tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [("rank", float("inf")), ("scale", float("nan")), ("scale", 1e300), ("training", 5), ("base_name", None)],
)
def test_a_manifest_that_was_tampered_with_is_a_damaged_adapter(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "a"
    adapter.save(path, {}, {"base": "x", "rank": 2, "scale": 1.0, name: value})
    for read in (adapter.load, adapter.read_info):
        with pytest.raises(CheckpointError, match="damaged"):
            read(path)


def test_an_adapter_of_other_layers_is_not_gone_on_from(folder: Path, tmp_path: Path) -> None:
    run(Trainer(folder, taught(), CONFIG, tmp_path / "a", "cpu"))
    whole = adapter.load(tmp_path / "a")
    elsewhere = {name.replace("layers.0", "layers.9"): tensor for name, tensor in whole.tensors.items()}
    adapter.save(tmp_path / "b", elsewhere, whole.info)
    with pytest.raises(CheckpointError, match="does not fit"):
        run(Trainer(folder, taught(), CONFIG, tmp_path / "c", "cpu", start=adapter.load(tmp_path / "b")))


def test_a_rank_beyond_the_width_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rank must be at most"):
        Trainer(folder, taught(), TrainingConfig(rank=10**12), tmp_path / "a", "cpu")
