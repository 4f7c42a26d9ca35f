"""Ranking by words and meaning: deterministic, the same in a store as in memory, and right on real weights."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy
import pytest
import torch
import toy_decoders
from hypothesis import given
from hypothesis import strategies as st

from engine.config import ModelConfig
from engine.embedding import PASS, blocks, embed
from engine.index import Index
from engine.language import language_of
from engine.session import Session
from engine.tasks.indexing import add, embed_missing
from engine.tasks.nearness import cosines, others
from engine.tasks.passages import length
from engine.tasks.search import WORDS, best_line, fuse, identity, rank, search
from engine.words import excerpt, rank_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PASSAGES = [
    "The ferry to the island leaves every morning at seven from the old harbour.",
    "Our accountant answers questions about invoices on Mondays.",
    "老板决定下个月给全体员工加薪。",
    "The museum of natural history keeps the skeleton of a blue whale.",
    "图书馆周末不开放，请在工作日前来借书。",
    "Bread rises faster when the dough is kept warm.",
]


def test_vectors_have_length_one_and_do_not_depend_on_company(tiny_session: Session) -> None:
    texts = ["one", "a somewhat longer text than the others", "图书馆", "word " * (2 * PASS)]
    together = tiny_session.embed(texts)
    assert together.dtype == numpy.float32
    assert together.shape == (4, tiny_session.config.hidden_size)
    assert numpy.allclose(numpy.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = numpy.concatenate([tiny_session.embed([text]) for text in reversed(texts)])[::-1]
    assert numpy.allclose(together, alone, atol=1e-5)


def test_embedding_leaves_the_conversation_in_the_cache(tiny_session: Session) -> None:
    from engine.config import SamplingConfig
    from engine.schema import Message

    asked = [Message("user", "hello there")]
    sampling = SamplingConfig(temperature=0, max_tokens=3)
    first = [chunk.ids for chunk in tiny_session.stream(asked, sampling)]
    tiny_session.embed(PASSAGES)
    again = list(tiny_session.stream(asked, sampling))
    assert [chunk.ids for chunk in again] == first
    assert again[-1].cached_tokens > 0


def test_no_text_gives_no_vector_and_an_empty_one_gives_zeros(tiny_session: Session) -> None:
    assert tiny_session.embed([]).shape == (0, tiny_session.config.hidden_size)
    assert not tiny_session.embed([""]).any()


def test_no_token_stands_where_the_model_was_not_trained() -> None:
    model = toy_decoders.decoder(ModelConfig(**toy_decoders.SIZE | {"max_context": 32}, num_layers=2))
    stretch = list(range(10, 41))  # with the start, a context
    once, thrice = embed(model, [stretch, stretch * 3], start=[0])
    torch.testing.assert_close(thrice, once)


@pytest.mark.parametrize(("layers", "run"), [(1, 1), (2, 1), (18, 4), (24, 6), (30, 8)])
def test_a_quarter_of_the_blocks_is_run_and_never_none(layers: int, run: int) -> None:
    assert blocks(layers) == run


def test_ranking_is_deterministic_and_complete(tiny_session: Session) -> None:
    first = rank(tiny_session, "when does the ferry leave?", PASSAGES)
    assert first == rank(tiny_session, "when does the ferry leave?", PASSAGES)
    assert sorted(index for index, _ in first) == list(range(len(PASSAGES)))
    assert [score for _, score in first] == sorted((score for _, score in first), reverse=True)
    assert rank(tiny_session, "anything", []) == []


def test_what_the_model_may_read_is_bounded_and_the_best_by_words_are_read(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    embed = tiny_session.embed
    monkeypatch.setattr(tiny_session, "embed", lambda texts: (read.extend(texts), embed(texts))[1])
    ranked = rank(tiny_session, "blue whale", PASSAGES, most=2)
    assert len(set(read) & set(PASSAGES)) == 2
    assert PASSAGES[3] in read
    assert ranked[0][0] == 3
    assert len(ranked) == len(PASSAGES)


def test_where_words_say_nothing_the_model_reads_from_all_over(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    embed = tiny_session.embed
    monkeypatch.setattr(tiny_session, "embed", lambda texts: (asked.extend(texts), embed(texts))[1])
    passages = [f"passage {number}" for number in range(100)]
    ranked = rank(tiny_session, "unheard 42", passages, most=4)
    assert len(ranked) == 100
    read = sorted(int(text.split()[1]) for text in asked if text.startswith("passage"))
    assert len(read) == 4
    assert 42 in read
    assert read[0] < 34
    assert read[-1] > 66


def test_words_are_shares_of_what_they_could_score() -> None:
    scores = rank_words("blue whale skeleton", [*PASSAGES, "whale blue skeleton " * 50])
    assert 0 < scores[3] < scores[-1] <= 1
    assert scores[0] == 0
    assert rank_words("???", PASSAGES) == [0.0] * len(PASSAGES)
    assert rank_words("whale", []) == []


scored = st.dictionaries(st.integers(0, 30), st.floats(0, 1, allow_subnormal=False))


@given(scored, scored)
def test_better_in_both_is_better_in_the_sum(by_words: dict[int, float], by_meaning: dict[int, float]) -> None:
    fused = fuse(by_words, by_meaning)
    assert {passage for passage, _ in fused} == by_words.keys() | by_meaning.keys()
    place = {passage: number for number, (passage, _) in enumerate(fused)}
    for one, other in itertools.permutations(place, 2):
        words = by_words.get(one, 0) - by_words.get(other, 0)
        meaning = by_meaning.get(one, 0) - by_meaning.get(other, 0)
        if words > 1e-6 and meaning > 1e-6:
            assert place[one] < place[other]
        if words == meaning == 0:
            assert (place[one] < place[other]) == (one < other)


def test_one_kind_of_evidence_is_enough() -> None:
    assert fuse({1: 0.5}, {}) == [(1, 0.5 * WORDS)]
    assert fuse({}, {2: 0.5}) == [(2, pytest.approx(0.5 * (1 - WORDS)))]


@pytest.mark.parametrize("count", [2, 6, 40])
def test_nearness_takes_out_what_all_have_in_common(count: int) -> None:
    random = numpy.random.default_rng(1)
    own, rest = (random.normal(size=(rows, 64)).astype(numpy.float32) for rows in (count, 8))
    common = 50 * random.normal(size=64).astype(numpy.float32)
    query = own[1] + 0.5 * random.normal(size=64).astype(numpy.float32) + common
    near = cosines(query, own + common, rest + common)
    assert int(numpy.argmax(near)) == 1
    assert near[1] > 0.5
    assert numpy.median([*near[:1], *near[2:]]) < 0.1


@pytest.mark.parametrize("count", [1, 3, 40])
def test_nearness_of_equal_vectors_is_finite(count: int) -> None:
    vectors = numpy.ones((count, 8), numpy.float32)
    assert all(-1.001 <= value <= 1.001 for value in cosines(vectors[0], vectors, numpy.zeros((2, 8), numpy.float32)))
    assert cosines(vectors[0], vectors, vectors) == pytest.approx([0.0] * count, abs=1e-6)


def test_what_passages_are_compared_with_is_short_and_of_both_languages() -> None:
    assert len(others()) == len(set(others())) == 8
    assert all(1 <= length(text) <= 40 for text in others())
    assert [language_of(text) for text in others()] == ["en"] * 4 + ["zh"] * 4


def write(folder: Path) -> list[str]:
    folder.mkdir()
    for number, text in enumerate(PASSAGES):
        (folder / f"{number}.txt").write_text(f"Title\n\n{text}\n", encoding="utf-8")
    return [str(folder)]


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_a_search_by_words_names_file_and_line(tmp_path: Path) -> None:
    with Index(tmp_path / "index.db") as index:
        list(add(index, write(tmp_path / "docs"), read))
        (hit,) = search(index, "借书", count=5)
        assert (hit.path, hit.line, hit.best) == (str(tmp_path / "docs" / "4.txt"), 3, PASSAGES[4])
        assert search(index, "unheard", count=5) == []
        assert len(search(index, "title", count=4)) == 4


def test_a_store_ranks_as_memory_does(tmp_path: Path, tiny_session: Session) -> None:
    query = "the blue ferry"
    with Index(tmp_path / "index.db") as index:
        list(add(index, write(tmp_path / "docs"), read))
        list(embed_missing(index, tiny_session, "tiny"))
        hits = search(index, query, count=10, session=tiny_session, model="tiny")
        ranked = rank(tiny_session, query, [f"Title\n\n{text}\n" for text in PASSAGES])
        expected = {str(tmp_path / "docs" / f"{number}.txt"): score for number, score in ranked}
        assert [hit.path for hit in hits] == [path for path in expected if path in {hit.path for hit in hits}]
        for hit in hits:
            assert hit.score == pytest.approx(expected[hit.path], abs=2e-3)  # the store keeps float16


def test_vectors_of_another_model_are_not_compared(tmp_path: Path, tiny_session: Session) -> None:
    with Index(tmp_path / "index.db") as index:
        list(add(index, write(tmp_path / "docs"), read))
        list(embed_missing(index, tiny_session, "old"))
        assert search(index, "xyz", count=5, session=tiny_session, model="new", words=False) == []
        assert len(search(index, "whale", count=5, session=tiny_session, model="new")) == 1


def test_a_query_is_embedded_once_however_many_passages_it_finds(
    tmp_path: Path, tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    embed = tiny_session.embed

    def noting(texts: Sequence[str]) -> NDArray[numpy.float32]:
        asked.extend(texts)
        return embed(texts)

    with Index(tmp_path / "index.db") as index:
        list(add(index, write(tmp_path / "docs"), read))
        list(embed_missing(index, tiny_session, "tiny"))
        monkeypatch.setattr(tiny_session, "embed", noting)
        query = f"{PASSAGES[0]} {PASSAGES[3]}"
        hits = search(index, query, count=5, session=tiny_session, model="tiny", words=False)
    assert asked.count(query) == 1
    assert asked.count("Title") == len(hits) > 1, "the lines of each are compared with it"


def test_a_search_stays_below_the_paths_that_were_named(tmp_path: Path, tiny_session: Session) -> None:
    with Index(tmp_path / "index.db") as index:
        list(add(index, write(tmp_path / "docs"), read))
        list(embed_missing(index, tiny_session, "tiny"))
        only = [str(tmp_path / "docs" / "3.txt")]
        for words in (True, False):
            hits = search(index, "title", count=9, session=tiny_session, model="tiny", words=words, under=only)
            assert {hit.path for hit in hits} <= set(only)


def test_an_identity_names_the_model_and_changes_with_its_files(tiny_model_home: Path) -> None:
    folder = tiny_model_home / "models" / "tiny"
    name, digest, recipe = identity(folder).split()
    assert name == "tiny"
    assert len(digest) == 64
    assert recipe.isdigit()
    assert identity(folder) == identity(folder)


def test_the_best_line_is_that_with_the_words() -> None:
    text = "\n\nFirst line.\n\nThe whale is here.\nLast line."
    assert best_line("whale", text, 10) == (12, "The whale is here.")
    assert best_line("nothing of it", "Only one.", 4) == (4, "Only one.")


@pytest.mark.parametrize("width", [40, 160])
def test_an_excerpt_shows_the_words_of_the_query(width: int) -> None:
    line = "padding " * 100 + "the blue whale" + " and more" * 100
    shown = excerpt(line, ["whale"], width)
    assert "whale" in shown
    assert len(shown) <= width + 2
    assert excerpt("甲" * 300 + "借书" + "乙" * 300, ["借书"], width).count("借书") == 1
    assert excerpt("short  \t line", ["whale"]) == "short line"


@given(st.text(max_size=80))
def test_a_text_is_no_longer_than_its_characters(text: str) -> None:
    assert (len(text) + 3) // 4 <= length(text) <= len(text)


MEANT = [
    ("At what time does the boat depart?", 0),
    ("Whom do I ask about a bill?", 1),
    ("Will people earn higher salaries soon?", 2),
    ("星期六能进去看书吗？", 4),
    ("工资什么时候会涨？", 2),
    ("那艘船几点出发？", 0),
]


@pytest.mark.weights
def test_a_paraphrase_finds_its_passage_in_both_languages_and_across_them(default_model: Path) -> None:
    """Hardly a word of these questions is in the passage that answers them."""
    session = Session.open(default_model, device="cpu")
    try:
        assert [rank(session, question, PASSAGES)[0][0] for question, _ in MEANT] == [right for _, right in MEANT]
    finally:
        session.close()


@pytest.mark.weights
def test_in_a_handful_of_passages_a_query_finds_what_it_means_and_nothing_else(
    tmp_path: Path, default_model: Path
) -> None:
    session = Session.open(default_model, device="cpu")
    try:
        with Index(tmp_path / "index.db") as index:
            list(add(index, write(tmp_path / "docs"), read))
            list(embed_missing(index, session, "default"))

            def found(query: str) -> list[str]:
                hits = search(index, query, count=9, session=session, model="default", words=False)
                return [hit.path[-5:] for hit in hits]

            assert found("baking") == ["5.txt"]
            assert found("工资什么时候会涨？") == ["2.txt"]
            assert found("Who won the election?") == found("量子力学是什么？") == []
    finally:
        session.close()


def test_a_share_of_the_full_score_is_whole_only_for_a_text_of_the_query_s_words_alone() -> None:
    texts = ["apple pear " * 2_000, "apple pear and much else beside", "apple", *["something else"] * 9]
    scores = rank_words("apple pear", texts)
    assert 0.97 < scores[0] <= 1
    assert scores[0] > scores[1] > scores[2] > 0
    assert scores[3:] == [0.0] * 9
