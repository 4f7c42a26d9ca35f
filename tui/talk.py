"""The open conversation as a tree: edits, retries and forks are siblings. No terminal, no model, no database."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.errors import UsageError
from engine.schema import Chunk, Document, FinishReason, Message, Role
from engine.tasks.answer import block
from tui.records import whole


@dataclass(slots=True)
class Piece:
    """A stretch of an answer that came with one or more tokens."""

    text: str
    logprob: float
    """The smallest natural log-probability among its tokens."""


@dataclass(eq=False, slots=True)
class Turn:
    """A message in the tree, with what is known about how it came."""

    role: str
    text: str = ""
    parent: Turn | None = field(default=None, repr=False)
    children: list[Turn] = field(default_factory=list, repr=False)
    chosen: int | None = None
    """Which child the shown path goes on with; None: the path ends here."""
    documents: tuple[tuple[str, str], ...] = ()
    """Name and text of what was given with a question."""
    pieces: list[Piece] = field(default_factory=list, repr=False)
    """Only for answers drawn in this run; their joined text is the end of `text`."""
    model: str = ""
    finish: FinishReason | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    first_token: float = 0.0
    """Seconds until the first token."""
    decode: float = 0.0
    """Seconds from the first token to the last."""
    note: str = ""
    """What a task says about what it read."""
    task: tuple[str, str, str] | None = None
    """Of a question: the task's kind, file and argument, where the answer is a task's result."""
    identity: str = ""
    """Names the very weights that wrote it; beside it where they ran."""
    device: str = ""
    kernel: str = ""
    sampling: dict[str, object] = field(default_factory=dict, repr=False)
    """How it was drawn, seed included; empty where it can't be drawn again in one go."""
    ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[float] = field(default_factory=list, repr=False)
    """Of `ids`, natural."""
    kept: int | None = None
    """What the store calls it."""
    before: tuple[int, float] = field(default=(0, 0.0), repr=False)
    """Tokens and seconds of what it said before it was gone on with: their figures count on from there."""

    @property
    def rate(self) -> float:
        """Tokens a second, 0 while not known."""
        return (self.output_tokens - 1) / self.decode if self.decode > 0 and self.output_tokens > 1 else 0.0

    @property
    def place(self) -> tuple[int, int]:
        """Its number among its siblings, from 1, and how many there are."""
        siblings = self.parent.children if self.parent else [self]
        return siblings.index(self) + 1, len(siblings)

    def go_on(self) -> None:
        """What comes from now on is more of the same answer."""
        self.before = (self.output_tokens, self.decode)

    def grow(self, chunk: Chunk) -> None:
        """Take in one more piece of the answer."""
        self.text += chunk.text
        self.ids += chunk.ids
        self.logprobs += chunk.logprobs
        if chunk.ids:
            weakest = min(chunk.logprobs, default=0.0)
            if self.pieces and not self.pieces[-1].text:  # its text was held back: it comes with this one
                weakest = min(weakest, self.pieces.pop().logprob)
            self.pieces.append(Piece(chunk.text, weakest))
        elif chunk.text:
            self.pieces.append(Piece(chunk.text, 0.0))
        tokens, seconds = self.before
        if not (tokens and self.prompt_tokens):  # else the prompt now has the answer's beginning in it, counted already
            self.prompt_tokens = chunk.prompt_tokens or self.prompt_tokens
        self.cached_tokens = chunk.cached_tokens or self.cached_tokens
        self.output_tokens = tokens + chunk.output_tokens if chunk.output_tokens else self.output_tokens
        self.decode = seconds + chunk.decode_seconds if chunk.decode_seconds and chunk.output_tokens else self.decode
        self.finish = chunk.finish_reason or self.finish

    def shown_to_model(self) -> Message:
        """The message as the model gets it: documents stand before the question."""
        role: Role = "user" if self.role == "user" else "assistant"
        blocks = [block(Document(name, text)) for name, text in self.documents]
        return Message(role, "\n\n".join([*blocks, self.text]))


@dataclass(eq=False, slots=True)
class Writing:
    """An answer on its way."""

    talk: Talk
    turn: Turn
    fresh: bool
    """Whether it began empty."""
    what: str
    """For people who wait for it."""
    length: int = 0
    """Characters that it began with."""
    ended: FinishReason | None = None
    """How it had ended, where it is gone on with."""
    brief: bool = True
    """Whether it may be written amid a long one."""
    began: bool = False
    progress: str = ""


