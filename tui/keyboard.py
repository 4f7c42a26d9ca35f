"""What comes from the terminal as text: bytes that are no UTF-8 as �, and in a paste no escape sequences.

Textual reads the sequences of a pasted text, the colours of a log say, as keys that are pressed: Ctrl+G among them, and
Enter.
"""

from __future__ import annotations

import codecs
import re

_START, _END = "\x1b[200~", "\x1b[201~"
_SEQUENCE = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:?]{0,64}|\][^\x07\x1b]{0,256})?$")


class Keyboard:
    """Decodes piece by piece; a sequence may come in several."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pasting = False
        self._held = ""
        """The end of a paste's piece that may be the beginning of a sequence."""
        self._tail = ""
        """What was last given outside of a paste: its beginning may have come in two pieces."""

    def decode(self, data: bytes, final: bool = False) -> str:
        """What the bytes say; `final`: none come after them."""
        text, self._held = self._held + self._decoder.decode(data, final), ""
        said = ""
        while text:
            piece, text = self._pasted(text, final) if self._pasting else self._typed(text)
            said += piece
        return said

    def _typed(self, text: str) -> tuple[str, str]:
        """Keys up to a paste's beginning, and what follows."""
        at = (self._tail + text).find(_START)
        self._pasting = at >= 0
        end = at + len(_START) - len(self._tail) if self._pasting else len(text)
        self._tail = "" if self._pasting else (self._tail + text)[1 - len(_START) :]
        return text[:end], text[end:]

    def _pasted(self, text: str, final: bool) -> tuple[str, str]:
        """A paste up to its end, and what follows."""
        pasted, end, rest = text.partition(_END)
        self._pasting = not end
        if not end and not final and (cut := _UNFINISHED.search(pasted)):
            pasted, self._held = pasted[: cut.start()], pasted[cut.start() :]
        return _SEQUENCE.sub("", pasted) + end, rest
