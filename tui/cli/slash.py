"""What the words of the line chat do. Their names, aliases and help are in `tui/commands.py`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from engine import catalog
from engine.errors import InputError, UsageError
from engine.schema import Chunk, Document
from engine.tasks.breaks import shown
from tui import chat_file, commands
from tui.cli import slash_tasks
from tui.cli.console import Console, counted, program
from tui.cli.deliver import place_of
from tui.cli.inputs import as_read, read_file, text_or_file
from tui.cli.line_chat import Chat
from tui.cli.turns import reply
from tui.cli.widths import columns as wide
from tui.cli.widths import left, wrapped
from tui.clipboard import copy as copy_text
from tui.commands import Command
from tui.editor import run_editor
from tui.files import empty_file, is_file
from tui.paths import at_home
from tui.settings import CHANGEABLE, SETTINGS, find_key, parse
from tui.talk import Talk
from tui.task_words import WORDS


def obey(chat: Chat, command: Command, rest: str) -> bool:
    """Do what a word says; True to leave. Raises EngineError."""
    if command.argument == "none" and not command.usage and rest:
        raise UsageError(f"/{command.name} takes nothing after it, got {rest!r}")
    return bool(_HANDLERS[command.name](chat, rest))


def _help(chat: Chat, rest: str) -> None:
    console = chat.run.console
    if rest:
        command = commands.find(rest)
        names = " ".join(f"/{name}" for name in (command.name, *command.aliases))
        console.quote(f"{names} {console.said(command.usage)}\n  {console.said(command.help)}")
        return
    console.quote("\n".join(help_lines(console, shutil.get_terminal_size((100, 24)).columns)))
    here = not chat.run.settings["endpoint"]
    if here and (better := catalog.better_company(chat.session.name, chat.run.library.names())):
        pull = f"{program()} models pull {better}"
        console.note(f"this small model is short-spoken; {better} is better company: {pull}")


def help_lines(console: Console, columns: int) -> list[str]:
    """The table of words for a terminal of so many columns; what does not fit goes on under its own column."""
    width = max(columns, 60) - 1
    lines = []
    for command in commands.COMMANDS:
        names = " ".join(f"/{name}" for name in (command.name, *command.aliases))
        start = f"  {left(f'{names} {console.said(command.usage)}'.strip(), 32)} "
        lines += _wrapped(console.said(command.help), width, start)
    more = '//text sends /text; """ begins and ends several lines; Ctrl+J breaks a line; Ctrl-C stops an answer'
    return lines + _wrapped(console.said(more), width, "  ")


def _wrapped(text: str, width: int, start: str) -> list[str]:
    first, *others = wrapped(text, width - wide(start))
    return [start + first, *(" " * wide(start) + line for line in others)]


def _exit(chat: Chat, rest: str) -> bool:
    return True


def _clear(chat: Chat, rest: str) -> None:
    chat.talk, chat.pending = Talk(chat.talk.system), []
    chat.run.console.note("a new conversation")


def _regen(chat: Chat, rest: str) -> bool:
    chat.talk.fork(chat.talk.question_of(chat.talk.tip))
    return reply(chat)


def _continue(chat: Chat, rest: str) -> bool:
    if chat.talk.tip.role != "assistant":
        raise UsageError("there is no answer to go on with")
    return reply(chat, continued=True)


def _undo(chat: Chat, rest: str) -> None:
    question = chat.talk.question_of(chat.talk.tip)
    assert question.parent is not None
    chat.talk.fork(question.parent)
    chat.keeper.keep(chat.talk)
    chat.run.console.note(f"took back: {question.text[:200]}")


def _edit(chat: Chat, rest: str) -> bool:
    question = chat.talk.question_of(chat.talk.tip)
    chat.talk.edit(question, rest or _edited(chat, question.text))
    return reply(chat)


def _task(word: str, chat: Chat, rest: str) -> bool:
    slash_tasks.ask(chat, word, rest)
    return reply(chat)


