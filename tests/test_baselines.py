"""The baselines compute what their papers say, and the script runs all of them on whatever files a folder holds."""

from __future__ import annotations

import gzip
import json
import math
import random
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.baselines import __main__ as script
from benchmarks.baselines import lexrank, lstm, overlap, sentences, tfidf
from benchmarks.baselines.bm25 import BM25, K1, B, terms
from benchmarks.baselines.data import EvalFile, LeftOut, Training, eval_files
from benchmarks.baselines.ngram import NGramModel
from benchmarks.baselines.pieces import TextModel
from engine.errors import InputError
from engine.evaluation.likelihood import perplexity_by_byte

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def text_of(length: int, vocabulary: int, seed: int = 0) -> list[int]:
    """Ids with habits: each follows from the one before it more often than not."""
    draw = random.Random(seed)
    ids = [0]
    for _ in range(length):
        ids.append((ids[-1] * 3 + 1) % vocabulary if draw.random() < 0.6 else int(draw.paretovariate(0.8)) % vocabulary)
    return ids


def kneser_ney(ids: Sequence[int], history: tuple[int, ...], word: int, vocabulary: int, order: int) -> float:
    """The definition, from counts in dictionaries: slow, and nothing shared with the model."""
    counts = Counter(tuple(ids[i : i + order]) for i in range(len(ids) - order + 1))
    found = 1 / vocabulary
    tables = [counts]
    for _ in range(order - 1):
        shorter: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        for gram in tables[-1]:
            shorter[gram[1:]].add(gram[0])
        tables.append(Counter({gram: len(before) for gram, before in shorter.items()}))
    for length, table in enumerate(reversed(tables), 1):
        n1, n2, n3, n4 = (max(1, sum(count == times for count in table.values())) for times in range(1, 5))
        share = n1 / (n1 + 2 * n2)
        wanted = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
        discount = [min(max(value, 0.1), times - 0.1) for times, value in enumerate(wanted, 1)]
        context = history[len(history) - length + 1 :]
        after = {gram[-1]: count for gram, count in table.items() if gram[:-1] == context}
        if after:
            left = sum(discount[min(count, 3) - 1] for count in after.values())
            own = after[word] - discount[min(after[word], 3) - 1] if word in after else 0.0
            found = (own + left * found) / sum(after.values())
    return found


def test_n_gram_probabilities_are_those_of_the_definition() -> None:
    vocabulary, order = 11, 3
    ids = text_of(400, vocabulary)
    model = NGramModel.train(ids, vocabulary, order)
    asked = [0, 10, 4, 2, 7, 9, *ids[:30]]
    logprobs = model.logprobs(asked)
    for place in range(order - 1, len(asked)):
        wanted = kneser_ney(ids, tuple(asked[place - 2 : place]), asked[place], vocabulary, order)
        assert math.exp(logprobs[place]) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_n_gram_probabilities_of_all_that_may_follow_sum_to_one(order: int) -> None:
    vocabulary = 50  # some ids never occur
    model = NGramModel.train(text_of(2000, 37), vocabulary, order)
    for history in ([1, 4, 13], [48, 49, 48], [0, 49, 1]):
        following = [math.exp(model.logprobs([*history, id_])[-1]) for id_ in range(vocabulary)]
        assert sum(following) == pytest.approx(1, abs=1e-9)
        assert min(following) > 0


def test_a_context_makes_an_n_gram_model_surer_of_what_it_was_trained_on() -> None:
    ids = text_of(3000, 60)
    losses = [-NGramModel.train(ids, 60, order).logprobs(text_of(500, 60, seed=1)).mean() for order in (1, 2)]
    assert losses[1] < losses[0] - 0.5


def test_n_grams_that_do_not_fit_an_integer_are_refused() -> None:
    with pytest.raises(ValueError, match="63 bits"):
        NGramModel.train([1, 2, 3, 4, 5, 6], 16_000, 5)
    with pytest.raises(ValueError, match="too few"):
        NGramModel.train([1, 2], 10, 3)


def test_a_text_model_counts_every_byte_once_and_prefers_its_own_language() -> None:
    english = ["The ferry leaves the harbour at nine in the morning."] * 3 + ["The harbour lies in the north."]
    chinese = ["渡轮早上九点离开港口。"] * 3 + ["港口在北边。"]
    models = {"en": TextModel.train(english), "zh": TextModel.train(chinese)}
    for text, own, other in (("The harbour at nine.\n", "en", "zh"), ("港口在早上九点。😀", "zh", "en")):
        found = models[own].likelihoods(text)
        assert sum(part.size for part in found) == len(text.encode())
        assert perplexity_by_byte(found) < perplexity_by_byte(models[other].likelihoods(text))
    ending = models["en"].ending("The ferry leaves", " the harbour")
    assert 0 > ending > models["en"].ending("The ferry leaves", " harbour the")


