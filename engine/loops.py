"""Ends a reply that says the same again and again: small models fall into loops that only the room would end. What may
be the third copy of something is held back until it is known to be something else, so that nobody reads a loop.

What counts is a block of letters that stands at least three times in a row, and whose copies after the first say much.
So lines that differ in a word, a refrain that comes back, rows of a table and rules of dashes are no loops; numbers
before the lines of a list are not looked at. Not in code, where the same line may well stand often; and not where the
request itself has the block: who asks for a sentence ten times shall have it.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
_NUMBER = re.compile(r"^[ \t]*(?:\d+[.)、]|[-*•])[ \t]+", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def looping(text: str, asked: str = "", copies: int = COPIES, again: int = AGAIN) -> bool:
    """Whether a text ends in a loop."""
    if len(_FENCE.findall(text)) % 2:
        return False
    letters = _letters(text[-3 * WINDOW :])[-WINDOW:]
    period = _period(letters, copies, again)
    return period > 0 and any(map(str.isalpha, letters[-period:])) and not _has(_letters(asked), letters[-period:])


def ended_at_loops(events: Generator[Any, None, None], asked: str) -> Generator[Any, None, None]:
    """The events of a reply until it loops: then its last Chunk has the finish reason `repeated`, and what was held
    back is not part of it.

    `asked`: the request; of one with documents the end, where the question stands.
    """
    text, seen, asked = "", 0, asked[-REQUEST:]
    held = list[Any]()
    doubtful = False
    with contextlib.closing(events):
        for event in events:
            if isinstance(event, Chunk):
                text += event.text
                if event.finish_reason is None and len(text) - seen >= STEP:
                    seen = len(text)
                    if looping(text, asked):
                        yield replace(event, text="", ids=(), logprobs=(), finish_reason="repeated")
                        return
                    doubtful = looping(text, asked, DOUBTFUL_COPIES, DOUBTFUL_AGAIN)
                doubtful = doubtful and event.finish_reason is None
            held.append(event)
            if not doubtful:
                yield from held
                held.clear()


def request_of(messages: Sequence[Message]) -> str:
    """What the user said last."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _letters(text: str) -> str:
    """Letters and digits alone, the numbers of lists left out; Chinese characters twice."""
    bare = "".join(filter(str.isalnum, _NUMBER.sub("", text)))
    return HAN.sub(lambda found: "".join(char * 2 for char in found[0]), bare)


def _period(letters: str, copies: int, again: int) -> int:
    """The length of the block that the end repeats often enough; 0 if there is none."""
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
    """Whether a request has the block, begun at any place of it."""
    return bool(asked) and any(block[at:] + block[:at] in asked for at in range(len(block)))
