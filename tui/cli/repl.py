"""The line chat: reads turns until the end of input. The words with a slash are in `slash.py`, a turn in `turns.py`."""

from __future__ import annotations

from engine.errors import EngineError
from tui import commands
from tui.cli import slash
from tui.cli.line_chat import Chat
from tui.cli.turns import reply

FENCE = '"""'
PROMPT, MORE = "> ", "… "


def converse(chat: Chat) -> int:
    """Turns until the end of input; returns the exit code."""
    while True:
        try:
            line = _read(chat)
        except EOFError:
            break
        except KeyboardInterrupt:
            break
        except EngineError as error:
            _tell(chat, error)
            continue
        if not line.strip():
            continue
        try:
            if _handle(chat, line):
                break
        except EngineError as error:
            _tell(chat, error)
        except KeyboardInterrupt:  # amid something else than an answer, which would have been kept
            if not chat.lines.interactive:
                raise
            chat.run.console.note("stopped")
    return 6 if chat.failed and not chat.lines.interactive else 0


def _tell(chat: Chat, error: EngineError) -> None:
    chat.failed += 1
    chat.run.console.error("chat", error.message, error.hint)


def _read(chat: Chat) -> str:
    """A turn: a line, or several between fences. Raises EOFError, and KeyboardInterrupt for Ctrl-C at an empty line."""
    line = chat.lines.read(PROMPT)
    if line.strip().lower() == "/multi":
        return _fenced(chat, "")
    if line.lstrip().startswith(FENCE):
        start = line.lstrip().removeprefix(FENCE)
        if start.rstrip().endswith(FENCE) and start.strip() != FENCE:
            return start.rstrip().removesuffix(FENCE)
        return _fenced(chat, start)
    return line


def _fenced(chat: Chat, start: str) -> str:
    lines = [start] if start else []
    while True:
        try:
            line = chat.lines.read(MORE)
        except EOFError:
            break
        except KeyboardInterrupt:
            if not chat.lines.interactive:
                raise
            return ""  # the lines are thrown away, as a single one is
        if line.rstrip().endswith(FENCE):
            lines.append(line.rstrip().removesuffix(FENCE))
            break
        lines.append(line)
    return "\n".join(lines).strip("\n")


def _handle(chat: Chat, line: str) -> bool:
    """One turn; True to leave."""
    command = commands.parse(line)
    if command:
        return slash.obey(chat, *command)
    chat.ask(commands.unescaped(line))
    return reply(chat)
