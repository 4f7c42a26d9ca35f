"""Where a training run stands, kept so that a killed one goes on to the very same adapter."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.disk import disk_errors, write_whole
from engine.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from engine.training.adamw import AdamW

KEY = "training"


@dataclass(slots=True)
class State:
    """Steps done, and what was measured on the way."""

    run: dict[str, Any]
    """What must be the same to go on: settings, base, data."""
    step: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    """Held-out loss by step, nats a learnt token."""


def place(out: Path) -> Path:
    """Beside the adapter that comes of it."""
    return out.with_name(f"{out.name}.training")


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """While it is entered no other process trains for the same aim. Told before long work: a folder not to be written.

    Raises UsageError where another process does, FetchError.
    """
    from filelock import FileLock, Timeout

    path = out.with_name(f".{place(out).name}.lock")
    lock = FileLock(path)
    with disk_errors(out.absolute().parent):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise UsageError(
                f"another process is training {out}", hint="wait until it is done, or choose another --out"
            ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is held
            path.unlink()
        lock.release()


def save(path: Path, state: State, parameters: Mapping[str, nn.Parameter], optimizer: AdamW) -> None:
    """Parameters and the optimizer's moments in float32, whole or not at all."""
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[name] = parameter.detach().contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{name}.{moment}"] = optimizer.state[parameter][moment].contiguous()
    metadata = {KEY: json.dumps({"run": state.run, "step": state.step, "losses": state.losses})}
    write_whole(path, to_bytes(tensors, metadata))


def load(path: Path, run: dict[str, Any], parameters: Mapping[str, nn.Parameter], optimizer: AdamW) -> State | None:
    """Put a kept state into place; None if there is none. Raises UsageError for one of another run, CheckpointError for
    a damaged one."""
    import safetensors
    import torch

    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            known = json.loads(file.metadata()[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint="delete it to begin anew") from error
    if known["run"] != run:
        raise UsageError(
            f"{path} is of another run: {', '.join(_differing(known['run'], run))} differ",
            hint="delete it to begin anew, or choose another --out",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(known["step"])),
                "exp_avg": tensors[f"{name}.exp_avg"].to(parameter.device),
                "exp_avg_sq": tensors[f"{name}.exp_avg_sq"].to(parameter.device),
            }
    return State(run, known["step"], [(step, loss) for step, loss in known["losses"]])


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same in two runs: of the settings which, and what they were."""
    names = [name for name in {**before, **now} if name != "settings" and before.get(name) != now.get(name)]
    old, new = before.get("settings", {}), now.get("settings", {})
    return names + [f"{name} (was {old.get(name)}, is {new[name]})" for name in new if old.get(name) != new[name]]
