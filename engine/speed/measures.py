"""What is measured, by name; the names are those of an engine's methods. Needs nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["tok/s", "GB/s", "s", "MB", ""]


@dataclass(frozen=True, slots=True)
class Measure:
    """One question to an engine."""

    name: str
    argument: int | None
    unit: Unit
    label: str

    @property
    def key(self) -> str:
        """What it is called on the wire and in JSON."""
        return self.name if self.argument is None else f"{self.name} {self.argument}"

    @property
    def smaller_is_better(self) -> bool:
        """Times, sizes and divergences."""
        return self.unit not in {"tok/s", "GB/s"}

    @property
    def tokens(self) -> int:
        """The context that it needs."""
        if self.argument is None or self.name not in {"prefill", "decode"}:
            return 512
        return self.argument + (64 if self.name == "decode" else 0)


def _prefill(*counts: int) -> tuple[Measure, ...]:
    return tuple(Measure("prefill", count, "tok/s", f"prefill, {count} tokens") for count in counts)


def _decode(*depths: int) -> tuple[Measure, ...]:
    return tuple(Measure("decode", depth, "tok/s", f"decode, depth {depth}") for depth in depths)


def _together(*rows: int) -> tuple[Measure, ...]:
    return tuple(
        Measure("together", count, "tok/s", f"{count} sequences together" if count > 1 else "1 sequence in a batch")
        for count in rows
    )


START = Measure("start", None, "s", "start to the first token")
RESIDENT = Measure("resident", None, "MB", "resident memory after it")
SIZE = Measure("size", None, "MB", "size on disk")
BANDWIDTH = (
    Measure("weights", None, "GB/s", "weights that decode reads, depth 0"),
    Measure("memory", None, "GB/s", "what memory gives at most"),
)
"""A token costs at least one reading of all weights: the second bounds the first."""
DRAFTS = (
    Measure("copying", 0, "tok/s", "copying a text, without drafts"),
    Measure("copying", 1, "tok/s", "copying a text, with drafts"),
    Measure("telling", 0, "tok/s", "telling a story, without drafts"),
    Measure("telling", 1, "tok/s", "telling a story, with drafts"),
)
WHOLE = (*_prefill(128, 512, 2048, 8192), *_decode(0, 1024, 8192), *BANDWIDTH, *_together(1, 4, 16), *DRAFTS)
"""What a loaded model is asked."""
QUICK = (*_prefill(128, 512), *_decode(0), *_together(4), *DRAFTS[:2])