def test_stretches_of_a_long_text_follow_each_other() -> None:
    model = TextModel.train(["one two three four five six seven eight nine ten"] * 4)
    text = "one two three four five six seven eight nine ten " * 300
    found = model.likelihoods(text)
    assert len(found) > 1
    assert sum(part.size for part in found) == len(text)
    assert found[-1].logprob / found[-1].size == pytest.approx(found[0].logprob / found[0].size, rel=0.1)


def test_lexrank_finds_the_walk_that_stays_as_it_is() -> None:
    draw = np.random.default_rng(0)
    likeness = draw.random((7, 7))
    likeness = likeness + likeness.T
    share = lexrank.centrality(likeness)
    walk = lexrank.DAMPING / 7 + (1 - lexrank.DAMPING) * likeness / likeness.sum(1, keepdims=True)
    values, vectors = np.linalg.eig(walk.T)
    wanted = np.real(vectors[:, np.argmax(values.real)])
    assert share == pytest.approx(wanted / wanted.sum(), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "Rain fell. The ferry to the island was late. The late ferry left the island at noon. Gulls ate bread at noon.",
        "下雨了。去小岛的渡轮晚点了。晚点的渡轮中午离开小岛。海鸥中午吃面包。",
    ],
)
def test_lexrank_puts_the_sentence_first_that_shares_most_with_the_others(text: str) -> None:
    found = sentences.split(text)
    assert len(found) == 4
    order = lexrank.ranked(found)
    assert order[0] == 2
    assert sorted(order) == [0, 1, 2, 3]


def test_lexrank_takes_few_and_empty_texts() -> None:
    assert lexrank.ranked([]) == []
    assert lexrank.ranked(["…"]) == [0]
    assert lexrank.ranked(["same words", "same words"]) == [0, 1]


def test_sentences_end_at_ascii_stops_in_chinese_and_at_line_breaks() -> None:
    text = "目的:了解情况.方法:占88.46%.DDDs排序变化不大.结论\nA line. Another, 3.5 long"
    assert sentences.split(text) == [
        "目的:了解情况.", "方法:占88.46%.", "DDDs排序变化不大.", "结论", "A line.", "Another, 3.5 long",
    ]  # fmt: skip


def test_what_fits_a_length_is_taken_in_order_of_rank_and_given_in_order_of_text() -> None:
    parts = ["one two three", "one", "one two", "one two three four"]
    assert sentences.fitting([2, 0, 1, 3], parts, 6) == [0, 1, 2]
    assert sentences.fitting([3, 1], parts, 2) == [3]
    assert sentences.fitting([], parts, 9) == []
    assert sentences.joined([2, 0], parts) == "one two three one two"


def test_bm25_scores_by_the_formula() -> None:
    passages = ["the red fox", "the dog and the fox and the fox", "the cat"]
    index = BM25(passages)
    lengths = [len(terms(passage)) for passage in passages]

    def score(term: str, number: int) -> float:
        holders = sum(term in terms(passage) for passage in passages)
        count = terms(passages[number]).count(term)
        norm = 1 - B + B * lengths[number] / (sum(lengths) / 3)
        return math.log(1 + (3 - holders + 0.5) / (holders + 0.5)) * count * (K1 + 1) / (count + K1 * norm)

    assert index.ranked("fox") == sorted([0, 1], key=lambda number: -score("fox", number))
    assert index.ranked("Red dog") == sorted([0, 1], key=lambda n: -score("red", n) - score("dog", n))
    assert index.ranked("horse") == []


def test_chinese_is_searched_by_pairs_of_characters() -> None:
    assert terms("在港口, the Harbour 9点") == ["在港", "港口", "the", "harbour", "9", "点"]
    assert BM25(["口港很大", "港口很大", "船"]).ranked("港口在哪？") == [1]


