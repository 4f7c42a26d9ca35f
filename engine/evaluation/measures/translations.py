"""`llm translate` of single texts against people's translations, into one of the two languages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.evaluation.interval import mean
from engine.evaluation.measure import Measure
from engine.evaluation.rows import Translated, objects
from engine.evaluation.translation import Counts, corpus_score, counts
from engine.schema import Chunk, Document
from engine.tasks.translate import Doubtful, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.evaluation.interval import Statistic
    from engine.session import Session


class TranslationScores(NamedTuple):
    """What one translation adds to the corpus figures, and whether the command itself doubts it."""

    bleu: Counts
    chrf: Counts
    doubtful: bool


class TaskMeasure(Measure[Translated, TranslationScores]):
    """Corpus BLEU (13a for English, zh for Chinese) and chrF, 0 to 100; the share that was marked as doubtful."""

    def read(self, document: Document) -> list[Translated]:
        """Rows of `en` and `zh`."""
        return [Translated.read(line, fields) for line, fields in objects(document)]

    def judge(self, session: Session, row: Translated) -> tuple[dict[str, Any], TranslationScores]:
        """The translation that the command would print."""
        to = self.setup.to
        source, reference = (row.en, row.zh) if to == "zh" else (row.zh, row.en)
        text, doubtful = "", False
        document = Document(f"line {row.line}", source)
        with contextlib.closing(translate(session, document, sampling=self.setup.sampling, to=to)) as events:
            for event in events:
                text += event.text if isinstance(event, Chunk) else ""
                doubtful = doubtful or isinstance(event, Doubtful)
        text = text.strip()
        scores = TranslationScores(counts("bleu", text, reference, to), counts("chrf", text, reference, to), doubtful)
        return {"source": source, "reference": reference, "translation": text, "doubtful": doubtful}, scores

    def statistics(self) -> Mapping[str, Statistic[TranslationScores]]:
        """Figures of the corpus."""
        to = self.setup.to
        return {
            "bleu": lambda rows: corpus_score("bleu", [row.bleu for row in rows], to),
            "chrf": lambda rows: corpus_score("chrf", [row.chrf for row in rows], to),
            "doubtful": lambda rows: mean([row.doubtful for row in rows]),
        }
