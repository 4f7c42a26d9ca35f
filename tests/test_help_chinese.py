"""The help and the usage errors in Chinese: every text of every command, its columns, and who is answered so."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import typer
from cli_process import llm
from rich.cells import cell_len as columns

from tui.cli.help import EXIT_CODES, HelpfulCommand, HelpfulGroup
from tui.cli.help_chinese import examples_of, help_of, name_of, texts_of
from tui.cli.main import app, run
from tui.cli.widths import wrapped
from tui.strings import help_zh
from tui.strings.examples_zh import EXAMPLES
from tui.strings.usage_zh import _FORMS, usage_error

if TYPE_CHECKING:
    from pathlib import Path

CHINESE = re.compile(r"[\u4e00-\u9fff]")
CHOICES = re.compile(r"<[a-z0-9_-]+(\|[a-z0-9_-]+)+>")
NAMED = re.compile(r"--[a-z-]+|\b\d[\w.-]*|\{\w+\}|\.[a-z-]+\b|\b(?:JSONL?|CPU|UTF-8|TOML|HTTP|LoRA|Markdown|int8)\b")
"""What is called alike in every language: options, numbers, names of files, abbreviations."""
PROSE = re.compile(r"\w {3,}\w|[\"'][A-Za-z]+[,:]? [a-z]+| [A-Z]{3,}( |$)")
"""A remark, a sentence in quotes or the name of a value in an example."""
CODE = {'llm complete "def fibonacci(n):" --max-tokens 80'}
ZH = {"LANG": "zh_CN.UTF-8", "COLUMNS": "80"}


class Found(NamedTuple):
    """A command as the application has it."""

    path: str
    command: Any
    context: Any


@cache
def commands() -> list[Found]:
    def walk(command: Any, path: list[str], above: Any) -> list[Found]:
        context = typer.Context(command, info_name=path[-1], parent=above, max_content_width=100)
        found = [Found(" ".join(path), command, context)]
        for name, inner in getattr(command, "commands", {}).items():
            found += walk(inner, [*path, name], context)
        return found

    return walk(typer.main.get_command(app), ["llm"], None)


def sentences() -> set[str]:
    return {text for one in commands() for part in texts_of(one.command.help) for text in part} | {
        text for one in commands() for text in (getattr(one.command, "summaries", None) or {}).values()
    }


def parameters() -> list[tuple[str, Any, Any]]:
    return [(one.path, each, one.context) for one in commands() for each in one.command.get_params(one.context)]


def test_the_whole_application_is_looked_at() -> None:
    assert len(commands()) > 40
    assert len(parameters()) > 400
    assert all(isinstance(one.command, HelpfulCommand | HelpfulGroup) for one in commands())


def test_every_sentence_of_every_command_is_said_in_chinese() -> None:
    assert {text for text in sentences() if not CHINESE.search(help_zh.COMMANDS.get(text, ""))} == set()


def test_every_option_and_argument_is_explained_in_chinese() -> None:
    explained = {(path, each.name): help_zh.OPTIONS.get(each.help, "") for path, each, _ in parameters() if each.help}
    assert {where for where, text in explained.items() if not CHINESE.search(text)} == set()


def test_every_name_of_a_value_has_one_in_chinese() -> None:
    for path, each, context in parameters():
        name = each.make_metavar(ctx=context)
        plain = re.sub(r":<.*>|\.\.\.", "", name)
        assert CHOICES.fullmatch(plain) or plain in help_zh.NAMES, (path, name)
    groups = {one.command.subcommand_metavar for one in commands() if isinstance(one.command, HelpfulGroup)}
    assert groups | {"[OPTIONS]"} <= help_zh.NAMES.keys()
    assert name_of("files...") == "文件..."
    assert name_of("shell:<bash|zsh>") == "shell:<bash|zsh>"


def test_every_exit_code_is_explained_in_chinese() -> None:
    assert {meaning for _, meaning in EXIT_CODES} == help_zh.EXIT_CODES.keys()


def test_every_example_with_words_for_people_has_them_in_chinese() -> None:
    lines = {line for one in commands() for line in examples_of(one.command.epilog)}
    assert {line for line in lines if PROSE.search(line) and not CHINESE.search(line)} - EXAMPLES.keys() == CODE
    assert EXAMPLES.keys() <= lines
    for english, chinese in EXAMPLES.items():
        assert CHINESE.search(chinese)
        options = re.compile(r"(?<= )--?[a-z-]+|\w+\.\w+|\w+:\w+(?= )")
        assert options.findall(english) == options.findall(chinese)


def test_no_chinese_outlives_its_english() -> None:
    assert help_zh.COMMANDS.keys() <= sentences()
    assert help_zh.OPTIONS.keys() <= {each.help for _, each, _ in parameters()}


@pytest.mark.parametrize("table", [help_zh.COMMANDS, help_zh.OPTIONS], ids=["commands", "options"])
def test_what_is_called_alike_everywhere_is_in_both(table: dict[str, str]) -> None:
    for english, chinese in table.items():
        assert set(NAMED.findall(english)) <= set(NAMED.findall(chinese)), english


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal_and_the_columns_are_straight(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for one in commands():
        before, _, after = help_of(one.command, one.context).partition("用法：")
        assert before.startswith("示例：\n  ")
        for line in after.splitlines():
            assert columns(line) <= width or re.fullmatch("  -.*>", line), (one.path, line)  # an option has one line
        for part in re.findall(r"(?<=：\n)(?:  .+\n?)+", after.partition("退出码")[0]):
            begun = (re.match(r"  \S.*? {2,}| {3,}", line) for line in part.splitlines())
            assert len({columns(found[0]) for found in begun if found}) <= 1, (one.path, part)


def test_nothing_is_lost_where_lines_are_broken() -> None:
    strange = ("（甲）＋［乙］\u3000丙😀，a,b,,c…。", "a" * 99)
    for text in (*help_zh.COMMANDS.values(), *help_zh.OPTIONS.values(), *strange):
        for room in range(10, 81, 7):
            lines = wrapped(text, room)
            assert "".join("".join(lines).split()) == "".join(text.split())
            assert all(columns(line) <= room or not re.search(r"[\s\u4e00-\u9fff]", line[1:-1]) for line in lines)
            assert not any(re.match("[，。；：、）》”]", line) for line in lines)


@pytest.mark.parametrize("environ", [{"LANG": "zh_CN.UTF-8"}, {"LC_ALL": "zh_TW.UTF-8"}, {"LOCAL_LLM_LANG": "zh"}])
def test_who_reads_chinese_is_answered_in_chinese(tmp_path: Path, environ: dict[str, str]) -> None:
    helped = llm(tmp_path, "--help", env=environ)
    text = helped.stdout.decode()
    assert (helped.returncode, helped.stderr) == (0, b"")
    assert text.index("示例：") < text.index("用法：llm [选项] 命令 …") < text.index("选项：") < text.index("命令：\n")
    assert "  ask         回答问题。\n" in text
    assert "显示这份帮助" in text
    assert "6 有行出错" in text
    assert not re.search("Usage|Options|Commands|Exit codes|Show ", text)
    bare = llm(tmp_path, "models", env=environ)
    assert (bare.returncode, bare.stdout) == (2, b"")
    assert "用法：llm models [选项] 命令 [参数]..." in bare.stderr.decode()


@pytest.mark.parametrize("environ", [{"LANG": "C"}, {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, {"LANG": "fr_FR.UTF-8"}])
def test_all_others_are_answered_in_english(tmp_path: Path, environ: dict[str, str]) -> None:
    text = llm(tmp_path, "--help", env=environ).stdout.decode()
    assert text.startswith("Examples:\n  llm models pull")
    assert "\nUsage: llm [OPTIONS] COMMAND …\n" in text
    assert not CHINESE.search(text)
    assert "No such option: --nope" in llm(tmp_path, "ask", "--nope", env=environ).stderr.decode()


def test_the_settings_stand_above_the_locale_and_a_flag_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def language(*arguments: str) -> str:
        run([*arguments, "--help"])
        return {"用": "zh", "U": "en"}[re.findall("^(用)法：|^(U)sage:", capsys.readouterr().out, re.M)[0][0] or "U"]

    assert language("chat") == "en"
    (tmp_path / "config.toml").write_text('lang = "zh"\n')
    assert (language("chat"), language("chat", "--lang", "en"), language("chat", "-h", "--lang=en")) == (
        "zh",
        "en",
        "en",
    )
    (tmp_path / ".local-llm.toml").write_text('lang = "en"\n')
    assert (language("ask"), language("chat", "--lang", "zh")) == ("en", "zh")
    monkeypatch.setenv("LOCAL_LLM_LANG", "zh")
    assert language("ask") == "zh"
    (tmp_path / "config.toml").write_text("lang = [broken\n")
    assert language("ask") == "en"
    monkeypatch.setenv("LANG", "zh_CN")
    assert language("ask") == "zh"


WRONG = [
    (["askk"], "没有命令 'askk'。是不是 'ask'？"),
    (["qqqq"], "没有命令 'qqqq'"),
    (["ask", "--modle", "x"], "没有选项 --modle。是不是 --html, --md, --model？"),
    (["ask", "--qqqq"], "没有选项 --qqqq"),
    (["ask", "hi", "there"], "多出了参数 there"),
    (["ask", "hi", "-m"], "选项 '-m' 后面要有一个值"),
    (["ask", "hi", "--quiet=3"], "选项 '--quiet' 后面不带值"),
    (["ask", "hi", "--threads", "0"], "'--threads' 的值不对：0 不在范围 1<=x<=1024 之内"),
    (["ask", "hi", "--ctx", "0"], "'--ctx' 的值不对：0 不在范围 x>=16 之内"),
    (["ask", "hi", "--seed", "x"], "'--seed' 的值不对：'x' 不是整数"),
    (["ask", "hi", "--temperature", "warm"], "'--temperature' 的值不对：'warm' 不是数字"),
    (["ask", "hi", "--color", "red"], "'--color' 的值不对：'red' 不在 'auto', 'always', 'never' 之中"),
    (["history", "show", "text"], "'编号' 的值不对：'text' 不是整数"),
    (["finetune", "--out", "x"], "缺少参数 '数据'"),
    (["eval", "qa"], "缺少选项 '--data'"),
    (["eval", "--data", "x"], "缺少参数 '任务'，可以是 sentiment, classify, qa, summarize"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_wrong_command_line_is_told_in_chinese(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert run(arguments) == 2
    told = capsys.readouterr().err.splitlines()
    assert said in told[0]
    assert told[1].endswith(" --help")
    assert not re.search("[A-Z][a-z]+ [a-z]+|did you", told[0])


def test_a_language_that_is_named_counts_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for locale, language, said in (("C", "zh", "没有选项 --nope"), ("zh_CN.UTF-8", "en", "No such option: --nope")):
        monkeypatch.setenv("LANG", locale)
        for arguments in (["--nope", "--lang", language], [f"--lang={language}", "--nope"]):
            assert run(["chat", *arguments]) == 2
            assert said in capsys.readouterr().err.splitlines()[0]
    assert run(["chat", "--nope", "--", "--lang", "en"]) == 2
    assert "没有选项 --nope" in capsys.readouterr().err


def test_a_form_that_is_not_known_stays_as_it_is_and_all_forms_are_in_chinese() -> None:
    assert usage_error("Something new: 'x'.") == "Something new: 'x'."
    assert all(CHINESE.search(text) for _, text in _FORMS)


def test_no_colour_and_no_terminal_are_the_same_text(tmp_path: Path) -> None:
    plain = llm(tmp_path, "ask", "-h", env=ZH).stdout
    assert plain == llm(tmp_path, "ask", "-h", env=ZH | {"NO_COLOR": "1", "TERM": "dumb"}).stdout
    assert b"\x1b" not in plain


def test_tab_explains_in_chinese(tmp_path: Path) -> None:
    fish = {"_LLM_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    probe = {"models ": "pull\t把模型下载到这台机器", "ask --thr": "--threads\tCPU 线程数", " ": "ask\t回答问题。"}
    for typed, offered in probe.items():
        done = llm(tmp_path, env=ZH | fish | {"_TYPER_COMPLETE_ARGS": f"llm {typed}"})
        assert offered in done.stdout.decode()