class Talk:
    """One conversation: a root without text, its tree, and the path through it that is shown."""

    def __init__(self, system: str | None = None) -> None:
        self.system = system
        self.title = ""
        self.named = False
        """Whether a person or the model gave the title."""
        self.kept: int | None = None
        """What the store calls it; None while it is not saved."""
        self.root = Turn("root")

    @property
    def path(self) -> list[Turn]:
        """The shown turns, from the first question on."""
        turns, at = [], self.root
        while at.chosen is not None:
            at = at.children[at.chosen]
            turns.append(at)
        return turns

    @property
    def tip(self) -> Turn:
        """The last turn shown; the root where nothing is."""
        return self.path[-1] if self.root.chosen is not None else self.root

    def add(self, parent: Turn, turn: Turn) -> Turn:
        """Hang a turn below another, and show it."""
        turn.parent = parent
        parent.children.append(turn)
        parent.chosen = len(parent.children) - 1
        return turn

    def ask(self, text: str, documents: Sequence[Document] = ()) -> Turn:
        """A question at the end of the path. Raises UsageError for one without words."""
        if not text.strip():
            raise UsageError("the question is empty")
        if self.tip.role == "user":
            raise UsageError("the last question has no answer yet", hint="retry it, or edit it")
        given = tuple((whole(document.name), document.text) for document in documents)
        return self.add(self.tip, Turn("user", whole(text), documents=given))

    def begin_answer(self, question: Turn, start: str = "") -> Turn:
        """An answer to a question, beside those it has; `start` is what it already says."""
        if question.role != "user":
            raise UsageError("only a question can be answered")
        return self.add(question, Turn("assistant", start))

    def question_of(self, turn: Turn) -> Turn:
        """The question itself, or the one that an answer belongs to."""
        found = turn if turn.role == "user" else turn.parent
        if found is None or found.role != "user":
            raise UsageError("nothing was asked yet")
        return found

    def edit(self, turn: Turn, text: str) -> Turn:
        """The turn in other words, as a sibling: nothing is overwritten."""
        if not text.strip():
            raise UsageError("the text is empty: nothing was changed")
        assert turn.parent is not None
        fresh = Turn(turn.role, text, documents=turn.documents, model=turn.model, finish=turn.finish)
        return self.add(turn.parent, fresh)

    def walk(self, turn: Turn, step: int) -> Turn:
        """Show the sibling so many places on; stops at the first and the last."""
        assert turn.parent is not None
        siblings = turn.parent.children
        turn.parent.chosen = min(max(siblings.index(turn) + step, 0), len(siblings) - 1)
        return siblings[turn.parent.chosen]

    def fork(self, turn: Turn) -> None:
        """End the path here: what is asked next stands beside what came after."""
        turn.chosen = None

    def drop(self, turn: Turn) -> None:
        """Take a turn out of the tree, with everything below it; its nearest sibling is shown instead."""
        parent = turn.parent
        assert parent is not None
        at = parent.children.index(turn)
        parent.children.remove(turn)
        turn.parent = None
        parent.chosen = min(at, len(parent.children) - 1) if parent.children else None

    def messages(self, until: Turn | None = None) -> list[Message]:
        """What the model is shown, up to and with a turn (the whole path without one)."""
        shown = [Message("system", self.system)] if self.system else []
        if until is not None:
            line: list[Turn] = []
            at: Turn | None = until
            while at is not None and at.role != "root":
                line.append(at)
                at = at.parent
            return shown + [turn.shown_to_model() for turn in reversed(line)]
        return shown + [turn.shown_to_model() for turn in self.path]


def fit(messages: Sequence[Message], count: Callable[[Sequence[Message]], int], room: int) -> tuple[list[Message], int]:
    """The messages that fit into `room` tokens and how many of the oldest had to go.

    The system prompt stays, and so does the last question however long; turns go in pairs, so that a question leads.
    """
    system = list(messages[:1]) if messages and messages[0].role == "system" else []
    turns = list(messages[len(system) :])

    def fits(pairs: int) -> bool:
        return count([*system, *turns[2 * pairs :]]) <= room

    # Halving: a day's conversation is not counted once for each of its turns.
    gone = 2 * bisect.bisect_left(range(max(len(turns) - 1, 0) // 2), True, key=fits)
    return [*system, *turns[gone:]], gone
