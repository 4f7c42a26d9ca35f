"""The app's words: both languages say the same things."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from tui import commands
from tui.strings import TABLES, Strings, language_of_locale

ROOT = Path(__file__).parent.parent


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_tables_have_the_same_keys() -> None:
    assert set(TABLES["en"]) == set(TABLES["zh"])


@pytest.mark.parametrize("key", sorted(TABLES["en"]))
def test_both_texts_have_the_same_places(key: str) -> None:
    assert places(TABLES["en"][key]) == places(TABLES["zh"][key])


def test_every_word_with_a_slash_is_explained_in_both() -> None:
    for command in commands.COMMANDS:
        assert f"word.{command.name}" in TABLES["en"]


def test_every_key_that_the_code_names_exists() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "tui").rglob("*.py") if path.parent.name != "strings"]
    named = {key for text in sources for key in re.findall(r'(?:strings|_strings)\("([a-z_.]+)"', text)}
    named |= {key for text in sources for key in re.findall(r'"(key\.[a-z_]+)"', text)}
    assert named
    assert named <= set(TABLES["en"])


def test_every_text_is_asked_for() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "tui").rglob("*.py") if path.parent.name != "strings")
    code = code.replace("'", '"')
    put_together = set(re.findall(r'f"(\w+)\.\{', code))
    assert put_together
    for key in TABLES["en"]:
        start, _, rest = key.partition(".")
        name = rest.removesuffix(".help").removesuffix(".asked")
        assert f'"{key}"' in code or (start in put_together and f'"{name}"' in code), key


@pytest.mark.parametrize(
    ("environ", "language"),
    [({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"), ({}, "en")],
)
def test_the_locale_chooses(environ: dict[str, str], language: str) -> None:
    assert language_of_locale(environ) == language


def test_places_are_filled() -> None:
    assert Strings("zh")("said.wrote", path="a.md") == "已写入 a.md"
