"""One turn of the line chat: the question is asked, the answer streams and is kept, whatever interrupts it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

from engine.config import SamplingConfig
from engine.errors import EngineError, InputTooLong
from engine.loops import ended_at_loops, request_of
from engine.schema import Chunk, Document, Message
from tui.cli import slash_tasks
from tui.cli.console import counted
from tui.cli.deliver import LOOPED, Result, collect, open_screen, place_of
from tui.cli.keys import held_keys
from tui.settings import seeded

if TYPE_CHECKING:
    from tui.cli.line_chat import Chat
    from tui.talk import Turn


def reply(chat: Chat, *, continued: bool = False) -> bool:
    """Answer the last question (or go on with its answer), streamed; True if the user wants to leave."""
    result = Result()
    leave = False
    notes: list[str] = []
    sampling = seeded(chat.sampling())
    shown = chat.talk.messages()
    turn = chat.talk.tip if continued else chat.talk.begin_answer(chat.talk.tip)
    turn.go_on()
    task = turn.parent if turn.parent and turn.parent.task and not continued else None
    _sign(chat, turn, {} if continued or task else sampling.to_json())
    try:
        chat.keeper.keep(chat.talk)
        if task:
            _write(chat, turn, result, slash_tasks.chunks(chat, task, notes))
        else:
            _write(chat, turn, result, _answer(chat, shown, sampling, continued=continued))
    except KeyboardInterrupt:
        leave = bool(result.text)  # the second Ctrl-C; one before the first token only takes the question back
        result.finish_reason = "stopped"
    except BaseException as error:  # a signal, too: what was said so far is not the whole answer
        result.finish_reason = "error" if isinstance(error, EngineError) else "stopped"
        if isinstance(error, InputTooLong):
            raise InputTooLong(error.message, hint="/undo, /compact or /clear make room") from error
        raise
    finally:
        chat.last = result
        turn.finish, turn.first_token = result.finish_reason, result.first_token
        if not turn.text:
            _take_back(chat, turn)
        chat.keeper.keep(chat.talk)
    for note in notes:
        chat.run.console.quote(note)
    _say_end(chat, result)
    return leave


def _sign(chat: Chat, turn: Turn, sampling: dict[str, object]) -> None:
    """Note what is about to write an answer; `sampling`: what it can be drawn again with."""
    session = chat.session
    turn.model, turn.identity = session.name, session.identity
    turn.device, turn.kernel = session.device, session.kernel
    turn.sampling, turn.finish = sampling, None


def _answer(
    chat: Chat, shown: list[Message], sampling: SamplingConfig, *, continued: bool
) -> Generator[Chunk, None, None]:
    """What the model says to the messages."""
    chunks = chat.session.stream(shown, sampling, continue_last=continued)
    return ended_at_loops(chunks, request_of(shown)) if chat.run.settings["end_loops"] else chunks


def _write(chat: Chat, turn: Turn, result: Result, chunks: Generator[Chunk, None, None]) -> None:
    console = chat.run.console
    with held_keys(), contextlib.ExitStack() as spinner:
        spinner.enter_context(console.spinner("thinking"))
        screen = open_screen(console, chat.run.options, markdown=chat.run.settings["markdown"], spinner=spinner)
        try:
            collect(_kept(chat, turn, chunks), screen.write, result=result, timeout=chat.run.options.timeout)
        finally:
            screen.close()
    if console.stdout_is_terminal:
        sys.stdout.write("\n")
        sys.stdout.flush()


def _kept(chat: Chat, turn: Turn, chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
    """The chunks, each of which the turn has grown by, and the history soon after."""
    with contextlib.closing(chunks):
        for chunk in chunks:
            turn.grow(chunk)
            keep = chat.keeper.keep_soon if turn.kept else chat.keeper.keep  # the first words at once
            keep(chat.talk)
            yield chunk


def _take_back(chat: Chat, turn: Turn) -> None:
    """An answer without a word leaves no trace, nor does a question that has no other: its documents wait again."""
    question = turn.parent
    chat.keeper.take_back(chat.talk, turn)
    if question is not None and not question.children:
        chat.keeper.take_back(chat.talk, question)
        chat.pending = [*(Document(name, text) for name, text in question.documents), *chat.pending]


def _say_end(chat: Chat, result: Result) -> None:
    note = chat.run.console.note
    if not result.text and result.finish_reason == "stopped":
        note("stopped; the question was taken back")
    elif result.finish_reason == "stopped":
        note("stopped; /continue goes on, /regen answers anew")
    elif result.finish_reason == "length":
        note(f"cut at {counted(result.output_tokens, 'token')}; /continue goes on")
    elif result.finish_reason == "repeated":
        note(LOOPED)
    if chat.run.settings["stats"]:
        note(result.stats(chat.session.name, place_of(chat.session)))
