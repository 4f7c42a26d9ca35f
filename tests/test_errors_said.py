"""Errors in the user's language: every sentence that can be raised below the app is looked up in the code itself.

What no test here can see: texts of other libraries that are passed on inside ours.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import llm
from said_in_code import below, calls, examples, modules

from engine.config import SamplingConfig
from engine.errors import UsageError
from engine.shape import parse as parse_shape
from tui.strings import Strings
from tui.strings.sentences import translated

if TYPE_CHECKING:
    from pathlib import Path

NOT_MET = {
    "engine.serving.api": "told to programs, in the words of the API",
    "engine.serving.requests": "told to programs, in the words of the API",
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
MADE_ELSEWHERE = re.compile(r"7 \(//7 sends /7 to the model\)|7, got 7|nothing is indexed 7")
"""Put together from a sentence that another test has whole."""
WORDS = re.compile(r"[A-Za-z]{2,}")
ENGLISH = re.compile(r"(?<![\w./<-])[a-z]{2,}(?:,? [a-z]{2,}){2,}(?![\w.])")
"""Three words in a row that nobody has translated."""
MEANT = re.compile(r"\b(?:llm|pip|python -m)(?: [\w./-]+)+|name, age int, mood in happy")
"""What is typed so in every language."""
COMMAND = re.compile(r"llm [a-z]+ [a-z]+( 7)?( --[a-z]+)?( -m 7)?|llm chat -c 7|chmod 600 7|/\w+ notes\.txt")
"""A command to type is the same in every language."""


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


@cache
def sentences() -> list[tuple[str, str]]:
    """Where each sentence stands, and an example of it: messages, and hints with what to do."""
    found = []
    commands = (name for name in modules() if name.startswith("tui.cli."))
    for name in sorted(set().union(below("tui.app"), *map(below, commands)) - NOT_MET.keys()):
        for node, known in calls(name):
            if not (isinstance(node.func, ast.Name) and node.func.id in ours()):
                continue
            texts = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "hint")]
            said = [one for text in texts for one in examples(text, known)]
            found += [(f"{name}:{node.lineno}", one) for one in said if WORDS.search(one)]
    return found


def test_every_sentence_that_can_be_raised_below_the_app_and_the_commands_is_said_in_chinese() -> None:
    known = sentences()
    assert len(known) > 550
    missing = [
        (place, said)
        for place, said in known
        if not CHINESE.search(translated(said)) and not COMMAND.fullmatch(said) and not MADE_ELSEWHERE.fullmatch(said)
    ]
    assert missing == []


def test_no_sentence_is_said_half_in_english() -> None:
    said = {translated(one) for _, one in sentences()}
    assert {one for one in said if CHINESE.search(one) and ENGLISH.search(MEANT.sub("", one))} == set()


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


WRONG_SHAPES = [
    "", "a, a", "int", "mood bool 0..1", "mood bool in a|b", "a ? ?", "a [] []", "a [x]", "a [5..1]", "a flaot",
    "a int 0..b", "a str 1..-2", "a int 9..1", "a in x|x", "a in x", "a in 1|2", "a in x|y?", "a in x|", "a int in x|y",
    "a:", "a %", 'a in "x', '""', "a int 0..1.5", "a: b; c, : d", "a b c", ", a",
]  # fmt: skip


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_what_is_wrong_with_a_shape_is_said_in_chinese(shape: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_shape(shape)
    found = re.fullmatch(r"(schema 第 \d+ 个字符：)?(.+)", translated(caught.value.message))
    assert found
    assert CHINESE.search(found[2]), caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("repetition_penalty", 0), ("top_k", -1), ("top_p", 2), ("min_p", 2), ("max_tokens", 0),
     ("min_tokens", -1), ("stop", ("",)), ("seed", -1)],
)  # fmt: skip
def test_what_is_wrong_with_sampling_is_said_in_chinese(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        SamplingConfig(**{name: value})
    assert CHINESE.search(translated(caught.value.message)), caught.value.message


def test_a_flag_decides_over_the_locale(tmp_path: Path) -> None:
    for language, locale, said in (("zh", "C", "llm: 这台机器上没有模型"), ("en", "zh_CN.UTF-8", "llm: no model")):
        done = llm(tmp_path, "chat", "--lang", language, "-m", "gone", env={"LANG": locale})
        assert done.stderr.decode().startswith(said)


def test_the_command_line_says_its_errors_in_chinese_too(tmp_path: Path) -> None:
    chinese = {"LANG": "zh_CN.UTF-8"}
    (tmp_path / "cut.txt").write_bytes(b"caf\xe9")
    for arguments, said in (
        (["ask"], ["llm: 没有问题", '→ 例如：llm ask "天空为什么是蓝色的？"（详见 llm ask --help）']),
        (["ask", "hi"], ["llm: 没有安装模型", "→ 请运行：llm models pull"]),
        (["summarize", "gone.txt"], ["llm: 没有这个文件：gone.txt", f"→ 在 {tmp_path} 里没有：请检查文件名"]),
        (["ask", "hi", "-f", "cut.txt"], ["llm: cut.txt：第 3 字节不是有效的 UTF-8"]),
        (["config", "set", "temprature", "1"], ["llm: 没有设置 'temprature'", "→ 是不是 temperature？"]),
        (["ask", "hi", "--temperature", "-1"], ["llm: --temperature：temperature 应为 0 或更大，却是 -1.0"]),
        (["ask", "hi", "--schema", "age foo"], ["llm: schema 第 5 个字符：不认识的类型 'foo'"]),
    ):
        done = llm(tmp_path, *arguments, env=chinese)
        told = done.stderr.decode().splitlines()
        assert told[: len(said)] == said
        assert done.returncode == llm(tmp_path, *arguments).returncode
        assert not CHINESE.search(llm(tmp_path, *arguments).stderr.decode())
