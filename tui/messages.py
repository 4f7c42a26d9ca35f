"""What the model's thread tells the app, each named as what has happened. They carry facts; handlers own all state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

if TYPE_CHECKING:
    from engine.counter import TextCounter
    from engine.errors import EngineError
    from engine.schema import Chunk, ModelSummary, Progress
    from tui.records import Hit
    from tui.talk import Piece


@dataclass
class Posted(Message):
    """From the model's thread; `key` says which job speaks."""

    key: int


@dataclass
class JobBegan(Posted):
    """A job that may have waited has its turn."""


@dataclass
class JobFailed(Posted):
    """A job ended with an error."""

    error: EngineError


@dataclass
class ModelLoaded(Posted):
    """A model is ready to answer."""

    name: str
    place: str
    """Device and kernel."""
    context: int
    """Tokens."""
    memory: int
    """Bytes."""
    seconds: float
    counter: TextCounter
    """Its tokenizer, for the app's own thread."""
    went_back: dict[str, Any] | None = None
    """What it was opened with, where it is the one of before because the job's own could not be loaded."""


@dataclass
class AnswerBegan(Posted):
    """The prompt is being read."""

    left_out: int
    """Messages at the conversation's start that the model is not shown."""
    identity: str = ""
    device: str = ""
    kernel: str = ""
    """Which weights answer, and where; empty for a task."""
    model: str = ""
    """Its name: another may have been loaded when the question was sent, or none yet."""


@dataclass
class AnswerGrew(Posted):
    """One more piece."""

    chunk: Chunk
    elapsed: float
    """Seconds since the answer began."""


@dataclass
class AnswerEnded(Posted):
    """The last piece came, or the answer was stopped."""

    stopped: bool
    note: str = ""
    """What a task says about what it read."""


@dataclass
class AlternativesFound(Posted):
    """What the model might have said next at a place."""

    found: list[tuple[str, float]]
    """Text and probability, the likeliest first."""


@dataclass
class WordsWeighed(Posted):
    """How likely the model finds each stretch of an answer."""

    pieces: list[Piece]


@dataclass
class TokensCounted(Posted):
    """How long a conversation is, with everything that the chat format adds."""

    tokens: int


@dataclass
class TitleWritten(Posted):
    """The model named a conversation."""

    title: str


@dataclass
class MeaningsFound(Posted):
    """The kept messages that are nearest to a query."""

    hits: list[Hit]


@dataclass
class TaskProgressed(Posted):
    """How far a task is."""

    done: int
    total: int


@dataclass
class PullProgressed(Posted):
    """How far a pull is."""

    progress: Progress


@dataclass
class PullEnded(Posted):
    """A model is installed, or its pull was stopped. A pull that failed is a job that failed."""

    summary: ModelSummary | None
