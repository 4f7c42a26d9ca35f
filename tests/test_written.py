"""Reviews that a larger model writes to order, and the rounds that they and people's judgements are in."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from recipe_data import write as write_data

from engine.errors import InputError
from engine.language import language_of
from recipes import mixture, seeds, third, written
from recipes.sources import plain

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def test_orders_are_the_same_by_seed_in_both_languages_and_show_reviews_of_their_mood(data: Path) -> None:
    orders = list(written.ask(data, 8, 3))
    assert orders == list(written.ask(data, 8, 3)) != list(written.ask(data, 8, 4))
    assert [one["language"] for one in orders] == ["en", "zh"] * 4
    for one in orders:
        known = [*seeds.judged(one["language"], name="plain"), *seeds.judged(one["language"])]
        judged = dict(known) | {
            f"The soup at table {n} was {word}, and so was the tea.": label
            for n in range(40)
            for word, label in (("wonderful", "positive"), ("awful", "negative"))
        }
        shown = [line[2:] for line in one["prompt"].split("\n") if line.startswith("- ")]
        assert len(shown) == written.SHOWN
        assert {judged[text] for text in shown} == {one["ordered"]}


def answered(answer: str, language: str = "en") -> dict[str, str]:
    return {"language": language, "ordered": "positive", "prompt": "Like:\n- It was a joy to use.", "answer": answer}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("1. A joy from start to end.\n2) The lamp is bright and cheap.", 2),
        ("Sure, here are eight lines:\n\n- “A joy from start to end.”\n- The lamp is bright and cheap.", 2),
        ("A joy from start to end.\nA joy, from start to end!\nThe lamp is bright and cheap.", 2),
        ("- It was a joy to use.\n- The lamp is bright and cheap.", 1),
        ("- Nice.\n- 这盏灯又亮又便宜，用了一个月都很好。", 0),
        ("", 0),
    ],
)
def test_reviews_are_taken_out_of_an_answer_each_once(answer: str, found: int) -> None:
    lines = list(written.lines([answered(answer)]))
    assert len(lines) == found
    assert {one["text"] for one in lines} <= {"A joy from start to end.", "The lamp is bright and cheap."}


def said(text: str, positive: float, ordered: str = "positive") -> dict[str, Any]:
    scores = {"positive": positive, "negative": 1 - positive}
    return {"language": "en", "ordered": ordered, "text": text, "scores": scores}


def test_a_review_is_kept_where_all_who_judge_agree_and_surer_where_they_gainsay_the_order() -> None:
    first = [said("a", 0.9), said("b", 0.9), said("c", 0.9, "negative"), said("d", 0.99, "negative"), said("e", 0.1)]
    second = [said("a", 0.7), said("b", 0.4), said("c", 0.9, "negative"), said("d", 0.99, "negative"), said("e", 0.3)]
    kept = written.keep([first, second])
    assert kept == {"en": [("a", "positive"), ("d", "positive")], "zh": []}
    with pytest.raises(InputError, match="other texts"):
        written.keep([first, second[::-1]])


def test_the_steps_go_through_files(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written.main(["ask", str(data), "2"])
    orders = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    path = tmp_path / "answered.jsonl"
    path.write_text(
        "".join(json.dumps({**one, "answer": "A joy from start to end."}) + "\n" for one in orders), encoding="utf-8"
    )
    written.main(["lines", str(path)])
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    judged = tmp_path / "judged.jsonl"
    judged.write_text(json.dumps(line | {"scores": {"positive": 0.99, "negative": 0.01}}) + "\n", encoding="utf-8")
    written.main(["keep", str(tmp_path), str(judged)])
    assert (tmp_path / "written.en.txt").read_text(encoding="utf-8") == "+ A joy from start to end.\n"
    assert (tmp_path / "written.zh.txt").read_text(encoding="utf-8") == ""
    with pytest.raises(SystemExit, match=r"missing\.jsonl"):
        written.main(["lines", str(tmp_path / "missing.jsonl")])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_was_written_stands_once_in_its_language(language: str) -> None:
    rows = seeds.judged(language, name="written")  # type: ignore[arg-type]
    assert len({plain(text) for text, _ in rows}) == len(rows) > 10_000
    assert all(language_of(text) == language for text, _ in rows)


def test_the_third_round_has_what_people_judged_and_what_was_written(data: Path) -> None:
    mixed = third.build(data, 3).train
    assert mixture.encoded(mixed) == mixture.encoded(third.build(data, 3).train)
    sources = {(one.kind, one.source) for one in mixed}
    assert {("sentiment.en", "uci"), ("classify.en", "sms"), ("sentiment.zh", "written"), ("chat.zh", "own")} <= sources
    spam = [one for one in mixed if one.source == "sms"]
    for one in spam:
        for message in one.messages[1:]:
            if message.role == "assistant":
                assert message.content in one.messages[0].content
    teaching = third.judge(data, 3).train
    assert {one.kind for one in teaching} == {"sentiment.en", "sentiment.zh"}
    assert "written" not in {one.source for one in teaching}


def test_worn_text_keeps_its_words() -> None:
    texts = {third.worn("It's GOOD, isn't it? Yes.", Random(n)) for n in range(20)}
    assert texts == {"it's good, isn't it? yes.", "it 's good , is n't it ? yes ."}
