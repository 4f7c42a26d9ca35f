"""A chat and one turn of it: the question is asked, the answer streams and is kept, whatever interrupts it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.config import SamplingConfig
from engine.errors import InputTooLong
from tui.cli.conversation import Conversation
from tui.cli.deliver import Result, collect, open_screen
from tui.cli.keys import held_keys
from tui.cli.opening import Run
from tui.cli.prompt import Lines
from tui.diary import Diary
from tui.settings import seeded

if TYPE_CHECKING:
    from engine.session import Session


@dataclass
class Chat:
    """Everything one chat holds."""

    run: Run
    session: Session
    lines: Lines
    conversation: Conversation
    diary: Diary | None = None
    """Writes the history; None with --no-save."""
    last: Result | None = None
    failed: int = 0
    """Turns that ended in an error; without a terminal they decide the exit code."""

    def set(self, name: str, value: Any) -> None:
        """Change a setting until the chat ends. Raises SettingsError for a value that makes no sense."""
        self.run.settings = self.run.settings.with_flags({name: value})

    def sampling(self) -> SamplingConfig:
        """How the next answer is drawn."""
        return self.run.sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.05, max_tokens=1024)

    def resume(self, number: int) -> None:
        """Go on with a conversation of the history. Raises UsageError."""
        assert self.diary
        store = self.diary.store
        diary, turns = Diary.resume(store, number, self.session.name)
        conversation = Conversation(store.kept(number).system, turns, self.conversation.pending)
        self.diary, self.conversation = diary, conversation

    def keep(self) -> None:
        """Bring the history to what was said."""
        if self.diary:
            self.diary.follow(self.conversation.turns, self.conversation.said, self.conversation.system)


def reply(chat: Chat, *, continued: bool = False) -> bool:
    """Answer the last question (or go on with its answer), streamed; True if the user wants to leave."""
    result = Result()
    leave = False
    sampling = seeded(chat.sampling())
    chat.keep()
    if chat.diary:
        chat.diary.begin(continued=continued)
    try:
        _stream(chat, result, sampling, continued=continued)
    except KeyboardInterrupt:
        leave = bool(result.text)  # the second Ctrl-C; one before the first token only takes the question back
        result.finish_reason = "stopped"
    except InputTooLong as error:
        _take_back(chat, continued)
        raise InputTooLong(error.message, hint="/undo, /compact or /clear make room") from error
    except BaseException:
        if not result.text:
            _take_back(chat, continued)
        raise
    finally:
        chat.last = result
        if result.text:
            chat.conversation.answer(result.text, continued=continued)
        _note(chat, result, sampling, continued=continued)
    if not result.text and result.finish_reason == "stopped":
        _take_back(chat, continued)
        chat.run.console.note("stopped; the question was taken back")
    elif result.finish_reason == "stopped":
        chat.run.console.note("stopped; /continue goes on, /regen answers anew")
    elif result.finish_reason == "length":
        chat.run.console.note(f"cut at {result.output_tokens} tokens; /continue goes on")
    if chat.run.settings["stats"]:
        chat.run.console.note(result.stats(chat.session.name, place(chat)))
    return leave


def place(chat: Chat) -> str:
    """Device and kernel of the session."""
    return f"{chat.session.device}/{chat.session.kernel}"


def _take_back(chat: Chat, continued: bool) -> None:
    if not continued and chat.conversation.turns and chat.conversation.turns[-1].role == "user":
        chat.conversation.turns.pop()


def _heard(chat: Chat, write: Callable[[str], object]) -> Callable[[str], object]:
    """Writes a piece, and tells the history of it."""
    diary = chat.diary
    if diary is None:
        return write

    def both(text: str) -> None:
        diary.hear(text)
        write(text)

    return both


def _note(chat: Chat, result: Result, sampling: SamplingConfig, *, continued: bool) -> None:
    """What came goes into the history; tokens only where they are all of the answer."""
    if not chat.diary:
        return
    turn = chat.conversation.turns[-1] if result.text else None
    ids, logprobs = ([], []) if continued else (result.ids, result.logprobs)
    session = chat.session
    facts = result.facts() | {
        "model": session.name,
        "identity": session.identity,
        "device": session.device,
        "kernel": session.kernel,
        "sampling": sampling.to_json(),
    }
    chat.diary.end(turn, result.finish_reason, facts, ids, logprobs)


def _stream(chat: Chat, result: Result, sampling: SamplingConfig, *, continued: bool) -> None:
    console = chat.run.console
    with held_keys(), contextlib.ExitStack() as spinner:
        spinner.enter_context(console.spinner("thinking"))
        screen = open_screen(console, chat.run.options, markdown=chat.run.settings["markdown"], spinner=spinner)
        try:
            chunks = chat.session.stream(chat.conversation.messages(), sampling, continue_last=continued)
            collect(chunks, _heard(chat, screen.write), result=result, timeout=chat.run.options.timeout)
        finally:
            screen.close()
    if console.stdout_is_terminal:
        sys.stdout.write("\n")
        sys.stdout.flush()
