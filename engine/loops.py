"""Ends a reply that says the same again and again: small models fall into loops that only the room would end. What may
be the third copy of something is held back until it is known to be something else, so that nobody reads a loop.

What counts is a block of letters that stands at least three times in a row, and whose copies after the first say much;
or an item that a numbered list has for the third time, a long one for the second, wherever (points under what a plan
says of each day are none).
So lines that differ in a word, a refrain that comes back, rows of a table and rules of dashes are no loops; numbers
before the lines of a list are not looked at. Not in code, where the same line may well stand often; and not where the
request itself has the block: who asks for a sentence ten times shall have it.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.language import HAN
from engine.schema import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from engine.schema import Message

COPIES = 3
AGAIN = 120
"""Letters that the copies after the first hold together; a Chinese character counts as two."""
DOUBTFUL_COPIES = 2
DOUBTFUL_AGAIN = 40
"""After so much what follows is held back."""
WINDOW = 1_800
"""Letters that are looked back on: a block of up to 600 is found."""
REQUEST = 500
"""Characters of a request that are looked at."""
STEP = 12
"""Characters between two looks."""
ITEM = 20
"""Letters of an item that may come twice, not three times."""
LONG_ITEM = 30
"""Letters of an item that may come once: what is so long is hardly ever meant to come again word for word."""
_NUMBER = re.compile(r"^[ \t]*(?:\d+[.)、]|[-*•])[ \t]+", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(\d+)[.)、][ \t]+")
_BEGUN = re.compile(r"^[ \t]*(?:\d+(?:[.)、][ \t]*)?)?")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def looping(text: str, asked: str = "", copies: int = COPIES, again: int = AGAIN) -> bool:
    """Whether a text ends in a loop."""
    if len(_FENCE.findall(text)) % 2:
        return False
    if _items_again(text, copies, asked):
        return True
    letters = _letters(text[-3 * WINDOW :])[-WINDOW:]
    period = _period(letters, copies, again)
    return period > 0 and any(map(str.isalpha, letters[-period:])) and not _has(_letters(asked), letters[-period:])


class Watch:
    """Follows a reply; what may be told of it now, and whether it has ended for saying the same again and again."""

    def __init__(self, asked: str) -> None:
        """`asked`: the request; of one with documents the end, where the question stands."""
        self.ended = False
        self._asked = asked[-REQUEST:]
        self._text, self._due, self._doubtful = "", STEP, False
        self._held = list[Any]()

    def take(self, event: Any) -> list[Any]:
        """The events up to this one that may be told, perhaps none yet. In a loop the last Chunk has the finish reason
        `repeated`, and what was held back is not part of it."""
        held = self._doubtful
        if isinstance(event, Chunk):
            self._text += event.text
            ends = event.finish_reason is not None
            # A line that ends may be the second copy of an item: what follows is looked at letter by letter.
            if len(self._text) >= self._due or "\n" in event.text or self._doubtful:
                self._due = len(self._text) + STEP
                doubtful = not ends and looping(self._text, self._asked, DOUBTFUL_COPIES, DOUBTFUL_AGAIN)
                if (held or doubtful) and looping(self._text + "\n" * ends, self._asked):
                    self.ended = True
                    return [replace(event, text="", ids=(), logprobs=(), finish_reason="repeated")]
                self._doubtful = doubtful
        self._held.append(event)
        if held and self._doubtful:
            return []
        return self.rest()

    def rest(self) -> list[Any]:
        """What is held back, where nothing more comes that could tell."""
        told, self._held = self._held, []
        return told


def ended_at_loops(events: Generator[Any, None, None], asked: str) -> Generator[Any, None, None]:
    """The events of a reply until it loops, as `Watch` lets them pass; what is held where it fails comes first."""
    watch = Watch(asked)
    with contextlib.closing(events):
        try:
            for event in events:
                yield from watch.take(event)
                if watch.ended:
                    return
        except EngineError:
            yield from watch.rest()
            raise
        yield from watch.rest()


def request_of(messages: Sequence[Message]) -> str:
    """What the user said last."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _letters(text: str) -> str:
    """Letters and digits alone, the numbers of lists left out; Chinese characters twice."""
    bare = "".join(filter(str.isalnum, _NUMBER.sub("", text)))
    return HAN.sub(lambda found: "".join(char * 2 for char in found[0]), bare)


def _items_again(text: str, copies: int, asked: str) -> bool:
    """Whether a numbered list has an item so many times and, where that is not yet too often, may go on with it."""
    *lines, last = text.split("\n")
    items = list[str]()
    for line in lines:
        if found := _item(line):
            number, letters = found
            if number == "1":
                items = []
            items.append(letters)
    again = [
        item
        for item, count in Counter(items).items()
        if (count >= copies and len(item) >= ITEM) or (count >= copies - 1 and len(item) >= LONG_ITEM)
    ]
    if copies < COPIES:
        begun = _letters(_BEGUN.sub("", last))
        again = [item for item in again if item.startswith(begun)]
    return any(not _has(_letters(asked), item) for item in again)


@lru_cache(maxsize=4096)
def _item(line: str) -> tuple[str, str] | None:
    """The number and the letters of a line that is an item of a numbered list; each look reads them all again."""
    found = _ITEM.match(line)
    return (found[1], _letters(line)) if found else None


def _period(letters: str, copies: int, again: int) -> int:
    """The length of the block that the end repeats often enough; 0 if there is none. In linear time, by the borders of
    Knuth, Morris and Pratt (1977): n letters with a border of b have the period n - b."""
    back = letters[::-1]
    borders = [0] * len(back)  # of each beginning of `back`: the longest end of it that is a beginning as well
    for at in range(1, len(back)):
        border = borders[at - 1]
        while border and back[at] != back[border]:
            border = borders[border - 1]
        borders[at] = border + (back[at] == back[border])
        period = at + 1 - borders[at]
        if at + 1 >= copies * period and at + 1 - period >= again:
            return period
    return 0


def _has(asked: str, block: str) -> bool:
    """Whether a request has the block, begun at any place of it; a reply may begin it with a capital."""
    asked, block = asked.casefold(), block.casefold()
    return bool(asked) and any(block[at:] + block[:at] in asked for at in range(len(block)))
