"""The terminal under the app on Unix: stopped and gone on with as often as one likes, its keys read by one thread.

Textual begins anew at every SIGCONT. One that comes without a suspension (`kill -STOP`, then `-CONT`; a debugger; a
container that was paused) left a second thread at the keys, and each took half of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty

from textual import constants, events
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from tui.keyboard import Keyboard

_MODES = "\x1b[?1049h\x1b[?25l\x1b[?1004h\x1b[?7l"
"""The other screen, no cursor, word of the focus, no wrapping: as the driver sets them at the start."""
_FLAGS = (
    linux_driver.KITTY_DISAMBIGUATE_ESCAPE_CODES
    | linux_driver.KITTY_REPORT_ALL_KEYS
    | linux_driver.KITTY_REPORT_ASSOCIATED_TEXT
)
_KEYBOARD = f"\x1b[<u\x1b[>{_FLAGS}u"
"""The keyboard protocol taken off and put on again: it is a stack, and ours may still lie on it."""
_ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals that end the app."""


class Outlet(WriterThread):
    """Writes to the terminal, and goes on where that has gone: whoever hands it a frame would wait for ever, and what
    was said would not be kept."""

    def run(self) -> None:
        """Write what is queued, up to the end."""
        while (text := self._queue.get()) is not None:
            with contextlib.suppress(OSError):
                self._file.write(text)
                if self._queue.empty():
                    self._file.flush()


class TerminalDriver(LinuxDriver):
    """Textual's, with an eye on whether it is at work already."""

    farewell = ""
    """What stands in the shell while the app is stopped."""

    def start_application_mode(self) -> None:
        """Draw and listen; also to the signals that end programs, which end this one as a key does.

        An exception in their place would end what is just being done, one message of one widget say, and no more.
        """
        vars(linux_driver)["WriterThread"] = Outlet
        super().start_application_mode()  # type: ignore[no-untyped-call]
        for number in _ENDS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._loop.add_signal_handler(number, self._app.exit, 128 + number)

    def run_input_thread(self) -> None:
        """The keys, and what is pasted, as `Keyboard` has it."""
        vars(linux_driver)["getincrementaldecoder"] = lambda _encoding: Keyboard
        super().run_input_thread()

    def _sigtstp_application(self, *_: object) -> None:
        """Give the terminal back, say how the app is found again, and stop."""
        if self._auto_restart:
            self.suspend_application_mode()
            self._must_signal_resume = True
            if sys.__stderr__ is not None:
                sys.__stderr__.write(f"{self.farewell}\n")
                sys.__stderr__.flush()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _sigcont_application(self, *_: object) -> None:
        """Begin anew where there was a suspension, else only put the terminal right: whoever used it may have gone."""
        if not self._auto_restart or self._key_thread is None or not self._key_thread.is_alive():
            super()._sigcont_application()
            return
        with contextlib.suppress(termios.error):  # in the background: it comes again with the foreground
            modes = termios.tcgetattr(self.fileno)
            modes[tty.LFLAG] = self._patch_lflag(modes[tty.LFLAG])
            modes[tty.IFLAG] = self._patch_iflag(modes[tty.IFLAG])
            modes[tty.CC][termios.VMIN] = 1
            termios.tcsetattr(self.fileno, termios.TCSANOW, modes)
            self.write(_MODES + ("" if constants.DISABLE_KITTY_KEY else _KEYBOARD))
            self._enable_bracketed_paste()
            self._enable_mouse_support()
            size = Size(*self._get_terminal_size())
            asyncio.run_coroutine_threadsafe(self._app._post_message(events.Resize(size, size)), loop=self._loop)
