"""`llm translate` of single texts against people's translations, into one of the two languages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.errors import EngineError
from engine.evaluation.interval import mean
from engine.evaluation.measure import Measure, Outcome
from engine.evaluation.rows import Translated, objects
from engine.evaluation.translation import Counts, corpus_score, counts
from engine.schema import Chunk, Coverage, Document
from engine.tasks.translate import Doubtful, translate_many

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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

    def run(self, session: Session, rows: Sequence[Translated]) -> Iterator[Outcome[TranslationScores]]:
        """All rows together, as the command takes rows."""
        to = self.setup.to
        documents = [Document(f"line {row.line}", row.en if to == "zh" else row.zh) for row in rows]
        text, doubtful = "", False
        for number, event in translate_many(session, documents, sampling=self.setup.sampling, to=to):
            if isinstance(event, Chunk):
                text += event.text
            elif isinstance(event, Doubtful):
                doubtful = True
            elif isinstance(event, EngineError):
                yield Outcome.failed(rows[number].line, event)
            elif isinstance(event, Coverage):  # the last of a document's events
                yield self._compared(rows[number], text.strip(), doubtful)
                text, doubtful = "", False

    def _compared(self, row: Translated, text: str, doubtful: bool) -> Outcome[TranslationScores]:
        """A translation beside that of people."""
        to = self.setup.to
        source, reference = (row.en, row.zh) if to == "zh" else (row.zh, row.en)
        scores = TranslationScores(counts("bleu", text, reference, to), counts("chrf", text, reference, to), doubtful)
        answer = {"source": source, "reference": reference, "translation": text, "doubtful": doubtful}
        return Outcome(row.line, answer, scores)

    def statistics(self) -> Mapping[str, Statistic[TranslationScores]]:
        """Figures of the corpus."""
        to = self.setup.to
        return {
            "bleu": lambda rows: corpus_score("bleu", [row.bleu for row in rows], to),
            "chrf": lambda rows: corpus_score("chrf", [row.chrf for row in rows], to),
            "doubtful": lambda rows: mean([row.doubtful for row in rows]),
        }
