"""Translations against references: corpus BLEU (Papineni 2002) and chrF (Popović 2015) as sacrebleu computes them.

Both are figures of a whole corpus, not means of sentences: each sentence is reduced to its counts, which add up.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacrebleu.metrics.base import Metric

    from engine.schema import Language

Name = Literal["bleu", "chrf"]
Counts = tuple[int, ...]
"""n-grams of one sentence: translated, in the reference, and common."""


def counts(name: Name, translation: str, reference: str, language: Language) -> Counts:
    """What one sentence contributes; `language` is the translation's."""
    metric = _metric(name, language)
    # sacrebleu's own significance tests work on these statistics; no public call hands them out.
    return tuple(metric._extract_corpus_statistics([translation], [[reference]])[0])


def corpus_score(name: Name, rows: Sequence[Counts], language: Language) -> float:
    """BLEU or chrF, 0 to 100, of sentences together; NaN of none."""
    if not rows:
        return float("nan")
    total = [sum(column) for column in zip(*rows, strict=True)]
    return float(_metric(name, language)._compute_score_from_stats(total).score)


def signature(name: Name, language: Language) -> str:
    """How the figure was made, for comparison with others."""
    metric = _metric(name, language)
    metric.num_refs = 1
    return str(metric.get_signature())


@cache
def _metric(name: Name, language: Language) -> Metric:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return CHRF() if name == "chrf" else BLEU(tokenize="zh" if language == "zh" else "13a", force=True)
