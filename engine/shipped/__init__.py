"""Adapters that the project ships: which model of the catalog each was trained over, and what the two make together.

NAME.safetensors lies in this folder, NOTICE-NAME.md, its data card, and NAME-probes.safetensors, which was learnt from
the states of the model that it makes (`engine.probe`). While the adapter is not here, neither is the model that is made
with it. No tensor is read here, and nothing but the folder is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent
LARGEST = 20 * 10**6
"""Bytes of an adapter's file: what the repository and everybody who installs the program can be asked to carry."""


@dataclass(frozen=True, slots=True)
class ShippedAdapter:
    """One adapter, and the model that pulling merges it into."""

    name: str
    base: str
    """sha256 of the file that the base is converted from: an adapter fits no other weights."""
    model: str
    """What the base with the adapter merged is called."""
    en: str
    """What that model is good for, in one line of English."""
    zh: str
    """The same in Chinese."""
    licence: str
    """SPDX id of the adapter's terms, which are beside those of the base."""
    licence_name: str
    aliases: tuple[str, ...] = ()
    """Short names that mean that model, no longer its base."""
    sha256: str = ""
    """Of the adapter's file, over which the probes were learnt: with another one they are not asked."""
    probes: tuple[str, ...] = ()
    """Questions that these answer."""

    @property
    def path(self) -> Path:
        """The weights."""
        return FOLDER / f"{self.name}.safetensors"

    @property
    def probes_path(self) -> Path:
        """The probes."""
        return FOLDER / f"{self.name}-probes.safetensors"

    @property
    def card(self) -> Path:
        """What it was trained on, under which licences, and whom to name: kept beside all weights made with it."""
        return FOLDER / f"NOTICE-{self.name}.md"


KNOWN: tuple[ShippedAdapter, ...] = (
    ShippedAdapter(
        name="tasks",
        base="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        model="qwen2.5-coder-0.5b-tasks",
        en="Qwen2.5-Coder 0.5B, taught the commands' own tasks in Chinese and English; small and quick.",
        zh="Qwen2.5-Coder 0.5B，另外训练了各命令的中英文任务；小而快。",
        licence="CC-BY-SA-4.0",
        licence_name="CC BY-SA 4.0",
        aliases=("qwen", "qwen-0.5b", "qwen0.5b", "qwen-tasks", "tasks"),
        sha256="50c2062b4de550efbe82dced64286e81ff858d179e94d7152b8e188375e01f89",
        probes=("sentiment.en",),
    ),
)


def adapters() -> Sequence[ShippedAdapter]:
    """Those whose file is here."""
    return [adapter for adapter in KNOWN if adapter.path.is_file()]


def find(name: str) -> ShippedAdapter | None:
    """The adapter of that name, if its file is here."""
    return next((adapter for adapter in adapters() if adapter.name == name), None)


def probes(adapter: str) -> Mapping[str, Path]:
    """Of the model that an adapter (its sha256) was merged into, the questions that it answers at a glance, and the
    file that holds how."""
    fit = [known for known in adapters() if adapter and known.sha256 == adapter and known.probes_path.is_file()]
    return {name: known.probes_path for known in fit for name in known.probes}


def resolve(path: Path) -> Path:
    """The file that `--adapter` means: a path, or else the name of an adapter that ships."""
    if not path.exists() and (adapter := find(str(path))):
        return adapter.path
    return path
