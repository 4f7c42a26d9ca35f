"""Drafts: what probably comes next, guessed from what was written before, and checked by the model in one step.

A summary, an answer from a text or a program repeats stretches of it. Where the last few tokens have stood before,
what followed them then is the draft: an n-gram model of one text. A step over a few tokens costs little more than over
one, and what the model draws at each place is what it would have drawn alone: drafts change no token, they save steps.
So it is speculative decoding (arXiv 2211.17192) by prompt lookup, without a second model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS = (3, 2, 1)
"""Tokens that must have stood before in the same order; the fewer, the more often they have, and the more often what
followed them was something else."""
LONGEST = 15
"""Tokens of a draft: with the one before it, as many as a native step takes exactly."""
FIRST = 0.15
"""Of what a step with a draft takes beyond a plain one, in plain steps: what does not grow with the draft."""
EACH = 0.04
"""What each of its tokens takes, until some were timed."""
CHEAPEST, DEAREST = 0.01, 0.5
"""Between these it is taken to be: timings are noisy."""
DRIFT = 1.05
"""By how much more a plain step may take than the one before it: texts grow, while the first step of a reply, which may
wait for weights to come from the disk, says little of the next."""
WEIGHT = 0.25
"""Of the latest draft, in running means."""
HOPE = 0.25
"""Plain steps that a draft is taken to save before one was judged: it is tried at once, and given up after three short
ones that were wrong, or one of full length."""
PAUSE = 24
"""Guesses let pass, where drafts do not pay, before one is tried again."""


class Stretches:
    """Where each run of `order` tokens last stood, and what guessing from that has saved lately."""

    def __init__(self, order: int) -> None:
        self._order = order
        self._after: dict[tuple[int, ...], int] = {}
        """n-gram -> the place after where it last stood."""
        self._saved = HOPE
        """Running mean of the plain steps saved by a draft, less what it cost."""
        self._accepted = 1.0
        """Running mean of the tokens of a draft that were drawn."""
        self._pause = 0

    def enter(self, ids: Sequence[int]) -> None:
        """The text is about to go on after these."""
        if len(ids) >= self._order:
            self._after[tuple(ids[-self._order :])] = len(ids)

    def propose(self, ids: Sequence[int], each: float) -> Sequence[int]:
        """What followed the end of the text before; nothing if it is new there, or if that has not paid lately. As long
        as the last token has a chance to be drawn that is worth what it costs, `each`."""
        start = self._after.get(tuple(ids[-self._order :]))
        if start is None:
            return ()
        if self._saved <= 0 and self._pause > 0:
            self._pause -= 1
            return ()
        chance = (self._accepted + 0.5) / (self._accepted + 1.5)  # of one more; those that go on long are many
        length = int(math.log(each) / math.log(chance))
        return ids[start : start + max(1, min(LONGEST, length))]

    def judge(self, accepted: int, cost: float) -> None:
        """How many tokens of a draft were drawn, and how many plain steps it took beyond one."""
        self._saved += WEIGHT * (accepted - cost - self._saved)
        self._accepted += WEIGHT * (accepted - self._accepted)
        self._pause = PAUSE


class Drafts:
    """Guesses the next tokens of one text; stops where guesses save less than they cost, as measured on the way."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._orders = [Stretches(order) for order in ORDERS]
        self._latest = self._orders[0]
        self._each = EACH
        self._plain = 0.0
        """Seconds of a step without a draft; 0: none was timed."""
        for id_ in ids:
            self.add(id_)

    def add(self, id_: int) -> None:
        """The text goes on with a token."""
        # The n-gram before it is entered now: it must not be found as its own predecessor.
        for stretches in self._orders:
            stretches.enter(self._ids)
        self._ids.append(id_)

    def propose(self) -> list[int]:
        """The tokens that may come next; none where nothing is known, or where guesses do not pay."""
        each = min(DEAREST, max(CHEAPEST, self._each))
        for stretches in self._orders:
            if draft := stretches.propose(self._ids, each):
                self._latest = stretches
                return list(draft)
        return []

    def judge(self, offered: int, accepted: int, seconds: float) -> None:
        """How many tokens of a draft were drawn, and how long its step took; or how long one took without a draft."""
        if not offered:
            self._plain = min(seconds, self._plain * DRIFT) if self._plain else seconds
            return
        cost = FIRST + self._each * offered
        if self._plain:
            cost = seconds / self._plain - 1
            self._each += WEIGHT * ((cost - FIRST) / offered - self._each)
        self._latest.judge(accepted, cost)