def _edited(chat: Chat, text: str) -> str:
    if not chat.lines.interactive:
        raise UsageError("/edit without a text needs a terminal", hint="/edit NEW QUESTION")
    with tempfile.TemporaryDirectory() as folder:  # 0700
        path = Path(folder) / "question.md"
        path.write_text(text, "utf-8")
        run_editor(path)
        return read_file(str(path)).text.strip()


def _system(chat: Chat, rest: str) -> None:
    if rest:
        chat.talk.system = None if rest == "-" else text_or_file(rest, "/system")
        chat.keeper.keep(chat.talk)
    chat.run.console.note(f"system prompt: {chat.talk.system or 'none'}")


def _model(chat: Chat, rest: str) -> None:
    if rest:
        summary = chat.run.library.summary(rest)
        fresh = chat.run.load(summary)
        chat.session.close()
        chat.session = fresh
    session = chat.session
    chat.run.console.note(f"{session.name} on {place_of(session)}, context {session.context} tokens")


def _set(chat: Chat, rest: str) -> None:
    key, _, value = rest.partition(" ")
    if not key:
        drawn = chat.sampling().to_json()
        drawn["repeat_penalty"] = drawn["repetition_penalty"]
        values = {name: drawn.get(name, chat.run.settings[name]) for name in CHANGEABLE}
        chat.run.console.quote("\n".join(f"{name} = {_said(chat, value)}" for name, value in values.items()))
        return
    setting = find_key(key)
    if setting.name not in CHANGEABLE:
        raise UsageError(f"/set can't change {setting.name}", hint=f"it can change: {', '.join(CHANGEABLE)}")
    if not value.strip():
        raise UsageError(f"/set {setting.name} needs a value ({setting.help})")
    chat.set(setting.name, parse(setting, value.strip(), "/set"))
    chat.run.console.quote(f"{setting.name} = {_said(chat, chat.run.settings[setting.name])}")


def _said(chat: Chat, value: Any) -> str:
    """A value for people."""
    if value is None or value in ([], ()):
        return chat.run.console.said("none")
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(repr, value)) if isinstance(value, list | tuple) else str(value)


def _save(chat: Chat, rest: str) -> None:
    if not chat.talk.path:
        raise UsageError("there is nothing to save yet")
    name = rest or _title(chat.talk)
    path = chat_file.place_of(name, chat.run.places.chats)
    chat_file.save(chat.talk, chat.session.name, path)
    chat.run.console.note(f"saved {path}; /load {name} takes it up")


def _title(talk: Talk) -> str:
    from datetime import datetime

    words = "".join(c if c.isalnum() else "-" for c in talk.path[0].text[:40]).strip("-")
    return f"{datetime.now():%Y-%m-%d-%H%M%S}-{words}".rstrip("-")


def _load(chat: Chat, rest: str) -> None:
    folder = chat.run.places.chats
    if not rest:
        names = [*chat_file.kept(folder), *_recent(chat)]
        if names:
            chat.run.console.quote("\n".join(names))
        else:
            chat.run.console.note("no conversation is kept yet; /save keeps this one")
        return
    if (number := commands.number_of(rest)) and chat.keeper.store:
        chat.talk, chat.pending = chat.keeper.open(number), []
        chat.run.console.note(f"resumed {rest}: {counted(len(chat.talk.path), 'message')}")
        return
    path = chat_file.place_of(rest, folder)
    if not is_file(str(path)):
        raise InputError(f"no kept conversation {rest!r}", hint="/load lists them")
    chat.talk, chat.pending = chat_file.from_json(read_file(str(path)).text, rest), []
    chat.run.console.note(f"loaded {rest}: {counted(len(chat.talk.path), 'message')}")


def _recent(chat: Chat) -> list[str]:
    """The newest conversations of the history, as `/load NUMBER` takes them."""
    store = chat.keeper.store
    return [f"{kept.id}  {kept.title}" for kept in store.recent(10)] if store else []


