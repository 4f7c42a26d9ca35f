"""A pull on one line: what is done with the model, how much of it has come, how fast, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.widgets import Static

from tui.strings import Strings

_CELLS = 24


@dataclass(slots=True)
class PullState:
    """How far a pull is."""

    spec: str
    name: str
    total: int
    """Bytes; 0: not known."""
    stage: str = "wait"
    done: int = 0
    rate: float = 0.0
    """Bytes a second, 0 while not known."""
    stopping: bool = False

    @property
    def share(self) -> float | None:
        """Of this stage; None where its whole is not known."""
        return min(self.done / self.total, 1.0) if self.total else None


def size(count: float) -> str:
    """Bytes for people: `491 MB`."""
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def told(state: PullState, strings: Strings) -> str:
    """What is done now, in words and figures."""
    if state.stopping:
        return strings("pull.stopping")
    parts = [strings(f"pull.{state.stage}")]
    if state.total and state.done:
        parts.append(f"{size(state.done)}/{size(state.total)}")
        if state.rate > 0 and state.stage == "download":
            parts.append(f"{size(state.rate)}/s")
            left = int((state.total - state.done) / state.rate)
            parts.append(strings("pull.left", time=f"{left // 60}:{left % 60:02}"))
    return " · ".join(parts)


class PullLine(Static):
    """The bar and the words; hidden while nothing is pulled."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="pull")
        self._strings = strings

    def show(self, state: PullState | None) -> None:
        """What stands there."""
        self.display = state is not None
        if state is None:
            return
        filled = round((state.share or 0.0) * _CELLS)
        percent = f" {state.share:4.0%} " if state.share is not None else " "
        bar = (("━" * filled, "$accent"), ("━" * (_CELLS - filled), "$foreground 25%"))
        self.update(Content.assemble(*bar, percent, told(state, self._strings)))
