"""Drafts: what probably comes next, guessed from what was written before, and checked by the model in one step.

A summary, an answer from a text or a program repeats stretches of it. Where the last few tokens have stood before,
what followed them then is the draft: an n-gram model of one text. A step over a few tokens costs little more than over
one, and what the model draws at each place is what it would have drawn alone: drafts change no token, they save steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDER = 3
"""Tokens that must have stood before in the same order. Two guess more often and are wrong more often."""
LONGEST = 7
"""Tokens of a draft."""
COST = 0.15
"""What a drafted token adds to the time of a step: 0.13 to 0.2 for the default model on two cores with AVX512."""
WEIGHT = 0.25
"""Of the latest draft, in the running mean of what drafts save."""
PAUSE = 24
"""Guesses let pass, where drafts do not pay, before one is tried again."""


class Drafts:
    """Guesses the next tokens of one text; stops where guesses save less than they cost, as measured on the way."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """n-gram -> the place after where it last stood."""
        self._saved = COST
        """Running mean of steps saved by a draft, less its cost."""
        self._length, self._pause = 3, 0
        for id_ in ids:
            self.add(id_)

    def add(self, id_: int) -> None:
        """The text goes on with a token."""
        # The n-gram before it is entered now: it must not be found as its own predecessor.
        if len(self._ids) >= ORDER:
            self._after[tuple(self._ids[-ORDER:])] = len(self._ids)
        self._ids.append(id_)

    def propose(self) -> list[int]:
        """The tokens that may come next; none where nothing is known, or where guesses do not pay."""
        start = self._after.get(tuple(self._ids[-ORDER:]))
        if start is None:
            return []
        if self._saved <= 0 and self._pause > 0:
            self._pause -= 1
            return []
        return self._ids[start : start + self._length]

    def judge(self, offered: int, accepted: int) -> None:
        """How many tokens of a draft were drawn."""
        self._saved += WEIGHT * (accepted - COST * offered - self._saved)
        self._length = min(LONGEST, 2 * accepted + 2)
        self._pause = PAUSE
