"""What the words with a slash and the keys on a message do in the app. The words' table is in `tui/commands.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from engine.errors import EngineError, UsageError
from engine.schema import Document
from tui import chat_file
from tui.code_blocks import code_blocks
from tui.commands import Command, number_of
from tui.files import is_file
from tui.paths import at_home
from tui.screens.confirming import ConfirmingScreen
from tui.screens.editing import EditingScreen
from tui.settings import SETTINGS, find_key, parse
from tui.task_words import WORDS, TaskKind, line_of

if TYPE_CHECKING:
    from tui.screens.chat import ChatScreen
    from tui.talk import Turn


async def obey(chat: ChatScreen, command: Command, rest: str) -> None:
    """Do what a word says. Raises EngineError."""
    if command.argument == "none" and not command.usage and rest:
        raise UsageError(f"/{command.name} takes nothing after it, got {rest!r}")
    await WORD_DEEDS[command.name](chat, rest)


def last_turn(chat: ChatScreen, role: str) -> Turn:
    """The newest turn of a role on the shown path. Raises UsageError."""
    for turn in reversed(chat.talk.path):
        if turn.role == role:
            return turn
    raise UsageError(chat.app.strings("said.no_answer" if role == "assistant" else "said.nothing_asked"))


async def copy(chat: ChatScreen, turn: Turn) -> None:
    """The message as it was written."""
    chat.app.copy(turn.text)


async def copy_code(chat: ChatScreen, turn: Turn) -> None:
    """The last code block of an answer."""
    blocks = code_blocks(turn.text)
    if not blocks:
        raise UsageError(chat.app.strings("said.no_code"))
    chat.app.copy(blocks[-1])


async def edit(chat: ChatScreen, turn: Turn) -> None:
    """Other words for a turn."""
    chat.edit(turn)


async def retry(chat: ChatScreen, turn: Turn) -> None:
    """One more answer to a question, beside those it has."""
    await chat.answer(chat.talk.question_of(turn))


async def previous(chat: ChatScreen, turn: Turn) -> None:
    """The version before."""
    await chat.walk(turn, -1)


async def following(chat: ChatScreen, turn: Turn) -> None:
    """The version after."""
    await chat.walk(turn, 1)


async def fork(chat: ChatScreen, turn: Turn) -> None:
    """The path ends at an answer; the next question begins a branch."""
    chat.refuse_while_answering()
    if turn.role == "user":
        chat.edit(turn)
        return
    chat.talk.fork(turn)
    await chat.show()
    chat.app.memory.keep(chat.talk)
    chat.prompt.focus()
    chat.app.note(chat.app.strings("said.forked"))


async def go_on(chat: ChatScreen, turn: Turn) -> None:
    """More of an answer."""
    chat.refuse_while_answering()
    if turn.role != "assistant":
        raise UsageError(chat.app.strings("said.nothing_to_go_on"))
    chat.talk.fork(turn)
    await chat.answer(chat.talk.question_of(turn), continued=turn)


async def words(chat: ChatScreen, turn: Turn) -> None:
    """How sure the model was of each word."""
    if turn.role != "assistant":
        raise UsageError(chat.app.strings("said.only_answers"))
    chat.app.doubting.show(turn)


TURN_DEEDS: dict[str, Callable[[ChatScreen, Turn], Awaitable[None]]] = {
    "copy": copy, "copy_code": copy_code, "edit": edit, "retry": retry, "previous": previous, "next": following,
    "fork": fork, "continue": go_on, "words": words,
}  # fmt: skip


async def _help(chat: ChatScreen, rest: str) -> None:
    chat.app.show_help()


async def _exit(chat: ChatScreen, rest: str) -> None:
    chat.app.exit()


async def _clear(chat: ChatScreen, rest: str) -> None:
    await chat.action_new()


async def _regen(chat: ChatScreen, rest: str) -> None:
    await retry(chat, last_turn(chat, "user"))


async def _continue(chat: ChatScreen, rest: str) -> None:
    await go_on(chat, last_turn(chat, "assistant"))


async def _undo(chat: ChatScreen, rest: str) -> None:
    """The path ends before the last question, which goes back to the prompt; nothing is deleted."""
    chat.refuse_while_answering()
    question = last_turn(chat, "user")
    assert question.parent is not None
    chat.talk.fork(question.parent)
    await chat.show()
    chat.app.memory.keep(chat.talk)
    if question.documents:
        taken = [Document(name, text) for name, text in question.documents]
        chat.give([*chat.pending, *(one for one in taken if one not in chat.pending)])
    chat.prompt.give_back(line_of(question))  # before what is being written


async def _edit(chat: ChatScreen, rest: str) -> None:
    question = last_turn(chat, "user")
    if rest:
        chat.refuse_while_answering()
        await chat.answer(chat.talk.edit(question, rest))
    else:
        chat.edit(question)


async def _system(chat: ChatScreen, rest: str) -> None:
    def changed(text: str | None) -> None:
        if text is not None:
            chat.talk.system = text.strip() or None
            chat.app.memory.keep(chat.talk)
            chat.app.meter.measure()
            chat.app.values.fill_panel()

    if not rest:
        title = chat.app.strings("title.system")
        chat.app.push_screen(EditingScreen(title, chat.talk.system or "", chat.app.strings), changed)
    else:
        changed("" if rest == "-" else chat.app.read_source(rest[1:]) if rest.startswith("@") else rest)
        chat.app.note(chat.app.strings("said.system", text=chat.talk.system or chat.app.strings("said.none")))


async def _model(chat: ChatScreen, rest: str) -> None:
    if rest:
        chat.app.models.change(rest)
    else:
        chat.app.models.show()


async def _set(chat: ChatScreen, rest: str) -> None:
    key, _, value = rest.partition(" ")
    if not key:
        chat.app.values.show_panel()
        return
    setting = find_key(key)
    if not value.strip():
        raise UsageError(f"/set {setting.name} needs a value ({setting.help})")
    chat.app.values.change(setting.name, parse(setting, value.strip(), "/set"))


async def _save(chat: ChatScreen, rest: str) -> None:
    if rest.endswith((".json", ".md")):
        await _export(chat, rest)
    elif rest:
        await chat.app.keeping.name(rest)
    elif chat.app.memory.keeper.store is None:
        raise UsageError(chat.app.strings("said.not_kept"), hint="/export chat.md or /export chat.json")
    else:
        chat.app.note(chat.app.strings("said.autosaved"))


async def _load(chat: ChatScreen, rest: str) -> None:
    number = number_of(rest)
    if number is not None and chat.app.memory.keeper.store is not None:
        await chat.app.memory.open(number)
    elif rest.endswith(".json"):
        await chat.open(chat_file.from_json(chat.app.read_source(rest), rest))
    else:  # words that are looked for
        chat.app.memory.show(rest)


async def _export(chat: ChatScreen, rest: str) -> None:
    if not rest:
        raise UsageError("/export needs a file", hint="/export chat.md or /export chat.json")
    path, app = at_home(rest), chat.app

    def write(yes: bool | None = True) -> None:
        if not yes:
            return
        try:
            chat_file.export(chat.talk, app.models.name, path)
            app.note(app.strings("said.wrote", path=str(path)))
        except EngineError as error:
            app.tell(error)

    if is_file(rest):  # it may be another conversation's
        question = app.strings("export.over", path=str(path))
        app.push_screen(ConfirmingScreen(question, app.strings("key.write_over"), app.strings), write)
    else:
        write()


async def _copy(chat: ChatScreen, rest: str) -> None:
    number = number_of(rest or "1")
    if number is None:
        raise UsageError(f"/copy takes a number from 1, got {rest[:20]!r}")
    answers = [turn for turn in reversed(chat.talk.path) if turn.role == "assistant"]
    if not answers:
        raise UsageError(chat.app.strings("said.no_answer"))
    if number > len(answers):
        raise UsageError(f"there is no answer {number}: {len(answers)} so far")
    chat.app.copy(answers[number - 1].text)


async def _file(chat: ChatScreen, rest: str) -> None:
    if rest:
        chat.attach(rest)
    else:
        chat.app.choose_file(chat.attach_at_cursor)


def _task(kind: TaskKind) -> Callable[[ChatScreen, str], Awaitable[None]]:
    async def begin(chat: ChatScreen, rest: str) -> None:
        chat.app.tasks.by_word(kind, rest)

    return begin


async def _context(chat: ChatScreen, rest: str) -> None:
    chat.app.meter.say()


async def _stats(chat: ChatScreen, rest: str) -> None:
    if rest:
        chat.app.values.change("stats", parse(SETTINGS["stats"], rest, "/stats"))
        if not (chat.app.settings["stats"] and chat.talk.tip.prompt_tokens):
            return
    answer = last_turn(chat, "assistant")
    if not answer.output_tokens:  # a task's, or one that came in from elsewhere
        raise UsageError(chat.app.strings("said.no_figures"))
    chat.app.show_stats(answer)


async def _compact(chat: ChatScreen, rest: str) -> None:
    chat.refuse_while_answering()
    chat.app.tasks.compact()


async def _multi(chat: ChatScreen, rest: str) -> None:
    chat.app.edit_outside(chat.prompt)


WORD_DEEDS: dict[str, Callable[[ChatScreen, str], Awaitable[None]]] = {
    "help": _help, "exit": _exit, "clear": _clear, "regen": _regen, "continue": _continue, "undo": _undo,
    "edit": _edit, "system": _system, "model": _model, "set": _set, "save": _save, "load": _load, "export": _export,
    "copy": _copy, "file": _file, "context": _context, "stats": _stats, "compact": _compact, "multi": _multi,
    **{word: _task(kind) for word, kind in WORDS.items()},
}  # fmt: skip
