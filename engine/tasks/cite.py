"""Which lines of the documents an answer rests on: those that share most of its words, and the question's.

Found by comparison after the fact, never written by the model, so that a line that is cited exists and was read.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from engine.schema import Citation
from engine.tasks.breaks import numbered
from engine.words import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.schema import Document

MOST = 3
"""Lines cited."""
ENOUGH = 0.25
"""Share of the answer's words, by weight, that the first line cited must hold; a later one adds at least half that."""
QUESTION = 0.3
"""What a word of the question counts beside one of the answer."""


def cite(answer: str, question: str, documents: Sequence[Document]) -> list[Citation]:
    """The lines that bear the answer out, in the order of the documents; none if too little of it stands there."""
    lines = [
        (document, number, line.strip())
        for document in documents
        for number, line in numbered(document.text, document.first_line)
        if line.strip()
    ]
    held = [set(words_of(line)) for _, _, line in lines]
    spread = Counter(word for words in held for word in words)
    weights = {word: math.log(1 + len(lines) / count) for word, count in spread.items()}
    asked = {word: QUESTION * weights[word] for word in words_of(question) if word in weights}
    # What the question already says proves nothing about the answer.
    said = {word: weights.get(word, math.log(1 + len(lines))) for word in words_of(answer) if word not in asked}
    chosen: list[int] = []
    open_ = dict(said)
    total = sum(said.values())
    while total and len(chosen) < MOST:
        gains = [sum(open_.get(word, 0.0) for word in words) for words in held]
        best = max(range(len(lines)), key=lambda at: gains[at] + (sum(asked.get(word, 0.0) for word in held[at])))
        if gains[best] < ENOUGH * total * (0.5 if chosen else 1):
            break
        chosen.append(best)
        open_ = {word: weight for word, weight in open_.items() if word not in held[best]}
    return [Citation(lines[at][0].name, lines[at][1], lines[at][2]) for at in sorted(chosen)]
