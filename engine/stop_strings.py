"""Ends a stream of text before the stop string that is complete first, wherever the text was cut into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class StopStrings:
    """Feed text with `push`; what may still become a stop string is held back until it is known."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.hit = False
        """Whether a stop string has come; everything after it is dropped."""

    def push(self, text: str) -> str:
        """Take a piece of text; returns what is safe to show."""
        if self.hit:
            return ""
        if not self._stops:
            return text
        self._held += text
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.hit = True
            _, start = min(found)  # the one that is complete first, as if the text came character by character
            shown, self._held = self._held[:start], ""
            return shown
        safe = len(self._held) - self._possible_start()
        shown, self._held = self._held[:safe], self._held[safe:]
        return shown

    def flush(self) -> str:
        """The rest, once no more text will come."""
        shown, self._held = self._held, ""
        return shown

    def _possible_start(self) -> int:
        """Length of the longest tail that begins a stop string."""
        for length in range(min(self._longest - 1, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
