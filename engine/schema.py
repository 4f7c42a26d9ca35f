"""The dataclasses that cross the boundary between the engine and its front ends. No torch, no terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "stopped", "repeated", "error"]
Language = Literal["en", "zh"]
Stage = Literal["wait", "connect", "download", "verify", "convert", "install"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text given with a question: what it is called and what it says."""

    name: str
    text: str
    first_line: int = 1
    """Where the text begins in what is called so: a passage may stand for its document."""
    page: bool = False
    """It is a web page, and the text what a reader sees of it (`engine.tasks.page`)."""
    crlf: bool = False
    """In its file lines end with a carriage return too, as on Windows."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A line of a document that an answer rests on."""

    name: str
    line: int
    """From 1."""
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer. The joined `text` of all chunks is the answer; the last one has a `finish_reason`."""

    text: str
    ids: tuple[int, ...] = ()
    """Tokens since the previous chunk; their text may still be held back (half a character, half a stop string)."""
    logprobs: tuple[float, ...] = ()
    """Natural log-probability of each of `ids` under the model, before temperature and filters."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """How many of the prompt's tokens were still in the KV cache."""
    output_tokens: int = 0
    """Generated so far, the stop token not counted."""
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    """Since the prompt was read."""
    finish_reason: FinishReason | None = None

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability of this chunk's tokens; 0 where it has none."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


@dataclass(frozen=True, slots=True)
class LabelScores:
    """A judgement: the best label and the probability of each. The scores sum to 1."""

    label: str
    scores: dict[str, float]

    @property
    def score(self) -> float:
        """Probability of the best label."""
        return self.scores[self.label]


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How much of a task is done: runs of a summary, sentences or passages compared, lines of a translation."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SummaryPart:
    """A piece of a summary and the stretch of the document that it is about."""

    text: str
    first_line: int
    last_line: int
    tokens: int
    """Of the document."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of an input the model read."""

    chunks_read: int
    chunks_total: int
    lines_read: int
    lines_total: int
    tokens_read: int
    tokens_total: int
    unread_lines: tuple[tuple[int, int], ...] = ()
    """First and last line, from 1, of each stretch that the model saw nothing of."""
    partly_read: tuple[tuple[int, int], ...] = ()
    """The same of lines that it saw a part of: a whole page may stand on one. They count as read."""
    chunks_cached: int = 0
    """Chunks whose results were kept from an earlier time."""
    given_whole: bool = False
    """The text is no longer than the summary asked for, and came out itself."""

    @property
    def complete(self) -> bool:
        """Whether the model saw everything."""
        return self.tokens_read == self.tokens_total


@dataclass(frozen=True, slots=True)
class LanguageQuality:
    """What int8 costs on a text of one language, against the float model."""

    tokens: int
    perplexity_float: float
    perplexity_int8: float
    kl: float
    """Mean Kullback-Leibler divergence of int8 from float, nats a token."""
    same_top_token: float
    """Share of positions where both name the same most probable token."""


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What the manifest of a model says about the adapter that was merged into it."""

    name: str
    sha256: str
    """Of the adapter's file."""
    base: str
    """What it was trained over: the sha256 of that model's source file, or the identity of the installed model."""
    licences: tuple[str, ...] = ()
    """Terms and attributions, a line each."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model as `llm models list` and `show` know it; read from its manifest, without loading weights."""

    name: str
    path: str
    family: str
    parameters: int
    bytes_on_disk: int
    context: int
    """Tokens."""
    licence: str
    source: str
    sha256: str
    """Of the file that the weights were converted from; empty for a folder of several."""
    chat: bool
    """Whether it has a chat template of its own; base models are prompted with transcripts."""
    quality: dict[str, LanguageQuality] = field(default_factory=dict)
    """By language; empty if it was not measured."""
    notices: tuple[str, ...] = ()
    """Licence and notice files beside the weights."""
    kernel: str = ""
    """The int8 kernel that `quality` was measured with."""
    licence_url: str = ""
    adapter: AdapterFacts | None = None
    """The fine-tuned change that is merged into its weights."""
    problem: str = ""
    """Why the model can't be used; empty when it can. Facts that could not be read are then empty or 0."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull or an import is. `total_bytes` 0: not known; `detail` is for people."""

    stage: Stage
    done_bytes: int = 0
    total_bytes: int = 0
    detail: str = ""


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from: what its manifest says about the file or folder it was converted from."""

    name: str
    """What the model is called here."""
    source: str
    """Where the bytes came from, for people."""
    spec: str = ""
    """What `models pull` takes to bring it again; empty for an import."""
    licence: str = ""
    """Its SPDX id or the publisher's own short name; empty: not stated."""
    licence_url: str = ""
    file: str = ""
    """The source file's name; empty for a folder of several."""
    sha256: str = ""
    """Of the source file; empty for a folder of several."""
    source_files: tuple[tuple[str, str], ...] = ()
    """Name and sha256 of each file of a source folder."""
    notices: tuple[Path, ...] = ()
    """Licence and notice files, which the library copies beside the weights."""
    adapter: Path | None = None
    """The adapter that is merged into the weights at conversion."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a converter reports about the model it wrote."""

    quality: dict[str, LanguageQuality] = field(default_factory=dict)
    """By language; empty if it was not measured."""
    kernel: str = ""
    """The int8 kernel that `quality` was measured with."""
    adapter: AdapterFacts | None = None
    """What was merged."""
