"""The page of answers that people judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.language import language_of
from recipes import seeds
from recipes.side_by_side import (
    LONGEST,
    REQUESTS,
    Answer,
    answers,
    main,
    page,
    repeats,
    requests,
    same_language,
    sampling,
)
from recipes.sources import plain
from tui.cli.ask import DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path

    from engine.session import Session


def test_forty_requests_half_of_them_chinese_none_of_them_trained_on() -> None:
    asked = requests(REQUESTS)
    assert len(asked) == 40
    assert sum(language_of(request) == "zh" for request in asked) == 20
    trained = {plain(turn.content) for language in ("en", "zh") for one in seeds.dialogues(language) for turn in one}
    assert not {plain(request) for request in asked} & trained
    assert len({plain(request) for request in asked}) == 40


def test_answers_are_drawn_as_llm_ask_draws_them() -> None:
    drawn = sampling()
    assert {name: getattr(drawn, name) for name in DEFAULTS} == DEFAULTS
    assert (drawn.temperature, drawn.max_tokens) == (0, LONGEST)


def test_a_model_answers_every_request(tiny_session: Session) -> None:
    asked = ["Name a colour.", "说一种颜色。"]
    first = answers(tiny_session, asked)
    assert len(first) == 2
    assert answers(tiny_session, asked) == first


def test_the_command_writes_a_column_for_each_model(
    tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))
    asked = tmp_path / "asked.txt"
    asked.write_text("Name a colour.\n\n说一种颜色。\n", encoding="utf-8")
    made = tmp_path / "page.md"
    main([str(made), "--model", "plain=tiny", "--model", "again=tiny", "--requests", str(asked), "--threads", "1"])
    text = made.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## 1. Name a colour.",
        "## 2. 说一种颜色。",
    ]
    assert text.count("**plain**") == text.count("**again**") == 2
    assert list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize("words", [["plain"], ["=tiny"], ["plain=nowhere"]])
def test_a_model_that_is_not_there_or_not_named_is_refused(
    words: list[str], tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "page.md"), "--model", *words])
    assert isinstance(stopped.value.code, str)
    assert not (tmp_path / "page.md").exists()


def test_what_can_be_told_without_judging() -> None:
    assert same_language("你好", "你好！")
    assert not same_language("你好", "Hello there, my friend.")
    assert same_language("写一个函数", "```python\ndef f(): ...\n```")
    assert repeats("It is a nice day to be outside. " * 3)
    assert not repeats("It is a nice day to be outside. The sun is out, and nobody has to work until Monday.")
    assert repeats("今天的天气非常好适合出门散步也适合在公园里看书。" * 3)
    assert not repeats("1. " * 100)


def test_the_page_shows_answers_as_they_are() -> None:
    given = [Answer("One.\n\nTwo **three**.", stopped=True, language=True, repeats=False)]
    cut = [Answer("and and", stopped=False, language=False, repeats=True)]
    text = page(["Say it."], {"plain": given, "adapted": cut})
    assert "> One.\n>\n> Two **three**." in text
    assert "**adapted** (cut)" in text
    assert "| plain | 1 of 1 | 1 of 1 | 0 of 1 |" in text
    assert "| adapted | 0 of 1 | 0 of 1 | 1 of 1 |" in text
