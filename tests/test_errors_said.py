"""Errors in the user's language: every sentence that can be raised below the app is looked up in the code itself.

What no test here can see: texts of other libraries that are passed on inside ours.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tui.strings import Strings
from tui.strings.errors_zh import translated

ROOT = Path(__file__).parent.parent
NOT_MET = {
    "engine.shape": "the app asks for no schema",
    "engine.structure": "the app asks for no schema",
    "tui.keymap": "keys are checked by the command, before the app starts",
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
MADE_ELSEWHERE = re.compile(r"7 \(//7 sends /7 to the model\)")
"""Put together from a hint of its own, which test_strings has whole."""
WORDS = re.compile(r"[A-Za-z]{2,}")
COMMAND = re.compile(r"llm [a-z]+ [a-z]+ ?7?")
"""A command to type is the same in every language."""


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for folder in ("engine", "tui"):
        for path in (ROOT / folder).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


def below(start: str) -> set[str]:
    """A module and all that it imports, at once or while it works."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(modules()[name]):
            if isinstance(node, ast.Import):
                named = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            else:
                continue
            waiting += named & modules().keys()
    return seen


@cache
def ours() -> set[str]:
    """The names of all kinds of EngineError."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    known = {"EngineError"}
    while fresh := {name for name, above in bases.items() if above & known} - known:
        known |= fresh
    return known


def example(node: ast.expr) -> str | None:
    """A text as it may look, with 7 in its places; None for one that is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            parts.append("'7'" if part.conversion == ord("r") else "7")
        else:
            assert isinstance(part, ast.Constant)
            parts.append(str(part.value))
    return "".join(parts)


def sentences() -> list[tuple[str, str]]:
    """Where each sentence stands, and an example of it: messages, and hints with what to do."""
    found = []
    for name in sorted(below("tui.app") - NOT_MET.keys()):
        for node in ast.walk(modules()[name]):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours()):
                continue
            texts = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "hint")]
            for text in texts:
                choices = [text.body, text.orelse] if isinstance(text, ast.IfExp) else [text]
                said = [example(choice) for choice in choices]
                found += [(f"{name}:{node.lineno}", one) for one in said if one and WORDS.search(one)]
    return found


def test_every_sentence_that_can_be_raised_below_the_app_is_said_in_chinese() -> None:
    known = sentences()
    assert len(known) > 250
    missing = [
        (place, said)
        for place, said in known
        if not CHINESE.search(translated(said)) and not COMMAND.fullmatch(said) and not MADE_ELSEWHERE.fullmatch(said)
    ]
    assert missing == []


def test_names_stay_as_they_are() -> None:
    said = translated("notes of May.txt is binary, expected text (a NUL at byte 3)")
    assert "notes of May.txt" in said
    assert translated("/tmp/a b: something new went wrong") == "/tmp/a b: something new went wrong"


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("can't write /x/y.md: No such file or directory", "写不了 /x/y.md：没有这个文件或文件夹"),
        (
            "smol could not be fetched: the hub did not answer within 9 seconds",
            "smol 没能下载：模型中心在 9 秒内没有回应",
        ),
        ("c.toml: unknown setting 'colour'", "c.toml：没有设置 'colour'"),
        ("notes.txt is empty: nothing to translate", "notes.txt 是空的：没有可处理的"),
        ("x.gguf is damaged: bad", "x.gguf 已损坏：bad"),
    ],
)
def test_a_sentence_within_a_sentence_is_said_too(english: str, chinese: str) -> None:
    assert Strings("zh").error(english) == chinese
    assert Strings("en").error(english) == english
