"""How an engine in a process of its own is asked, and what all engines are given.

Engines stay loaded and take turns within seconds, as a machine's speed changes within minutes. An engine is any object
with a method for each measure that it offers, which takes the measure's argument and returns a number.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.speed.memory import resident_mb

if TYPE_CHECKING:
    from collections.abc import Callable

DECODED = 32
"""Tokens of a turn of decoding."""
DEEPEST = 8192
SHORT = 16
"""Tokens of a short prompt: before decoding at depth 0, and before the first token of a start."""
START = "--start"
"""The argument with which an engine's process loads, draws one token and tells what that took."""


def ids_of(count: int, vocabulary: int) -> list[int]:
    """The same ids for everybody; what they say does not matter for time."""
    return [7919 * i % min(vocabulary, 40_000) for i in range(count)]


def answer(load: Callable[[], Any], begun: float) -> None:
    """Be an engine's process: answer each line `MEASURE ARGUMENT` of stdin with a number, null or an
    object with an `error`. `begun`: when it started.

    With `START` among the program's arguments it tells its start instead, or why it can't, and ends.
    """
    imported = time.perf_counter()
    try:
        engine = load()
    except EngineError as error:
        if START not in sys.argv:
            raise
        from engine.serving.wire import pack_error

        _say({"refused": pack_error(error)})
        return
    loaded = time.perf_counter()
    if START in sys.argv:
        engine.first(SHORT)
        first = time.perf_counter()
        seconds = {"import": imported - begun, "load": loaded - imported, "first": first - loaded}
        _say(seconds | {"resident": resident_mb()})
        return
    engine.prefill(64)  # first products choose their ways
    _say(loaded - imported)
    for line in sys.stdin:
        name, _, argument = line.strip().partition(" ")
        measure = getattr(engine, name, None)
        if measure is None:  # it does not offer that
            _say(None)
            continue
        try:
            _say(measure(int(argument) if argument.isdigit() else argument))
        except Exception as error:  # noqa: BLE001  (one measure that fails must not end the others)
            _say({"error": f"{type(error).__name__}: {error}"})


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
