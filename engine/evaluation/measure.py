"""What every measured task has: rows to read, the product run on them, and the figures of what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from engine.config import SamplingConfig
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.config import Overflow
    from engine.evaluation.interval import Statistic
    from engine.schema import Document, Language
    from engine.session import Session


class HasLine(Protocol):
    """A row that knows where it stood."""

    @property
    def line(self) -> int:
        """From 1."""


OnProgress = Callable[[int, int], object]
Row = TypeVar("Row", bound=HasLine)
Scores = TypeVar("Scores")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a task's command would be told, as far as the rows do not say it."""

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    length: str = "medium"
    """For summarize."""
    labels: tuple[str, ...] = ()
    """For classify; empty: those of the rows."""
    examples: tuple[tuple[str, str], ...] = ()
    """For classify: text and label."""
    to: Language = "zh"
    """For translate."""
    passages: Document | None = None
    """For search; JSONL."""
    overflow: Overflow = "search"
    """For qa."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Scores]):
    """What came of one row: the answer for people to look at, and what the figures are computed from."""

    line: int
    answer: dict[str, Any]
    scores: Scores | None
    """None: the row failed."""
    error: str = ""

    @classmethod
    def failed(cls, line: int, error: EngineError) -> Self:
        """A row that could not be run."""
        return cls(line, {"error": error.message}, None, error.message)


class Measure(ABC, Generic[Row, Scores]):
    """One task, ready to be measured."""

    unit = "rows"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    @abstractmethod
    def read(self, document: Document) -> list[Row]:
        """The rows of a file. Raises InputError."""

    def prepare(self, session: Session, rows: list[Row], progress: OnProgress) -> list[Row]:
        """What is really run, once the model is there; `progress` is told what is done of how much."""
        return rows

    def close(self) -> None:
        """Let go of what `prepare` made."""
        return

    def run(self, session: Session, rows: Sequence[Row]) -> Iterator[Outcome[Scores]]:
        """Run the product on each row, in any order; an error stays in its row."""
        for row in rows:
            try:
                answer, scores = self.judge(session, row)
            except EngineError as error:
                yield Outcome.failed(row.line, error)
            else:
                yield Outcome(row.line, answer, scores)

    def judge(self, session: Session, row: Row) -> tuple[dict[str, Any], Scores]:
        """Run the product on one row: its answer, and how good that is. For `run`, where rows are taken singly."""
        raise NotImplementedError

    @abstractmethod
    def statistics(self) -> Mapping[str, Statistic[Scores]]:
        """The figures by name, in the order in which people read them."""
