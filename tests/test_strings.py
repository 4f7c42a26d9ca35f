"""The app's words: both languages say the same things."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.errors import EngineError
from tui import commands, settings, transfer
from tui.files import MAX_BYTES, read_file
from tui.language import language_of_locale, language_of_settings
from tui.paths import places as user_places
from tui.paths import write_output
from tui.store import Store
from tui.strings import TABLES, Strings
from tui.talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable

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
    put_together = set(re.findall(r'f"(\w+\.)\{[^{}]*\}([.\w]*)', code))
    assert put_together
    for key in TABLES["en"]:
        fitting = [(start, end) for start, end in put_together if key.startswith(start) and key.endswith(end)]
        names = [key, *(key.removeprefix(start).removesuffix(end) for start, end in fitting)]
        assert any(f'"{name}"' in code for name in names), key


@pytest.mark.parametrize(
    ("environ", "language"),
    [({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"), ({}, "en")],
)
def test_the_locale_chooses(environ: dict[str, str], language: str) -> None:
    assert language_of_locale(environ) == language


@pytest.mark.parametrize("where", ["variable", "user", "project"])
@pytest.mark.parametrize(
    ("lang", "locale", "language"),
    [("zh", "C", "zh"), ("en", "zh_CN.UTF-8", "en"), ("auto", "zh_CN.UTF-8", "zh"), ("broken", "zh_CN.UTF-8", "zh")],
)
def test_the_setting_stands_above_the_locale_where_it_can_be_read(
    where: str, lang: str, locale: str, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", locale)
    if where == "variable":
        monkeypatch.setenv("LOCAL_LLM_LANG", lang)
    else:
        path = user_places().config_file if where == "user" else tmp_path / ".local-llm.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"lang = '{lang}'\n")
    assert language_of_settings() == language


def test_places_are_filled() -> None:
    assert Strings("zh")("said.wrote", path="a.md") == "已写入 a.md"


@pytest.mark.parametrize(("count", "said"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages")])
def test_one_is_said_as_one(count: int, said: str) -> None:
    assert Strings("en")("status.reading", count=count) == f"reading {said} …"
    assert Strings("zh")("status.reading", count=count) == f"正在读 {count} 条消息 …"


def errors_a_person_meets(folder: Path) -> list[EngineError]:
    """Real ones, raised where they are raised in the app."""
    (folder / "binary").write_bytes(b"a\0b")
    (folder / "latin").write_bytes(b"caf\xe9")
    (folder / "empty.json").write_text("[]", "utf-8")
    store = Store(folder / "app.db")
    talk = Talk()
    asked = talk.ask("hello")
    deeds: list[Callable[[], object]] = [
        lambda: read_file(str(folder / "gone")),
        lambda: read_file(str(folder)),
        lambda: read_file(str(folder / "binary")),
        lambda: read_file(str(folder / "latin")),
        lambda: read_file(str(folder / "long")),
        lambda: commands.parse("/modle x"),
        lambda: commands.parse("/qzqzqz"),
        lambda: talk.ask(" "),
        lambda: talk.ask("again"),
        lambda: talk.edit(asked, ""),
        lambda: store.kept(7),
        lambda: store.add(7, None, "user", "x"),
        lambda: transfer.read("[]", "empty.json"),
        lambda: write_output(folder / "no" / "such" / "folder", b""),
        lambda: settings.parse(settings.SETTINGS["temperature"], "warm", "/set"),
        lambda: Store(folder / "binary"),
    ]
    with open(folder / "long", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    raised = []
    for deed in deeds:
        with pytest.raises(EngineError) as caught:
            deed()
        raised.append(caught.value)
    store.close()
    return raised


def test_errors_that_a_person_meets_in_the_app_are_said_in_chinese(tmp_path: Path) -> None:
    chinese = Strings("zh")
    for error in errors_a_person_meets(tmp_path):
        for said in (error.message, error.hint or ""):
            assert not said or re.search(r"[\u4e00-\u9fff]", chinese.error(said)), said
            assert Strings("en").error(said) == said


def test_a_sentence_of_no_known_form_stays_as_it_is() -> None:
    assert Strings("zh").error("something {new} went wrong") == "something {new} went wrong"
