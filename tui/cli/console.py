"""The three streams, each judged for itself: terminal or not, colour or not. The answer alone goes to stdout.

Commands speak English to the console; it says what is for people in the language of the run, and leaves answers alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.schema import Language

ColorChoice = Literal["auto", "always", "never"]
ARROW = "→ "
"""Before what to do next."""
_STYLES = {"red": "31", "yellow": "33", "green": "32", "dim": "2", "bold": "1"}


def program() -> str:
    """The name we were called by: `llm` or `local-llm`."""
    name = Path(sys.argv[0] or "llm").stem
    return name if name in {"llm", "local-llm"} else "llm"


def as_called(text: str) -> str:
    """Commands in a text, such as `llm models pull`, by the name we were called by."""
    return re.sub(r"(?<![\w./-])llm (?=[a-z])", f"{program()} ", text)


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream exists, is open and is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def wants_color(stream: IO[str] | None, choice: ColorChoice) -> bool:
    """Colour on this stream? `--color` first, then NO_COLOR, FORCE_COLOR, TERM=dumb and the terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def visible(text: str) -> str:
    """Text that can't steer a terminal: control characters but newline and tab are shown as symbols, and so are those
    that turn the direction of what follows, in which a name can look like another."""
    if text.isprintable():
        return text
    return "".join(_symbol(char) for char in text)


def _symbol(char: str) -> str:
    code = ord(char)
    turns = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    if char in "\n\t" or not (code < 32 or 127 <= code < 160 or turns):
        return char
    return chr(0x2400 + code) if code < 32 else "\N{REPLACEMENT CHARACTER}"


def on_one_line(text: str) -> str:
    """The same for what is drawn over itself: a file's name may break the line."""
    return " ".join(visible(text).split())


def counted(number: int, name: str) -> str:
    """`1 file`, `2 files`: what is said in English; the Chinese forms take both."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


@dataclass
class Console:
    """stdin, stdout and stderr of one run, with what the user asked about them."""

    color: ColorChoice = "auto"
    quiet: bool = False
    verbose: bool = False
    language: Language | None = None
    """What a command was told to speak; None before it has read its settings, which are then asked for it."""

    def said(self, text: str) -> str:
        """A text of ours in the person's language."""
        if self.language is None:
            from tui.language import language_of_settings

            self.language = language_of_settings()
        if self.language == "en" or not text:
            return text
        from tui.strings.sentences import translated

        return translated(text)

    @property
    def stdin_is_terminal(self) -> bool:
        """Whether a person can answer."""
        return is_terminal(sys.stdin)

    @property
    def stdout_is_terminal(self) -> bool:
        """Whether a person reads the answer."""
        return is_terminal(sys.stdout)

    @property
    def stderr_is_terminal(self) -> bool:
        """Whether a bar may move."""
        return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    @property
    def color_out(self) -> bool:
        """Colour on stdout?"""
        return wants_color(sys.stdout, self.color)

    def styled(self, text: str, style: str, stream: IO[str] | None = None) -> str:
        """Text in a style, plain where the stream (stderr unless told) has no colour."""
        if not wants_color(sys.stderr if stream is None else stream, self.color):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    def answer(self, text: str) -> None:
        """Write to stdout at once; nothing is added. Raises BrokenPipeError when the reader is gone."""
        self.write(self.seen(text))

    def write(self, text: str) -> None:
        """The same for a text with colours, whose parts went through `seen`."""
        if sys.stdout is None:
            raise BrokenPipeError("stdout is closed")
        sys.stdout.write(text)
        sys.stdout.flush()

    def seen(self, text: str) -> str:
        """A text as stdout takes it: as it is, and on a terminal so that it can't steer that."""
        return visible(text) if self.stdout_is_terminal else text

    def line(self, text: str) -> None:
        """A line of answer on stdout."""
        self.answer(text if text.endswith("\n") else text + "\n")

    def note(self, text: str) -> None:
        """A remark on stderr; `--quiet` drops it."""
        if not self.quiet:
            self.quote(self.said(text))

    def quote(self, text: str) -> None:
        """A remark that is not ours, or is said already, as it is."""
        if not self.quiet:
            self._err(self.styled(visible(text), "dim"))

    def detail(self, text: str) -> None:
        """A remark for `--verbose`."""
        if self.verbose:
            self.note(text)

    def warn(self, text: str) -> None:
        """A warning on stderr; `--quiet` drops it."""
        if not self.quiet:
            self._err(self.styled(self.said("warning: "), "yellow") + visible(self.said(text)))

    def error(self, where: str, message: str, hint: str = "") -> None:
        """What went wrong and what to do next: three lines at most, always shown. Where is said once."""
        message = message.removeprefix(f"{where}: ")
        message, hint = as_called(self.said(message)), as_called(self.said(hint))
        lines = [line for line in visible(message).splitlines() if line.strip()] or [self.said("unknown error")]
        lines = lines[: 2 if hint else 3]
        named = on_one_line(where)
        lines[0] = self.styled(f"{named}: ", "red") + lines[0]
        if hint:
            lines.append(self.styled(ARROW, "bold") + " ".join(visible(hint).split()))
        self._err("\n".join(lines))

    def _err(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr closed: nobody to tell
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    @contextlib.contextmanager
    def spinner(self, label: str) -> Iterator[None]:
        """A turning sign on a terminal's stderr while the body runs; nothing elsewhere."""
        if self.quiet or not self.stderr_is_terminal:
            yield
            return
        done = threading.Event()
        thread = threading.Thread(target=self._spin, args=(on_one_line(self.said(label)), done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _spin(self, label: str, done: threading.Event) -> None:
        started, shown = time.monotonic(), False
        signs = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if "utf" in (sys.stderr.encoding or "").lower() else "|/-\\"
        while not done.wait(0.1):
            elapsed = time.monotonic() - started
            if elapsed < 0.3:  # nothing flashes up for what is quick
                continue
            shown = True
            with contextlib.suppress(OSError, ValueError):
                sign = signs[int(elapsed * 10) % len(signs)]
                sys.stderr.write(f"\r{sign} {label} {self.said(f'{elapsed:.0f} s')}\x1b[K")
                sys.stderr.flush()
        if shown:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


class _Current:
    """What `main` needs to report an error as this run wants it."""

    console: Console = Console()
    debug: bool = False


def note_console(console: Console, *, debug: bool) -> None:
    """Remember how the running command speaks."""
    _Current.console, _Current.debug = console, debug


def current() -> tuple[Console, bool]:
    """The running command's console, and whether tracebacks are wanted."""
    return _Current.console, _Current.debug
