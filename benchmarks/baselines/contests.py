"""Which baselines meet on which file: each as a function that answers all rows, judged by what `llm eval` judges by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.evaluation.answers import score_answer
from engine.evaluation.interval import mean
from engine.evaluation.labels import accuracy, macro_f1
from engine.evaluation.likelihood import bits_per_byte, likeliest, likeliest_by_length, perplexity_by_byte
from engine.evaluation.measure import Setup
from engine.evaluation.measures import create
from engine.evaluation.ranking import recall_at, reciprocal_rank
from engine.evaluation.rouge import rouge_l, rouge_n
from engine.evaluation.rows import Endings, LabelledText, Passage, Query, Question, Summarized, Translated
from engine.evaluation.translation import corpus_score, counts
from engine.evaluation.units import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.baselines.data import EvalFile, Training
    from engine.evaluation.interval import Statistic
    from engine.schema import Language

DRAWS = 20
"""Times that eight examples are drawn: with so few, luck decides."""
LABEL_FIGURES = {"accuracy": accuracy, "macro_f1": macro_f1}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A baseline on a file, not yet run."""

    baseline: str
    run: Callable[[], list[Any]]
    """What the figures are computed from, a row each. Raises LeftOut, ImportError."""
    figures: Mapping[str, Statistic[Any]]
    draws: bool = False
    """Each of what `run` gives is a whole attempt on all rows: the interval is over them."""


def attempts(file: EvalFile, training: Training, length: str) -> Iterator[Attempt]:
    """Every baseline for a file. `length` is what summaries are told."""
    if file.task == "summarize":
        yield from _summaries(file, length)
    else:
        yield from CONTESTS[file.task](file, training)


def _majority(file: EvalFile) -> Attempt:
    rows: list[LabelledText] = file.rows(LabelledText)
    most = Counter(row.label for row in rows).most_common(1)[0][0]
    return Attempt(f"always '{most}', the most frequent", lambda: [(row.label, most) for row in rows], LABEL_FIGURES)


def _pairs(file: EvalFile, found: Sequence[str]) -> list[tuple[str, str]]:
    return [(row.label, label) for row, label in zip(file.rows(LabelledText), found, strict=True)]


def _texts(file: EvalFile) -> list[str]:
    return [row.text for row in file.rows(LabelledText)]


def _sentiment(file: EvalFile, training: Training) -> Iterator[Attempt]:
    from benchmarks.baselines import lexicon

    yield _majority(file)
    if file.language == "en":
        yield Attempt("lexicon (VADER)", lambda: _pairs(file, lexicon.judge(_texts(file))), LABEL_FIGURES)
    yield _tfidf(file, training)
    yield Attempt("LSTM", lambda: _pairs(file, _lstm(file, training)), LABEL_FIGURES)


def _lstm(file: EvalFile, training: Training) -> list[str]:
    import sys

    from benchmarks.baselines import lstm
    from benchmarks.baselines.pieces import vocabulary

    tokenizer = vocabulary()
    rows = training.labelled(file)
    labels = sorted({label for _, label in rows})
    encoded = [(tokenizer.encode(f" {text.strip()}"), labels.index(label)) for text, label in rows]
    trained = lstm.train(
        encoded, tokenizer.vocab_size,
        report=lambda epoch, right: print(f"  epoch {epoch + 1}: {right:.3f} of held-out rows", file=sys.stderr),
    )  # fmt: skip
    return [labels[label] for label in trained.predict([tokenizer.encode(f" {text.strip()}") for text in _texts(file)])]


def _classify(file: EvalFile, training: Training) -> Iterator[Attempt]:
    yield _majority(file)
    yield _tfidf(file, training)
    yield Attempt(
        f"tf-idf, logistic regression, 8 examples, mean of {DRAWS} draws",
        lambda: _few(file, training),
        {name: _over_draws(figure) for name, figure in LABEL_FIGURES.items()},
        draws=True,
    )


def _tfidf(file: EvalFile, training: Training) -> Attempt:
    from benchmarks.baselines import tfidf

    return Attempt(
        "tf-idf, logistic regression",
        lambda: _pairs(file, tfidf.predict(training.labelled(file), _texts(file), file.language)),
        LABEL_FIGURES,
    )


def _over_draws(figure: Statistic[Any]) -> Statistic[Any]:
    return lambda draws: mean([figure(pairs) for pairs in draws])


def _few(file: EvalFile, training: Training) -> list[list[tuple[str, str]]]:
    """True and found labels of all rows, for each draw of eight examples."""
    from benchmarks.baselines import tfidf

    rows, texts = training.labelled(file), _texts(file)
    return [_pairs(file, tfidf.predict(tfidf.few(rows, 8, seed), texts, file.language)) for seed in range(DRAWS)]


def _qa(file: EvalFile, training: Training) -> Iterator[Attempt]:
    from benchmarks.baselines import overlap

    rows: list[Question] = file.rows(Question)
    figures = create("qa", Setup()).statistics()

    def answered(answer: Callable[[Question], str]) -> list[Any]:
        return [score_answer(answer(row), row.answers, file.language) for row in rows]

    yield Attempt(
        "sentence with most words of the question",
        lambda: answered(lambda row: overlap.answer(row.question, row.context)),
        figures,
    )
    if not all(row.answers for row in rows):
        yield Attempt("never answers", lambda: answered(lambda _: ""), figures)


