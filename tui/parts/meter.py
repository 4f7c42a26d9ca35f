"""The context meter: exact for what was answered, counted on the model's thread for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from tui.jobs import Count, prompt_room

if TYPE_CHECKING:
    from tui.app import LlmApp
    from tui.talk import Turn

MEASURED = 20_000
"""Characters of a draft that are counted as it is typed."""


class Meter:
    """How much of the context the shown conversation takes."""

    def __init__(self, app: LlmApp) -> None:
        self._app = app
        self.left_out = 0
        """Messages at the conversation's start that the model is not shown."""
        self._used = 0
        self._counted: Turn | None = None
        self._marked = False
        """Whether messages are shown as about to fall out."""
        self._given: dict[str, asyncio.Task[int]] = {}
        """Tokens of the texts that go with the next question, counted beside the app: megabytes take seconds."""
        self._one_by_one = asyncio.Lock()

    def measure(self) -> None:
        """Bring the meter up to date."""
        app, chat = self._app, self._app.chat
        if not app.models.context or not chat.is_mounted:
            return
        tip = chat.talk.tip
        if tip.prompt_tokens:
            self._used, self._counted = tip.prompt_tokens + tip.output_tokens, None
        elif chat.answering is None and (shown := chat.talk.messages()):
            if tip is not self._counted:
                self._counted = tip
                app.runner.submit(Count(shown))
        else:
            self._used, self._counted = 0, None
        draft = self._of_draft(chat.prompt.text) + self.of_given()
        falling = self._falling(draft) if draft else 0
        chat.status.meter(self._used, app.models.context, draft=draft, left_out=self.left_out, falling=falling)
        if falling or self._marked:
            self._marked = bool(falling)
            chat.transcript.mark_left_out(max(falling, self.left_out), chat.talk.path)

    def _falling(self, draft: int) -> int:
        """How many messages at the start the model will not be shown once the draft is sent, as far as it is known.

        Each answer knows how long the conversation was with it; what is before the first one that stays falls out.
        """
        app, path = self._app, self._app.chat.talk.path
        room = prompt_room(app.models.context, app.values.sampling().max_tokens)
        gone, length = 0, 0
        for number, turn in enumerate(path, 1):
            if self._used + draft - length <= room or number >= len(path):
                break
            if turn.role == "assistant" and turn.prompt_tokens + turn.output_tokens > length:
                gone, length = number, turn.prompt_tokens + turn.output_tokens
        return gone

    def _of_draft(self, text: str) -> int:
        """Of a long one the beginning is counted, and the rest taken to be like it."""
        counted = self._app.models.count(text[:MEASURED])
        return counted if len(text) <= MEASURED else counted * len(text) // MEASURED

    def of_given(self) -> int:
        """Tokens of what goes with the next question, as far as it is counted; each text is counted once."""
        texts, known = [document.text for document in self._app.chat.pending], self._given
        self._given = {text: known.get(text) or asyncio.create_task(self._count(text)) for text in texts}
        return sum(self._given[text].result() for text in texts if self._given[text].done())

    def of_document(self, text: str) -> Awaitable[int]:
        """Tokens of one text that goes with the next question, which may have been sent by the time they are known."""
        self.of_given()
        return self._given[text]

    async def _count(self, text: str) -> int:
        async with self._one_by_one:
            count = await asyncio.to_thread(self._app.models.count, text)
        self._app.call_later(self.measure)
        return count

    def forget_counts(self) -> None:
        """Another model counts in its own way."""
        self._given = {}

    def counted(self, tokens: int) -> None:
        """A conversation's length came."""
        self._used = tokens
        self._app.chat.status.meter(self._used, self._app.models.context, left_out=self.left_out)

    def say(self) -> None:
        """The meter in words."""
        app, total = self._app, self._app.models.context
        share = f"{self._used / total:.0%}" if total else "–"
        count = len(app.chat.talk.path)
        app.note(app.strings("context.said", used=self._used, total=total, share=share, count=count))
