"""Metrics against figures worked out by hand, and what must hold for any input."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.answers import chinese_f1, common_run, english_f1, normalized, score_answer
from engine.evaluation.interval import Estimate, estimates, mean, percentile
from engine.evaluation.labels import accuracy, macro_f1
from engine.evaluation.likelihood import (
    Likelihood,
    bits_per_byte,
    likeliest,
    likeliest_by_length,
    perplexity_by_byte,
    perplexity_by_token,
)
from engine.evaluation.ranking import recall_at, reciprocal_rank
from engine.evaluation.refusal import is_refusal
from engine.evaluation.rouge import common_subsequence, rouge_l, rouge_n
from engine.evaluation.sample import spread
from engine.evaluation.translation import corpus_score, counts, signature
from engine.evaluation.units import units
from engine.evaluation.windows import windows

texts = st.text(alphabet="ab 的了，. 。1", max_size=12)
pairs = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), min_size=1, max_size=12)
short = st.lists(st.integers(0, 2), max_size=7)


def test_accuracy_and_macro_f1_of_a_small_table() -> None:
    rows = [("spam", "spam"), ("spam", "ham"), ("ham", "ham"), ("ham", "ham"), ("ham", "spam")]
    assert accuracy(rows) == pytest.approx(3 / 5)
    # spam: precision 1/2, recall 1/2; ham: precision 2/3, recall 2/3.
    assert macro_f1(rows) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_label_that_is_never_predicted_or_never_true_counts_as_zero() -> None:
    assert macro_f1([("a", "a"), ("b", "a")]) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1([("a", "a"), ("a", "c")]) == pytest.approx((2 / 3 + 0) / 2)


@given(pairs)
def test_label_figures_lie_in_their_range_and_ignore_names_and_order(rows: list[tuple[str, str]]) -> None:
    renamed = [(f"label {a}", f"label {b}") for a, b in rows]
    for figure in (accuracy, macro_f1):
        assert 0 <= figure(rows) <= 1
        assert figure(rows) == pytest.approx(figure(renamed))
        assert figure(rows) == pytest.approx(figure(rows[::-1]))
        assert figure([(a, a) for a, _ in rows]) == 1


def test_no_rows_define_no_figure() -> None:
    for value in (accuracy([]), macro_f1([]), mean([]), corpus_score("bleu", [], "en"), perplexity_by_token([])):
        assert math.isnan(value)


def test_english_answers_are_compared_without_case_marks_and_articles() -> None:
    assert normalized("The  Cat's, a dog!") == "cats dog"
    scores = score_answer("The Eiffel Tower.", ["Notre Dame", "eiffel tower"], "en")
    assert (scores.exact, scores.f1, scores.found) == (1, 1, 1)


def test_english_f1_counts_words_in_any_order_as_often_as_both_have_them() -> None:
    # 2 of 4 words are common with 3: precision 2/4, recall 2/3.
    assert english_f1("in Paris in France", "Paris, in Texas") == pytest.approx(2 * 2 / (4 + 3))
    assert english_f1("no no", "no") == pytest.approx(2 * 1 / 3)


def test_a_sentence_around_the_answer_is_found_but_not_exact() -> None:
    scores = score_answer("It was built in 1889.", ["1889"], "en")
    assert (scores.exact, scores.found) == (0, 1)
    assert scores.f1 == pytest.approx(2 * 1 / (5 + 1))
    assert score_answer("It was built in 18890.", ["1889"], "en").found == 0


def test_chinese_f1_is_of_the_longest_common_run_of_characters() -> None:
    # The run is 北京大学 (4); the answer has 6 units without its full stop, the reference 5.
    assert chinese_f1("位于北京大学。", "北京大学里") == pytest.approx(2 * 4 / (6 + 5))
    # The same characters in another order share runs of one only.
    assert chinese_f1("学大", "大学") == pytest.approx(2 * 1 / 4)


def test_latin_words_in_chinese_answers_count_as_one() -> None:
    assert chinese_f1("使用Python语言", "python") == pytest.approx(2 * 1 / (5 + 1))
    assert score_answer("《红楼梦》", ["红楼梦"], "zh").exact == 1
    assert score_answer("1.5米", ["15米"], "zh").exact == 0


@pytest.mark.parametrize(
    ("language", "answer"), [("en", "The text does not say."), ("zh", "文中没有提到。"), ("en", "")]
)
def test_what_can_not_be_answered_is_answered_by_a_refusal_alone(language: str, answer: str) -> None:
    right = score_answer(answer, [], language)  # type: ignore[arg-type]
    assert (right.exact, right.f1, right.refused, right.answerable) == (1, 1, True, False)
    wrong = score_answer("42 texts", [], language)  # type: ignore[arg-type]
    assert (wrong.exact, wrong.f1, wrong.refused) == (0, 0, False)


def test_refusing_what_can_be_answered_is_wrong_whatever_words_it_shares() -> None:
    scores = score_answer("The text does not say.", ["the text"], "en")
    assert (scores.exact, scores.f1, scores.found, scores.answerable) == (0, 0, 0, True)


REFUSALS = [
    "The text does not say.",
    "the text doesn't mention the year",
    "It is not specified in the passage.",
    "There is no information about that.",
    "The answer cannot be determined from the text.",
    "I don't know.",
    "Unknown.",
    "The passage does not explicitly state who did it. Perhaps Caesar.",
    "文中没有提到。",
    "文章未提及他的年龄",
    "根据上文无法确定。",
    "没有答案",
    "不知道",
    "  \n",
]
ANSWERS = [
    "1889",
    "Because it does not rain there.",
    "It does not contain water.",
    "He could not find his brother.",
    "He was known as the Unknown Soldier.",
    "No, it was a king.",
    "没有人住在那里",
    "他不能走路",
    "北京",
    "The sword was never given back.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_recognized(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


@given(texts, st.lists(texts, min_size=1, max_size=3), st.sampled_from(["en", "zh"]))
def test_answer_scores_lie_in_their_range_and_more_references_never_hurt(
    answer: str, references: list[str], language: str
) -> None:
    scores = score_answer(answer, references, language)  # type: ignore[arg-type]
    fewer = score_answer(answer, references[:1], language)  # type: ignore[arg-type]
    for name in ("exact", "f1", "found"):
        assert 0 <= getattr(fewer, name) <= getattr(scores, name) <= 1
    if scores.exact:
        assert scores.f1 == 1


@given(texts, texts)
def test_f1_does_not_depend_on_the_side(first: str, second: str) -> None:
    assert english_f1(first, second) == english_f1(second, first)
    assert chinese_f1(first, second) == chinese_f1(second, first)


def _runs(items: list[int]) -> set[tuple[int, ...]]:
    return {tuple(items[i:j]) for i, j in itertools.combinations(range(len(items) + 1), 2)}


def _subsequences(items: list[int]) -> set[tuple[int, ...]]:
    return {chosen for n in range(len(items) + 1) for chosen in itertools.combinations(items, n)}


@given(short, short)
def test_common_runs_and_subsequences_are_those_that_trying_all_finds(first: list[int], second: list[int]) -> None:
    one, two = [str(i) for i in first], [str(i) for i in second]
    assert common_run(one, two) == max(map(len, _runs(first) & _runs(second)), default=0)
    assert common_subsequence(one, two) == max(map(len, _subsequences(first) & _subsequences(second)))


def test_units_are_words_and_single_characters() -> None:
    assert units("GPT-4 在2023年 (发布)!") == ["gpt", "4", "在", "2023", "年", "发", "布"]
    assert units("snake_case naïve") == ["snake", "case", "naïve"]
    assert units("。，!?") == []


def test_rouge_of_a_small_example() -> None:
    summary, reference = "police killed the gunman", "the gunman killed police officers"
    assert rouge_n(summary, [reference], 1) == pytest.approx(2 * 4 / (4 + 5))
    assert rouge_n(summary, [reference], 2) == pytest.approx(2 * 1 / (3 + 4))
    assert rouge_l(summary, [reference]) == pytest.approx(2 * 2 / (4 + 5))


def test_rouge_of_chinese_counts_characters() -> None:
    assert rouge_n("北京天气", ["北京的天气"], 1) == pytest.approx(2 * 4 / 9)
    assert rouge_n("北京天气", ["北京的天气"], 2) == pytest.approx(2 * 2 / (3 + 4))
    assert rouge_l("北京天气", ["北京的天气"]) == pytest.approx(2 * 4 / 9)


def test_the_best_reference_counts() -> None:
    assert rouge_n("a b", ["c d", "a b"], 1) == rouge_l("a b", ["c d", "a b"]) == 1
    assert rouge_n("a b", [], 1) == rouge_l("", ["a"]) == rouge_n("a", ["a"], 2) == 0


@given(texts, texts)
def test_rouge_lies_in_its_range_and_of_itself_is_one(first: str, second: str) -> None:
    for value in (rouge_n(first, [second], 1), rouge_n(first, [second], 2), rouge_l(first, [second])):
        assert 0 <= value <= 1
    assert rouge_l(first, [second]) <= rouge_n(first, [second], 1) + 1e-12
    if units(first):
        assert rouge_n(first, [first], 1) == rouge_l(first, [first]) == 1


def test_bleu_of_a_small_corpus() -> None:
    translation, reference = "the cat sat on the mat today", "the cat sat on the mat now"
    rows = [counts("bleu", translation, reference, "en")]
    # 1- to 4-grams: 6/7, 5/6, 4/5, 3/4; as long as the reference.
    assert corpus_score("bleu", rows, "en") == pytest.approx(100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25)
    twice = [*rows, counts("bleu", reference, reference, "en")]
    assert corpus_score("bleu", twice, "en") == pytest.approx(100 * (13 / 14 * 11 / 12 * 9 / 10 * 7 / 8) ** 0.25)


def test_short_translations_are_penalized_over_the_corpus() -> None:
    rows = [counts("bleu", "one two three four", "one two three four five six", "en")]
    assert corpus_score("bleu", rows, "en") == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_chinese_bleu_counts_characters() -> None:
    rows = [counts("bleu", "我们今天去北京。", "我们明天去北京。", "zh")]
    # 8 characters: 7/8, 5/7, 3/6, and of the 4-grams 天去北京 and 去北京。.
    assert corpus_score("bleu", rows, "zh") == pytest.approx(100 * (7 / 8 * 5 / 7 * 3 / 6 * 2 / 5) ** 0.25)
    assert "tok:zh" in signature("bleu", "zh")
    assert "tok:13a" in signature("bleu", "en")


def test_chrf_of_one_order_by_hand() -> None:
    rows = [counts("chrf", "ab", "ac", "en")]
    # 1-grams: 1 of 2 both ways; 2-grams: none; longer ones don't exist. Mean precision and recall 1/4 each.
    assert corpus_score("chrf", rows, "en") == pytest.approx(25)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_figures_of_added_counts_are_those_that_sacrebleu_gives_the_corpus(rows: list[tuple[str, str]]) -> None:
    ours, theirs = [first for first, _ in rows], [[second for _, second in rows]]
    for language, tokenizer in (("zh", "zh"), ("en", "13a")):
        found = [counts("bleu", *row, language) for row in rows]  # type: ignore[arg-type]
        expected = sacrebleu.corpus_bleu(ours, theirs, tokenize=tokenizer).score
        assert corpus_score("bleu", found, language) == pytest.approx(expected)  # type: ignore[arg-type]
    found = [counts("chrf", *row, "zh") for row in rows]
    assert corpus_score("chrf", found, "zh") == pytest.approx(sacrebleu.corpus_chrf(ours, theirs).score)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_translation_figures_lie_in_their_range_and_ignore_order(rows: list[tuple[str, str]]) -> None:
    for name in ("bleu", "chrf"):
        found = [counts(name, ours, theirs, "zh") for ours, theirs in rows]  # type: ignore[arg-type]
        value = corpus_score(name, found, "zh")  # type: ignore[arg-type]
        assert 0 <= value <= 100 + 1e-9
        assert value == corpus_score(name, found[::-1], "zh")  # type: ignore[arg-type]


def test_recall_and_reciprocal_rank() -> None:
    hits = ["a", "b", "c", "d"]
    assert [recall_at(hits, ["b", "d"], k) for k in (1, 2, 4, 9)] == [0, 0.5, 1, 1]
    assert [reciprocal_rank(hits, wanted) for wanted in (["a"], ["c", "d"], ["z"])] == [1, 1 / 3, 0]
    assert recall_at([], ["a"], 5) == recall_at(["a"], [], 5) == 0


@given(st.lists(st.sampled_from("abcde"), unique=True), st.sets(st.sampled_from("abcde"), min_size=1))
def test_recall_grows_with_k_and_a_first_hit_is_rank_one(hits: list[str], relevant: set[str]) -> None:
    grown = [recall_at(hits, relevant, k) for k in range(1, 6)]
    assert grown == sorted(grown)
    assert all(0 <= value <= 1 for value in grown)
    assert (reciprocal_rank(hits, relevant) == 1) == (grown[0] > 0)
    assert (reciprocal_rank(hits, relevant) == 0) == (grown[-1] == 0)


def test_perplexity_of_a_uniform_model_is_what_it_chooses_from() -> None:
    parts = [Likelihood(math.log(1 / 8) * 3, 3, 6), Likelihood(math.log(1 / 8), 1, 2)]
    assert perplexity_by_token(parts) == pytest.approx(8)
    assert perplexity_by_byte(parts) == pytest.approx(math.sqrt(8))
    assert bits_per_byte(parts) == pytest.approx(1.5)
    assert perplexity_by_token([Likelihood(-1e6, 1, 1)]) == math.inf


def test_endings_are_chosen_by_sum_or_by_length() -> None:
    logprobs, endings = [-6.0, -8.0], ["no", "certainly"]
    assert likeliest(logprobs) == 0
    assert likeliest_by_length(logprobs, endings) == 1
    assert likeliest([-1.0, -1.0]) == 0
    # The same six bytes: three letters a byte each do not beat a character of three bytes by being more.
    assert likeliest_by_length([-6.0, -6.1], ["abcdef", "好好"]) == 0


def test_the_interval_holds_the_figure_and_shrinks_with_rows() -> None:
    draw = random.Random(7)
    rows = [float(draw.random() < 0.8) for _ in range(400)]
    wide, narrow = (estimates(part, {"mean": mean})["mean"] for part in (rows[:40], rows))
    assert wide.low < wide.value < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2
    # Of a mean of 400 yes-or-no rows: about 1.96 standard errors on each side.
    expected = 2 * 1.96 * math.sqrt(narrow.value * (1 - narrow.value) / 400)
    assert narrow.high - narrow.low == pytest.approx(expected, rel=0.15)


def test_the_same_seed_gives_the_same_interval_and_others_give_others() -> None:
    rows = [float(i) for i in range(30)]
    first, again, other = (estimates(rows, {"mean": mean}, seed=seed)["mean"] for seed in (1, 1, 2))
    assert first == again != other
    assert first.value == other.value


def test_what_is_undefined_is_left_out_of_the_estimates() -> None:
    found = estimates([1.0, 3.0], {"mean": mean, "nothing": lambda rows: math.nan})
    assert list(found) == ["mean"]
    assert estimates([], {"mean": mean}) == {}
    # Defined in the rows, but not in every resample: one with no 3 in it.
    rare = estimates([1.0, 3.0], {"rare": lambda rows: math.nan if 3.0 not in rows else 1.0})
    assert rare == {"rare": Estimate(1, 1, 1)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0, 1))
def test_percentiles_stay_within_the_values_and_end_at_them(values: list[float], share: float) -> None:
    assert percentile(values, 0) == min(values)
    assert percentile(values, 1) == max(values)
    assert min(values) <= percentile(values, share) <= max(values)


def test_percentiles_lie_between_neighbours() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([0, 10], 0.25) == 2.5


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_a_sample_is_spread_over_the_whole_file(count: int, limit: int, seed: int) -> None:
    chosen = spread(count, limit, seed)
    assert len(chosen) == min(count, limit)
    assert chosen == sorted(set(chosen)) == spread(count, limit, seed)
    for i, index in enumerate(chosen):
        assert i * count // len(chosen) <= index < (i + 1) * count // len(chosen)


def test_another_seed_draws_another_sample() -> None:
    assert spread(1000, 20, 0) != spread(1000, 20, 1)
    assert spread(3, None) == [0, 1, 2]


@given(st.lists(st.sampled_from([b"a", b"\n", "好".encode(), b"bc\n"]), max_size=40), st.integers(2, 9))
def test_windows_score_every_token_but_the_first_once_with_half_a_window_before_it(
    data: list[bytes], length: int
) -> None:
    pieces = list(enumerate(data))
    found = windows(pieces, length)
    assert [id_ for window in found for id_ in window.scored] == list(range(1, len(data)))
    assert sum(window.size for window in found) == sum(map(len, data[1:]))
    for window in found:
        first = window.scored[0]
        assert window.context == tuple(range(first - len(window.context), first))
        assert len(window.context) + len(window.scored) <= length
        assert len(window.context) >= min(first, length // 2)
        assert window.line == 1 + b"".join(data[:first]).count(b"\n")


def test_two_answers_without_a_word_agree_and_one_does_not() -> None:
    assert english_f1("The.", "a") == chinese_f1("。", "，") == 1
    assert english_f1("the", "a cat") == chinese_f1("。", "猫") == english_f1("cat", "") == 0


def test_an_answer_that_is_none_of_the_references_is_wrong_and_no_refusal() -> None:
    scores = score_answer("a dog", ["cats"], "en")
    assert (scores.exact, scores.f1, scores.found, scores.refused, scores.answerable) == (0, 0, 0, False, True)
