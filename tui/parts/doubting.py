"""Shows how sure the model was of each word of an answer, and what else it could have said there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.schema import Message
from tui.jobs import Alternatives, Weigh
from tui.screens.doubts import DoubtsScreen

if TYPE_CHECKING:
    from tui import messages
    from tui.app import LlmApp
    from tui.talk import Turn


class Doubting:
    """The open screen of doubts and what it waits for."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app
        self._screen: DoubtsScreen | None = None
        self._asked = self._weighing = 0

    def show(self, turn: Turn) -> None:
        """An answer word by word, and a fork from another word. Raises EngineError."""
        app, chat = self._app, self._app.chat
        question = chat.talk.question_of(turn)
        shown = chat.talk.messages(question)
        drawn = turn.model == app.models.name and turn.pieces
        start = turn.text[: len(turn.text) - sum(len(piece.text) for piece in turn.pieces)] if drawn else ""

        def ask(before: str) -> None:
            more = [*shown, Message("assistant", before)] if before else shown
            self._asked = app.runner.submit(Alternatives(more, continued=bool(before)))

        async def chosen(beginning: str | None) -> None:
            if beginning is None:
                return
            try:
                await chat.answer(question, start=beginning)
            except EngineError as error:
                app.tell(error)

        self._screen = DoubtsScreen(list(turn.pieces) if drawn else [], start, ask, app.strings)
        app.push_screen(self._screen, chosen)
        if not drawn:
            self._weighing = app.runner.submit(Weigh(shown, turn.text))

    def weighed(self, event: messages.WordsWeighed) -> None:
        """The words of an answer are known."""
        if event.key == self._weighing and self._screen is not None and self._screen.is_mounted:
            self._screen.take(event.pieces)

    def found(self, event: messages.AlternativesFound) -> None:
        """What could stand at a word is known."""
        if event.key == self._asked and self._screen is not None and self._screen.is_mounted:
            self._screen.offer(event.found)

    def failed(self, key: int) -> None:
        """A job ended with an error; perhaps it was to weigh the words, and there is nothing to show."""
        if key == self._weighing and self._screen is not None and self._screen.is_current:
            self._screen.dismiss(None)
