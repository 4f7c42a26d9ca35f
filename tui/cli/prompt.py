"""Where the chat's lines come from: a prompt with history, completion and paste on a terminal, else stdin as it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import InputError, UsageError
from tui import commands
from tui.cli.console import is_terminal
from tui.paths import PlaceError, ensure
from tui.settings import CHANGEABLE

if TYPE_CHECKING:
    from prompt_toolkit.history import History


class Lines(Protocol):
    """A source of lines. Raises EOFError at the end, KeyboardInterrupt on Ctrl-C."""

    interactive: bool

    def read(self, prompt: str) -> str:
        """The next line, without its end; `prompt` is shown to a person."""


class PipedLines:
    """Lines of stdin that is no terminal; no prompt is printed."""

    interactive = False

    def read(self, prompt: str) -> str:
        """The next line, without its newline."""
        if sys.stdin is None:
            raise EOFError
        source = getattr(sys.stdin, "buffer", None)
        data = source.readline() if source else sys.stdin.readline().encode()
        if not data:
            raise EOFError
        try:
            text: str = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"stdin: not valid UTF-8 at byte {error.start} of a line") from error
        return text.rstrip("\r\n")


class PromptedLines:
    """Lines from a person: arrow keys, history, Tab, paste of any length; Ctrl+J or Alt+Enter breaks the line."""

    interactive = True

    def __init__(self, history_file: Path, model_names: Callable[[], Iterable[str]]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.output import create_output

        # Where the answers go into a pipe, the prompt must not go with them.
        stream = sys.stdout if is_terminal(sys.stdout) else sys.stderr
        self._session: PromptSession[str] = PromptSession(
            history=_history(history_file),
            completer=_completer(model_names),
            complete_while_typing=False,
            key_bindings=_keys(),
            enable_open_in_editor=True,
            output=create_output(stdout=stream),
        )

    def read(self, prompt: str) -> str:
        """The next line."""
        return self._session.prompt(prompt)


def _history(path: Path) -> History:
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        ensure(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
    except (OSError, PlaceError):  # a chat without a memory is better than none
        return InMemoryHistory()
    return FileHistory(str(path))


def _keys() -> Any:
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("c-j")
    @bindings.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c")
    def _(event: Any) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    return bindings


def _completer(model_names: Callable[[], Iterable[str]]) -> Any:
    from prompt_toolkit.completion import Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document

    class SlashCompleter(Completer):
        """Words, then what the word takes: models, settings, paths."""

        def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
            line = document.text_before_cursor
            if not line.startswith("/") or "\n" in line:
                return
            word, space, rest = line.partition(" ")
            if not space:
                yield from _matching(word, commands.words())
                return
            try:
                kind = commands.find(word).argument
            except UsageError:
                return
            if kind == "path" or (kind == "text" and rest.startswith("@")):
                inner = rest.removeprefix("@") if kind == "text" else rest
                yield from PathCompleter(expanduser=True).get_completions(Document(inner), complete_event)
            else:
                known = {"model": model_names, "setting": lambda: CHANGEABLE, "word": _bare_words}.get(kind)
                yield from _matching(rest, known() if known else ())

    def _matching(start: str, names: Iterable[str]) -> Iterable[Completion]:
        return (Completion(name, start_position=-len(start)) for name in names if name.startswith(start))

    return SlashCompleter()


def _bare_words() -> list[str]:
    return [word.removeprefix("/") for word in commands.words()]


def open_lines(history_file: Path, model_names: Callable[[], Iterable[str]]) -> Lines:
    """The right source for this stdin."""
    if is_terminal(sys.stdin):
        return PromptedLines(history_file, model_names)
    return PipedLines()
