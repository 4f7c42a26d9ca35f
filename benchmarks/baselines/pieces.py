"""The n-gram model over the pieces of the project's own SentencePiece vocabulary, which write every text losslessly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from benchmarks.baselines.ngram import NGramModel
from engine.evaluation.likelihood import Likelihood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.tokenizer import Tokenizer

SEPARATOR = 2
"""The piece `</s>`: between texts, and before what is scored."""
STRETCH = 1024
"""Pieces of one likelihood: what intervals are drawn over."""


def vocabulary() -> Tokenizer:
    """The project's own tokenizer, 16,000 pieces."""
    import tokenizer_models
    from engine.tokenizer import Tokenizer

    return Tokenizer.load(tokenizer_models.path())


class TextModel:
    """How likely texts are."""

    def __init__(self, tokenizer: Tokenizer, model: NGramModel, order: int) -> None:
        self._tokenizer, self._model, self._start = tokenizer, model, [SEPARATOR] * (order - 1)

    @classmethod
    def train(cls, texts: Sequence[str], order: int = 4) -> Self:
        """From texts of one language."""
        tokenizer = vocabulary()
        ids = [SEPARATOR] * (order - 1)
        for text in texts:
            ids += tokenizer.encode(text)
            ids.append(SEPARATOR)
        return cls(tokenizer, NGramModel.train(ids, tokenizer.vocab_size, order), order)

    def likelihoods(self, text: str) -> list[Likelihood]:
        """Of the whole text, in stretches; each piece is seen after those before it, across stretches too."""
        ids = self._tokenizer.encode(text)
        logprobs = self._model.logprobs([*self._start, *ids])[len(self._start) :]
        found = []
        for start in range(0, len(ids), STRETCH):
            part = ids[start : start + STRETCH]
            size = sum(len(self._tokenizer.token_bytes(id_)) for id_ in part)
            found.append(Likelihood(float(logprobs[start : start + STRETCH].sum()), len(part), size))
        return found

    def ending(self, context: str, ending: str) -> float:
        """Log-probability of an ending after a context, the two encoded apart."""
        before = [*self._start, *self._tokenizer.encode(context)]
        return float(self._model.logprobs([*before, *self._tokenizer.encode(ending)])[len(before) :].sum())
