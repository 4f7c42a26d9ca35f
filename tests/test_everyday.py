"""Everyday requests with replies, and the round that teaches them."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_data import write

from engine.language import language_of
from engine.loops import looping
from recipes import fourth, mixture, seeds
from recipes.sources import plain

RECIPES = Path(seeds.__file__).parent


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_is_one_request_and_one_reply_in_its_language_that_does_not_loop(language: str) -> None:
    asked = seeds.dialogues(language, name="everyday")
    assert len(asked) > 1500
    assert {len(turns) for turns in asked} == {2}
    assert len({plain(turns[0].content) for turns in asked}) == len(asked)
    for turn in (0, 1):
        assert sum(language_of(turns[turn].content) == language for turns in asked) >= 0.95 * len(asked)
    assert [turns[1].content for turns in asked if looping(turns[1].content, turns[0].content)] == []


def test_none_of_the_requests_that_chat_is_judged_by_is_among_them() -> None:
    pages = [(RECIPES / f"{name}.txt").read_text(encoding="utf-8") for name in ("requests", "chat")]
    judged = {plain(line) for page in pages for line in page.splitlines()}
    taught = {
        plain(turns[0].content) for language in ("en", "zh") for turns in seeds.dialogues(language, name="everyday")
    }
    assert len(judged) == 70
    assert judged & taught == set()


def test_the_fourth_round_teaches_them_and_keeps_the_rest(tmp_path: Path) -> None:
    data = write(tmp_path)
    mixed = fourth.build(data, 3).train
    assert mixture.encoded(mixed) == mixture.encoded(fourth.build(data, 3).train)
    kinds = {one.kind.partition(".")[0] for one in mixed}
    assert kinds == {"chat", "classify", "qa", "sentiment", "summarize", "translate"}
    everyday = {
        plain(turns[0].content) for language in ("en", "zh") for turns in seeds.dialogues(language, name="everyday")
    }
    found = {plain(one.messages[0].content) for one in mixed if one.kind.startswith("chat")}
    assert everyday <= found
