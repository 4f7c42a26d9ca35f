"""The kinds of device and the int8 kernel that each would use here, and why; importing this does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import UsageError

if TYPE_CHECKING:
    import torch

    from engine.kernels import Kernel


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A kind of device as `doctor` shows it."""

    name: str
    available: bool
    kernel: str
    reason: str
    """Why it is or is not used."""


def devices() -> list[DeviceInfo]:
    """Every kind of device: whether it is here, the kernel it would use, and why it is or is not chosen."""
    from engine.kernels import all_kernels, choose, resolve_device
    from engine.kernels.native import lanes

    chosen = resolve_device("auto").type
    found = []
    for name in ("cuda", "mps", "cpu"):
        try:
            device = resolve_device(name)
        except UsageError as error:
            found.append(DeviceInfo(name, available=False, kernel="", reason=error.message))
            continue
        kernel = choose(device)
        reason = "chosen by --device auto" if name == chosen else f"--device {name} chooses it"
        if kernel.name.startswith("cpu-native"):
            reason += f", compiled for {lanes()}"
        others = [f"{other.name}: {why}" for other in all_kernels() if (why := _passed_over(other, kernel, device))]
        found.append(DeviceInfo(name, available=True, kernel=kernel.name, reason="; ".join([reason, *others])))
    return found


def _passed_over(other: Kernel, chosen: Kernel, device: torch.device) -> str:
    """Why a kernel made for this kind of device, other than the chosen one, can't run here; empty if it could."""
    made_for = {"cpu": ("cpu", "x86")}.get(device.type, device.type)
    if other.name == chosen.name or not other.name.startswith(made_for):
        return ""
    return other.unavailable(device)
