"""The perplexity of a plain text, over windows of at most 1,024 tokens or the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.evaluation.likelihood import Likelihood, bits_per_byte, perplexity_by_byte, perplexity_by_token
from engine.evaluation.measure import Measure
from engine.evaluation.windows import Window, windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.evaluation.interval import Statistic
    from engine.evaluation.measure import OnProgress
    from engine.schema import Document
    from engine.session import Session

LENGTH = 1024
"""Tokens of a window: every model of ours has that much context, so that figures compare."""


class TaskMeasure(Measure[Window, Likelihood]):
    """Perplexity by token and by byte; a row is a window."""

    unit = "windows"
    _text = ""

    def read(self, document: Document) -> list[Window]:
        """Keeps the text: it can only be cut once the model's tokenizer is there."""
        if not document.text.strip():
            raise InputError(f"{document.name} is empty: nothing to measure")
        self._text = document.text
        return []

    def prepare(self, session: Session, rows: list[Window], progress: OnProgress) -> list[Window]:
        """The text's windows."""
        pieces = [(id_, data) for id_, _, data in session.pieces(self._text)]
        return windows(pieces, min(LENGTH, session.context - 1))  # 1 for a token that begins a text

    def judge(self, session: Session, row: Window) -> tuple[dict[str, Any], Likelihood]:
        """The likelihood of what is new in a window."""
        [logprobs] = session.score_ids(row.context, [row.scored])
        found = Likelihood(sum(logprobs), len(logprobs), row.size)
        return {"tokens": found.tokens, "bytes": found.size, "logprob": found.logprob}, found

    def statistics(self) -> Mapping[str, Statistic[Likelihood]]:
        """The tokens and bytes of all windows count alike."""
        return {
            "perplexity_by_token": perplexity_by_token,
            "perplexity_by_byte": perplexity_by_byte,
            "bits_per_byte": bits_per_byte,
        }