def _search(file: EvalFile, training: Training) -> Iterator[Attempt]:
    from benchmarks.baselines.bm25 import BM25

    def run() -> list[tuple[list[str], tuple[str, ...]]]:
        passages: list[Passage] = file.passages.rows(Passage)
        index = BM25([passage.text for passage in passages])
        queries: list[Query] = file.rows(Query)
        return [([passages[i].id for i in index.ranked(row.query)], row.relevant) for row in queries]

    def recall(k: int) -> Statistic[Any]:
        return lambda found: mean([recall_at(hits, relevant, k) for hits, relevant in found])

    figures: dict[str, Statistic[Any]] = {f"recall@{k}": recall(k) for k in (1, 5, 10)}
    figures["mrr"] = lambda found: mean([reciprocal_rank(hits, relevant) for hits, relevant in found])
    yield Attempt("BM25", run, figures)


def _summaries(file: EvalFile, length: str) -> Iterator[Attempt]:
    from benchmarks.baselines.lexrank import ranked
    from benchmarks.baselines.sentences import fitting, joined, split
    from engine.tasks.length import Length

    rows: list[Summarized] = file.rows(Summarized)
    figures = create("summarize", Setup()).statistics()

    def attempt(name: str, choose: Callable[[list[str], str], Sequence[int]]) -> Attempt:
        def summary(text: str) -> str:
            sentences = split(text)
            return joined(choose(sentences, text), sentences)

        return Attempt(name, lambda: [_rouge(summary(row.text), row.summaries) for row in rows], figures)

    def budget(text: str) -> int:
        return Length.parse(length, text).target

    yield attempt("lead-1", lambda sentences, _: range(min(1, len(sentences))))
    yield attempt("lead-3", lambda sentences, _: range(min(3, len(sentences))))
    yield attempt("LexRank, 1 sentence", lambda sentences, _: ranked(sentences)[:1])
    yield attempt("LexRank, 3 sentences", lambda sentences, _: ranked(sentences)[:3])
    yield attempt(f"lead, {length}", lambda found, text: fitting(range(len(found)), found, budget(text)))
    yield attempt(f"LexRank, {length}", lambda found, text: fitting(ranked(found), found, budget(text)))


def _rouge(summary: str, references: Sequence[str]) -> Any:
    from engine.evaluation.measures.summaries import SummaryScores

    return SummaryScores(
        rouge_n(summary, references, 1), rouge_n(summary, references, 2), rouge_l(summary, references),
        len(units(summary)),
    )  # fmt: skip


def _translate(file: EvalFile, training: Training) -> Iterator[Attempt]:
    rows: list[Translated] = file.rows(Translated)
    yield _copied([(row.en, row.zh) for row in rows], "zh")
    yield _copied([(row.zh, row.en) for row in rows], "en")


def _copied(pairs: Sequence[tuple[str, str]], to: Language) -> Attempt:
    """The floor: the source left as it is."""
    return Attempt(
        f"source left as it is, into {to}",
        lambda: [(counts("bleu", *pair, to), counts("chrf", *pair, to)) for pair in pairs],
        {
            "bleu": lambda found: corpus_score("bleu", [bleu for bleu, _ in found], to),
            "chrf": lambda found: corpus_score("chrf", [chrf for _, chrf in found], to),
        },
    )


def _endings(file: EvalFile, training: Training) -> Iterator[Attempt]:
    rows: list[Endings] = file.rows(Endings)
    plain: dict[str, Statistic[Any]] = {"acc": mean}
    both: dict[str, Statistic[Any]] = {
        "acc": lambda found: mean([right for right, _ in found]),
        "acc_norm": lambda found: mean([right for _, right in found]),
    }

    def likely() -> list[tuple[bool, bool]]:
        model = training.language_model(file.language)
        found = []
        for row in rows:
            logprobs = [model.ending(row.context.rstrip(), f" {ending.strip()}") for ending in row.endings]
            best = likeliest(logprobs), likeliest_by_length(logprobs, row.endings)
            found.append((best[0] == row.label, best[1] == row.label))
        return found

    def longest(row: Endings) -> int:
        return max(range(len(row.endings)), key=lambda index: len(row.endings[index]))

    yield Attempt("any ending", lambda: [1 / len(row.endings) for row in rows], plain)
    yield Attempt("longest ending", lambda: [float(longest(row) == row.label) for row in rows], plain)
    yield Attempt("4-gram model (Kneser-Ney)", likely, both)


def _perplexity(file: EvalFile, training: Training) -> Iterator[Attempt]:
    yield Attempt(
        "4-gram model (Kneser-Ney)",
        lambda: training.language_model(file.language).likelihoods(file.document.text),
        {"perplexity_by_byte": perplexity_by_byte, "bits_per_byte": bits_per_byte},
    )


CONTESTS: dict[str, Callable[[EvalFile, Training], Iterator[Attempt]]] = {
    "sentiment": _sentiment,
    "classify": _classify,
    "qa": _qa,
    "search": _search,
    "translate": _translate,
    "multiple-choice": _endings,
    "perplexity": _perplexity,
}
