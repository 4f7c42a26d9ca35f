"""Results are kept for the same prompt and model alone, shared by processes, and never in the way."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest
from asked import Asked

from engine import result_cache
from engine.config import SamplingConfig
from engine.result_cache import ResultCache
from engine.schema import Chunk, Coverage, Document
from engine.tasks.summarize import summarize

if TYPE_CHECKING:
    from pathlib import Path

    from engine.session import Session

BRIEF = SamplingConfig(max_tokens=8)
PARAGRAPHS = [f"Paragraph {n} says word{n * 7919} and some more words, such as these.\n\n" for n in range(300)]


def test_what_was_put_is_found_by_its_key_alone(tmp_path: Path) -> None:
    with ResultCache(tmp_path / "cache" / "results.db") as cache:
        assert cache.get("a") is None
        cache.put("a", "甲")
        cache.put("b" * 100_000, "乙")
    with (
        ResultCache(tmp_path / "cache" / "results.db") as cache,
        ResultCache(tmp_path / "cache" / "results.db") as other,
    ):
        assert (cache.get("a"), cache.get("b" * 100_000), cache.get("b")) == ("甲", "乙", None)
        other.put("a", "丙")
        assert cache.get("a") == "丙"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_others_can_not_read_it(tmp_path: Path) -> None:
    with ResultCache(tmp_path / "cache" / "results.db") as cache:
        cache.put("a", "b")
        assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
        for file in (tmp_path / "cache").iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_cache, "MOST", 3)
    with ResultCache(tmp_path / "results.db") as cache:
        for name in "abcde":
            cache.put(name, name)
    with ResultCache(tmp_path / "results.db") as cache:
        assert [cache.get(name) for name in "abcde"] == [None, None, "c", "d", "e"]


def test_a_damaged_file_is_replaced_and_a_folder_in_the_way_is_left(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    path.write_bytes(b"not a database" * 100)
    with ResultCache(path) as cache:
        cache.put("a", "b")
    with ResultCache(path) as cache:
        cache.put("a", "b")
        assert cache.get("a") == "b"
    (tmp_path / "folder").mkdir()
    with ResultCache(tmp_path / "folder") as cache:
        cache.put("a", "b")
        assert cache.get("a") is None


def test_a_file_that_another_process_holds_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_cache, "PATIENCE", 0.01)
    path = tmp_path / "results.db"
    with ResultCache(path) as cache:
        cache.put("a", "kept")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("DELETE FROM results WHERE at < 0")
    with ResultCache(path) as cache:
        assert cache.get("a") is None, "it forgets where the file can't be used"
    other.close()
    with ResultCache(path) as cache:
        assert cache.get("a") == "kept"


def run(session: Session, text: str, memory: Any, **settings: Any) -> tuple[str, Coverage]:
    events = list(summarize(session, Document("text", text), sampling=BRIEF, memory=memory, **settings))
    assert isinstance(events[-1], Coverage)
    return "".join(event.text for event in events if isinstance(event, Chunk)), events[-1]


def test_an_edited_text_is_read_again_only_around_the_edit(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = Asked().watch(tiny_session, monkeypatch)
    with ResultCache(tmp_path / "results.db") as memory:
        first, read = run(tiny_session, "".join(PARAGRAPHS), memory)
        runs = len(asked.texts)
        assert runs > read.chunks_total >= 6
        again, known = run(tiny_session, "".join(PARAGRAPHS), memory)
        assert (again, len(asked.texts), known.chunks_cached) == (first, runs, read.chunks_total)
        edited = [*PARAGRAPHS]
        edited.insert(2, "A new paragraph near the beginning of everything.\n\n")
        _, after = run(tiny_session, "".join(edited), memory)
        passages = [text for text in asked.texts[runs:] if "word" in text]
        assert 1 <= len(passages) <= 3
        assert after.chunks_total > after.chunks_cached >= read.chunks_total - 3
        run(tiny_session, "".join(PARAGRAPHS), memory, focus="words")
        assert len(asked.texts) >= runs + read.chunks_total, "another wish is another prompt"


def test_a_run_that_is_stopped_loses_no_finished_passage(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = Asked().watch(tiny_session, monkeypatch)
    text = "".join(PARAGRAPHS)
    with ResultCache(tmp_path / "results.db") as memory:
        whole, read = run(tiny_session, text, None)
        total = len(asked.texts)
        events = summarize(tiny_session, Document("text", text), sampling=BRIEF, memory=memory)
        done = 0
        while done < 3:
            event = next(events)
            done = getattr(event, "done", done)
        events.close()
        stopped = len(asked.texts)
        after, known = run(tiny_session, text, memory)
        assert after == whole
        assert known.chunks_cached >= 3
        assert len(asked.texts) - stopped == total - known.chunks_cached
        assert known.chunks_total == read.chunks_total


def test_what_chance_wrote_is_not_kept(tiny_session: Session, tmp_path: Path) -> None:
    with ResultCache(tmp_path / "results.db") as memory:
        warm = SamplingConfig(max_tokens=4, temperature=1.0)
        for _ in range(2):
            events = list(summarize(tiny_session, Document("t", "".join(PARAGRAPHS)), sampling=warm, memory=memory))
            assert isinstance(events[-1], Coverage)
            assert events[-1].chunks_cached == 0