def _export(chat: Chat, rest: str) -> None:
    if not rest:
        raise UsageError("/export needs a file", hint="/export chat.md or /export chat.json")
    path = at_home(rest)
    chat_file.export(chat.talk, chat.session.name, path)
    chat.run.console.note(f"wrote {path}")


def _copy(chat: Chat, rest: str) -> None:
    number = commands.number_of(rest or "1")
    if number is None:
        raise UsageError(f"/copy takes a number from 1, got {rest[:20]!r}")
    answers = [turn.text for turn in reversed(chat.talk.path) if turn.role == "assistant"]
    if number > len(answers):
        raise UsageError(f"there is no answer {number}: {len(answers)} so far")
    taker = copy_text(answers[number - 1])
    chat.run.console.note(f"copied {counted(len(answers[number - 1]), 'character')} to {taker}")


def _file(chat: Chat, rest: str) -> None:
    if not rest:
        raise UsageError("/file needs a file", hint="/file notes.txt")
    options = chat.run.options
    document = read_file(str(at_home(rest)), options.encoding, options.errors)
    if not document.text.strip():
        raise empty_file(rest)
    document = as_read(Document(rest, document.text), options.html)
    chat.pending.append(document)
    count = chat.session.count(shown(document.text))
    chat.run.console.note(f"{rest}: {counted(count, 'token')}, given with the next question")


def _context(chat: Chat, rest: str) -> None:
    messages = chat.talk.messages()
    used = chat.session.count_messages(messages) if messages else 0
    waiting = sum(chat.session.count(shown(document.text)) for document in chat.pending)
    total = chat.session.context
    text = f"{used} of {total} tokens used ({used / total:.0%}), {counted(len(chat.talk.path), 'message')}"
    chat.run.console.note(text + (f"; {waiting} more with the next question" if waiting else ""))


def _stats(chat: Chat, rest: str) -> None:
    if rest:
        chat.set("stats", parse(SETTINGS["stats"], rest, "/stats"))
    if rest and not (chat.run.settings["stats"] and chat.last):
        chat.run.console.quote(f"stats = {_said(chat, chat.run.settings['stats'])}")
    elif chat.last:
        chat.run.console.note(chat.last.stats(chat.session.name, place_of(chat.session)))
    else:
        chat.run.console.note("no answer yet")


def _compact(chat: Chat, rest: str) -> None:
    from engine.tasks.summarize import summarize

    talk = chat.talk
    if len(talk.path) < 2:
        raise UsageError("there is nothing to compact yet")
    shown = [turn.shown_to_model() for turn in talk.path]
    transcript = Document("conversation", "\n\n".join(f"{turn.role}: {turn.content}" for turn in shown))
    with chat.run.console.spinner("compacting"):
        events = summarize(chat.session, transcript, language=None, sampling=chat.run.sampling(), length="medium")
        summary = "".join(event.text for event in events if isinstance(event, Chunk)).strip()
    before = chat.session.count_messages(talk.messages())
    talk.fork(talk.root)
    talk.begin_answer(talk.ask(chat.say("task.compact.asked")), summary).finish = "stop"
    chat.keeper.keep(talk)
    after = chat.session.count_messages(talk.messages())
    chat.run.console.note(f"compacted {before} tokens to {after}:\n{summary}")


def _multi(chat: Chat, rest: str) -> None:
    raise UsageError('/multi stands on a line of its own, then your lines, then """')


_HANDLERS: dict[str, Callable[[Chat, str], bool | None]] = {
    "help": _help, "exit": _exit, "clear": _clear, "regen": _regen, "continue": _continue, "undo": _undo,
    "edit": _edit, "system": _system, "model": _model, "set": _set, "save": _save, "load": _load, "export": _export,
    "copy": _copy, "file": _file, "context": _context, "stats": _stats, "compact": _compact, "multi": _multi,
    **{word: partial(_task, word) for word in WORDS},
}  # fmt: skip
