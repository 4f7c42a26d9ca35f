"""Where `llm` begins: a Ctrl-C while the command line is still being imported ends the process without a word."""

from __future__ import annotations

import signal


def main() -> None:
    """The console script."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a shell said to ignore it
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tui.cli.main import main as run

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