def test_the_sentence_that_shares_most_with_the_question_answers_it() -> None:
    english = "Ann was born in Bath. She moved to York in 1990. The move to York was hard."
    assert overlap.answer("When did she move to York?", english) == "She moved to York in 1990."
    chinese = "安娜生于广州。她一九九零年搬到北京。北京很大。"
    assert overlap.answer("她哪年搬到北京？", chinese) == "她一九九零年搬到北京。"
    assert overlap.answer("Who?", "No word in common. None.") == "No word in common."
    assert overlap.answer("Who?", "") == ""


def labelled(count: int, seed: int) -> list[tuple[list[int], int]]:
    """Texts of other tokens; those with the 7 before the 8 are of label 1."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        ids = [draw.randrange(10, 30) for _ in range(draw.randrange(3, 12))]
        first, second = sorted(draw.sample(range(len(ids) + 1), 2))
        ids.insert(second, 8 if number % 2 else 7)
        ids.insert(first, 7 if number % 2 else 8)
        rows.append((ids, number % 2))
    return rows


SMALL = lstm.Recipe(embedding=16, hidden=16, dropout=0.1, rate=2e-2, batch=16, epochs=6, patience=6)


def test_an_lstm_learns_what_order_says_and_the_same_from_the_same_seed() -> None:
    rows, fresh = labelled(300, 0), labelled(100, 1)
    accuracies: list[float] = []
    trained = lstm.train(rows, 30, SMALL, seed=3, report=lambda _, accuracy: accuracies.append(accuracy))
    found = trained.predict([ids for ids, _ in fresh])
    assert sum(label == true for label, (_, true) in zip(found, fresh, strict=True)) > 90
    assert trained.held_out == max(accuracies)
    again = lstm.train(rows, 30, SMALL, seed=3)
    assert all(bool((a == b).all()) for a, b in zip(trained.model.parameters(), again.model.parameters(), strict=True))


def test_an_lstm_stops_when_held_out_rows_gain_nothing_and_judges_each_text_alone() -> None:
    draw = random.Random(0)
    noise = [([draw.randrange(30) for _ in range(draw.randrange(1, 9))], draw.randrange(2)) for _ in range(60)]
    epochs: list[int] = []
    recipe = lstm.Recipe(embedding=8, hidden=8, epochs=50, patience=2, longest=5)
    trained = lstm.train(noise, 30, recipe, report=lambda epoch, _: epochs.append(epoch))
    assert 2 < len(epochs) < 50
    epochs.clear()
    lstm.train(
        noise, 30, lstm.Recipe(embedding=8, hidden=8, reads=54 * 2), report=lambda epoch, _: epochs.append(epoch)
    )
    assert epochs == [0, 1]
    texts = [ids for ids, _ in noise]
    assert trained.predict(texts) == [trained.predict([ids])[0] for ids in texts]
    assert trained.predict([texts[0] * 9]) == trained.predict([(texts[0] * 9)[:5]])


def test_few_examples_are_drawn_of_every_label_alike() -> None:
    rows = [(f"text {number}", "spam" if number % 10 == 0 else "ham") for number in range(100)]
    drawn = tfidf.few(rows, 8, seed=1)
    assert Counter(label for _, label in drawn) == {"ham": 4, "spam": 4}
    assert set(drawn) <= set(rows)
    assert drawn == tfidf.few(rows, 8, seed=1) != tfidf.few(rows, 8, seed=2)


FILES = {
    "sentiment.a.en": [{"text": "good", "label": "positive"}, {"text": "not good", "label": "negative"}] * 2,
    "sentiment.b.zh": [{"text": "很好", "label": "positive"}, {"text": "很差", "label": "negative"}],
    "classify.news.en": [{"text": "goal", "label": "sports"}, {"text": "bank", "label": "money"}],
    "qa.a.en": [
        {"context": "Ann lives in Bath. Bob is 3.", "question": "Where does Ann live?", "answers": ["Bath"]},
        {"context": "Bob is 3.", "question": "Where is Ann?", "answers": []},
    ],
    "search.a_queries.zh": [{"query": "港口在哪里", "relevant": [7]}],
    "search.a_passages.zh": [{"id": 3, "text": "今天下雨"}, {"id": 7, "text": "港口在北边"}],
    "summarize.a.en": [{"text": "Rain fell. The ferry was late.", "summaries": ["Rain made the ferry late."]}],
    "translate.a.en-zh": [{"en": "The harbour.", "zh": "港口。"}],
    "lm.a.en": [{"context": "She sat", "endings": ["down.", "purple harbour down."], "label": 0}],
    "chat.a.en": [{"turns": ["Hello"]}],
}  # fmt: skip
TRAINING = {
    "sst2_train.en": [
        {"text": "good", "label": "positive"}, {"text": "Good!", "label": "positive"},
        {"text": "bad", "label": "negative"}, {"text": "so so", "label": "negative"},
        {"text": "So so.", "label": "positive"},
    ],
    "dolly15k.en": [{"instruction": "Sit down.", "context": "She sat down.", "response": "She sat."}],
    "squad2_train_subset.en": [{"context": "She sat down.", "question": "Did she?", "answers": ["no text to learn"]}],
    "scitldr_train.en": [{"text": "The harbour.", "summaries": ["It is large."]}],
}  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Rows to measure on, and gzipped rows to learn from."""
    data, train = tmp_path / "eval", tmp_path / "train"
    for folder in (data, train):
        folder.mkdir()
    for name, rows in FILES.items():
        (data / f"{name}.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    (data / "perplexity.a.en.txt").write_text("She sat down.\nThe harbour.\n", "utf-8")
    (data / "README.md").write_text("not rows", "utf-8")
    for name, rows in TRAINING.items():
        text = "\n".join(json.dumps(row) for row in rows)
        (train / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return data, train


def run(*words: str | Path) -> list[script.Result]:
    return list(script.results(script.parsed([str(word) for word in words])))


def test_every_file_meets_its_baselines(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("vaderSentiment", "sklearn"):  # as where the group is not installed
        monkeypatch.setitem(sys.modules, package, None)
    data, train = folders
    found = run("--data", data, "--train", train)
    assert {result.file for result in found} == {file.name for file in eval_files(data)}
    assert len({result.file for result in found}) == len(FILES) - 1  # no chat; passages are no file of their own
    ran = {(result.file, result.baseline): result for result in found if not result.left_out}
    assert ran["search.a_queries.zh", "BM25"].metrics["mrr"].value == 1
    assert ran["sentiment.a.en", "LSTM"].rows == 4
    assert ran["lm.a.en", "longest ending"].metrics["acc"].value == 0
    assert ran["lm.a.en", "4-gram model (Kneser-Ney)"].metrics["acc_norm"].value == 1
    assert ran["qa.a.en", "never answers"].metrics["exact_match"].value == 0.5
    assert ran["qa.a.en", "sentence with most words of the question"].metrics["found"].value == 0.5
    assert ran["summarize.a.en", "lead-1"].metrics["length"].value == 2
    assert ran["translate.a.en-zh", "source left as it is, into zh"].metrics["chrf"].value < 50
    assert 1 < ran["perplexity.a.en", "4-gram model (Kneser-Ney)"].metrics["perplexity_by_byte"].value < 256
    left_out = {(result.file, result.baseline): result.left_out for result in found if result.left_out}
    assert "group `baselines`" in left_out["sentiment.a.en", "lexicon (VADER)"]
    assert "online_shopping.zh" in left_out["sentiment.b.zh", "LSTM"]
    assert "these labels" in left_out["classify.news.en", "tf-idf, logistic regression"]


def test_figures_are_printed_as_a_table_and_as_json(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["baselines", "--data", str(folders[0]), "--task", "multiple-choice", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| `lm.a.en` | any ending | acc 0.500 (0.500 to 0.500) | 1 | ")
    assert {line.count("|") for line in lines[:2]} == {heading.count("|")}
    assert lines[-1].startswith("- `lm.a.en`, 4-gram model (Kneser-Ney): no training rows")
    saved = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [row["metrics"].get("acc", {}).get("value") for row in saved] == [0.5, 0.0, None]
    monkeypatch.setattr(sys, "argv", words[:-1])
    script.main()
    printed = json.loads(capsys.readouterr().out)
    assert [row["baseline"] for row in printed] == [row["baseline"] for row in saved]


def test_rows_to_learn_from_are_taken_once_and_not_with_two_labels(folders: tuple[Path, Path]) -> None:
    data, train = folders
    file = EvalFile(data / "sentiment.a.en.jsonl")
    assert Training(train).labelled(file) == [("good", "positive"), ("bad", "negative")]
    with pytest.raises(LeftOut, match="--train"):
        Training(None).labelled(file)
    assert Training(train).texts("en") == [
        "Sit down.", "She sat down.", "She sat.", "Did she?", "The harbour.", "It is large.",
    ]  # fmt: skip


def test_a_folder_without_rows_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no file TASK"):
        run("--data", tmp_path)
    monkeypatch.setattr(sys, "argv", ["baselines", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="no file TASK"):
        script.main()
