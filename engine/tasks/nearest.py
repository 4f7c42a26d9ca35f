"""Which of many kept vectors are nearest to a text's: float16 as they lie in a store, cosines from their middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.session import Session


def packed(session: Session, texts: Sequence[str]) -> list[bytes]:
    """A vector for each text, as it is kept."""
    import numpy

    return [vector.tobytes() for vector in session.embed(texts).astype(numpy.float16)]


def nearest(session: Session, text: str, kept: bytes, count: int, most: int) -> list[tuple[int, float]]:
    """Places among `count` kept vectors, one after the other in `kept`, and their cosines with a text: the best `most`.

    Texts of one model all lean one way, which says nothing: cosines are taken from the vectors' middle.
    """
    import numpy

    if not count:
        return []
    matrix = numpy.frombuffer(kept, numpy.float16).astype(numpy.float32).reshape(count, -1)
    middle = matrix.mean(0)
    (asked,) = session.embed([text])
    matrix, asked = matrix - middle, asked - middle
    lengths = numpy.linalg.norm(matrix, axis=1) * numpy.linalg.norm(asked)
    scores = matrix @ asked / numpy.maximum(lengths, 1e-9)
    return [(int(place), float(scores[place])) for place in numpy.argsort(-scores)[:most]]
