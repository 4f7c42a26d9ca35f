"""How like the judged examples of each label a text is, in the model's own embeddings; for `engine.tasks.classify`.

Cosines with the labels' centres, from the middle of all examples. Examples are nearer to their own centre than texts
that come later, and some labels hold together better than others: so each label's bias is measured on the examples
themselves, each left out of its own centre, and taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import bool_, float32
    from numpy.typing import NDArray

    from engine.session import Session

WEIGHT = 5.0
"""What likeness counts beside a label's log-probability. On 300 development messages (spam or not, eight examples) the
plain model's macro-F1 is 0.65 by its replies alone, 0.85 by likeness alone, 0.87 together; 3 and 10 give 0.86 and 0.87.
Replies were not weighed then (`engine.tasks.weighing`)."""
LEAST = 2
"""Examples of each label below which its bias can't be measured."""


class Likeness:
    """The embedded examples of a set of labels."""

    def __init__(self, session: Session, labels: Sequence[str], examples: Sequence[tuple[str, str]]) -> None:
        """Every label needs `LEAST` examples."""
        import numpy

        self._session = session
        self._vectors = session.embed([text for text, _ in examples])  # (E, C)
        self._owners = numpy.array([labels.index(label) for _, label in examples])
        self._count = len(labels)
        every = numpy.arange(len(examples))
        left_out = numpy.concatenate([self._cosines(every != at, self._vectors[at : at + 1]) for at in every])
        means = numpy.stack([left_out[self._owners == label].mean(0) for label in range(self._count)])
        self._bias = means.mean(0)
        own = means.diagonal()
        others = (means.sum(1) - own) / (self._count - 1)
        self.gap = WEIGHT * float((own - others).mean())
        """By how much it prefers an example's own label, left out of its own centre."""
        self.prior: list[float] = [0.0] * self._count
        """What is taken off the log-probability of each label's reply."""
        self.weight = 1.0
        """A factor on what remains of it."""

    def scores(self, texts: Sequence[str]) -> NDArray[float32]:
        """(N, labels): what to add to each label's log-probability."""
        import numpy

        everything = numpy.ones(len(self._vectors), dtype=bool)
        return WEIGHT * (self._cosines(everything, self._session.embed(texts)) - self._bias)

    def _cosines(self, used: NDArray[bool_], vectors: NDArray[float32]) -> NDArray[float32]:
        """Vectors (N, C) against the centres of the examples that are `used` (E,): (N, labels)."""
        import numpy

        examples, owners = self._vectors[used], self._owners[used]
        middle = examples.mean(0)
        examples, vectors = _unit(examples - middle), _unit(vectors - middle)
        centres = _unit(numpy.stack([examples[owners == label].mean(0) for label in range(self._count)]))
        return vectors @ centres.T


def enough(labels: Sequence[str], examples: Sequence[tuple[str, str]]) -> bool:
    """Whether every label has `LEAST` examples."""
    given = [label for _, label in examples]
    return all(given.count(label) >= LEAST for label in labels)


def _unit(vectors: NDArray[float32]) -> NDArray[float32]:
    import numpy

    return vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
