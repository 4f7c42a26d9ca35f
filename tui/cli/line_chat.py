"""What a chat without the full screen holds while it lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tui.strings import Strings

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from engine.schema import Document
    from engine.session import Session
    from tui.cli.deliver import Result
    from tui.cli.opening import Run
    from tui.cli.prompt import Lines
    from tui.keeper import Keeper
    from tui.talk import Talk


@dataclass
class Chat:
    """Everything one chat holds."""

    run: Run
    session: Session
    lines: Lines
    keeper: Keeper
    """Brings what is said into the history; with --no-save it keeps nothing."""
    talk: Talk
    pending: list[Document] = field(default_factory=list)
    """Documents for the next question."""
    last: Result | None = None
    failed: int = 0
    """Turns that ended in an error; without a terminal they decide the exit code."""

    def set(self, name: str, value: Any) -> None:
        """Change a setting until the chat ends. Raises SettingsError for a value that makes no sense."""
        self.run.settings = self.run.settings.with_flags({name: value})

    @property
    def say(self) -> Strings:
        """The words that the chat shares with the app."""
        return Strings(self.run.console.language or "en")

    def sampling(self) -> SamplingConfig:
        """How the next answer is drawn."""
        return self.run.sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.05, max_tokens=1024)

    def ask(self, question: str) -> None:
        """A question, with the documents given for it. Raises UsageError."""
        self.talk.ask(question, self.pending)
        self.pending = []
