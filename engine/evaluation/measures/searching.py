"""`llm search` over passages that are indexed as files, one a passage, in a folder that is gone afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import EngineError, UsageError
from engine.evaluation.interval import mean
from engine.evaluation.measure import Measure
from engine.evaluation.ranking import recall_at, reciprocal_rank
from engine.evaluation.rows import Passage, Query, objects
from engine.index import Index
from engine.tasks.indexing import add, embed_missing
from engine.tasks.search import search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.evaluation.interval import Statistic
    from engine.evaluation.measure import OnProgress, Setup
    from engine.schema import Document
    from engine.session import Session

HITS = 50
"""Hits asked for: a long passage is indexed in several pieces, of which only the best counts."""
MODEL = "measured"
"""What the vectors are called in an index that no other model sees."""


class SearchScores(NamedTuple):
    """One query's figures, 0 to 1."""

    recall1: float
    recall5: float
    recall10: float
    reciprocal: float


class TaskMeasure(Measure[Query, SearchScores]):
    """Recall among the first 1, 5 and 10 passages, and the mean reciprocal rank."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._index: Index | None = None
        self._passages: list[Passage] = []

    def read(self, document: Document) -> list[Query]:
        """Rows of `query` and `relevant`, whose ids must be those of the passages' `id` and `text`."""
        if self.setup.passages is None:
            raise UsageError("search is measured among passages", hint="name their file: --passages FILE")
        known: dict[str, Passage] = {}
        for line, fields in objects(self.setup.passages):
            passage = Passage.read(line, fields)
            if passage.id in known:
                raise fields.fail(f"the id {passage.id!r} is also that of line {known[passage.id].line}")
            known[passage.id] = passage
        self._passages = list(known.values())
        rows = []
        for line, fields in objects(document):
            row = Query.read(line, fields)
            if missing := [name for name in row.relevant if name not in known]:
                raise fields.fail(f"no passage has the id {missing[0]!r:.40}")
            rows.append(row)
        return rows

    def prepare(self, session: Session, rows: list[Query], progress: OnProgress) -> list[Query]:
        """Index the passages, by words and meaning, as `llm index add` does."""
        self._folder = tempfile.TemporaryDirectory(prefix="local-llm-eval-")
        texts = Path(self._folder.name, "texts")
        texts.mkdir()
        for number, passage in enumerate(self._passages):
            (texts / f"{number}.txt").write_text(passage.text, encoding="utf-8", newline="")
        self._index = Index(Path(self._folder.name, "index.db"))
        for seen in add(self._index, [str(texts)], lambda path: Path(path).read_text(encoding="utf-8")):
            if seen.state != "read":
                line = self._passages[int(Path(seen.path).stem)].line
                raise EngineError(f"the passage of line {line} can't be indexed: {seen.reason or seen.state}")
        for done, total in embed_missing(self._index, session, MODEL):
            progress(done, total)
        return rows

    def judge(self, session: Session, row: Query) -> tuple[dict[str, Any], SearchScores]:
        """The passages in the order in which the command shows the best piece of each."""
        assert self._index is not None
        hits = search(self._index, row.query, count=HITS, session=session, model=MODEL)
        found = list(dict.fromkeys(self._passages[int(Path(hit.path).stem)].id for hit in hits))
        recall1, recall5, recall10 = (recall_at(found, row.relevant, k) for k in (1, 5, 10))
        scores = SearchScores(recall1, recall5, recall10, reciprocal_rank(found, row.relevant))
        return {"query": row.query, "relevant": list(row.relevant), "found": found[:10]} | scores._asdict(), scores

    def statistics(self) -> Mapping[str, Statistic[SearchScores]]:
        """Means over the queries."""
        return {
            "recall@1": lambda rows: mean([row.recall1 for row in rows]),
            "recall@5": lambda rows: mean([row.recall5 for row in rows]),
            "recall@10": lambda rows: mean([row.recall10 for row in rows]),
            "mrr": lambda rows: mean([row.reciprocal for row in rows]),
        }

    def close(self) -> None:
        """Remove the index and the files."""
        if self._index:
            self._index.close()
        if self._folder:
            self._folder.cleanup()
