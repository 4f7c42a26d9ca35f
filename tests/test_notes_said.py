"""Notes, warnings, questions, progress and tables in the user's language: each is looked up in the code itself."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cli_process import llm, told
from rich.cells import cell_len
from said_in_code import calls, every_text, examples, modules, texts_of

from engine.evaluation import measures as tasks
from engine.evaluation.measure import Setup
from engine.speed import measures as speed
from engine.speed.machine import Machine
from tui import commands
from tui.cli import pulling, summarize, translate
from tui.cli.deliver import Result
from tui.paths import places
from tui.settings import SETTINGS
from tui.strings import sentences
from tui.strings.sentences import translated
from tui.strings.sentences_zh import files

if TYPE_CHECKING:
    from pathlib import Path

CHINESE = re.compile(r"[\u4e00-\u9fff]")
SPEAKS = {"note", "warn", "detail", "spinner", "said", "confirm", "be_sure"}
"""What the console is told, and what says it is told to."""
SAME = re.compile(
    r"sha256|f1|mrr|bleu|chrf|rouge[12L]|GB/s|MB|7 MB|7 \(7 MB\)|(7, )?sha256 7|llm models pull"
    r"|python|torch|\[N\]|\[on\|off\]|int8 \w+|Python 7 on 7 7, local-llm 7|",
    re.ASCII,
)
"""Called alike in every language: names of figures, units, a command to type."""
LEFT = re.compile(
    r"(local-)?llm( [a-z_]+)*|index add|chmod|--\w[\w-]*( auto| source)?|sha256|/[a-z]+|[A-Z_]{3,}|Ctrl|OSC|int8|KL"
    r"|MB|GB|F1|md|json|Python|PyTorch|torch|Triton|oneDNN|cpu(/x86|-native)?|x86(-onednn)?|avx\w+(-vnni)?|amx|cuda|mps"
    r"|short|long|\bnew\b|ctrl|ask|chat|OpenAI|Markdown|local|\bon\b|\boff\b"
)
"""What may stay of the English."""
TOGETHER = (
    "identical, 7 tokens; the device and the kernel changed since",
    "differs at token 7 of 7; the device and the model changed since",
    "cpu: cpu-native (chosen by --device auto, compiled for avx512-vnni and amx; x86: this PyTorch has no oneDNN)",
    "cpu: cpu-native (chosen by --device auto, compiled for avx2; x86-onednn: needs a CPU; cpu: needs a CPU)",
    "cuda: no (no cuda device on this machine)",
    "7 files in 7 s, 7 files/s: 7 read, 7 unchanged, 7 gone, 7 binary, 7 linked, 7 failed",
    "7 of 7, 7 of 7",
    "7 on cpu (x86), context 7 tokens, 7 MB, elsewhere",
    "7 on cpu (x86), context 7 tokens, 7 MB, loaded in 7 s",
    "7 on cpu (x86), context 7 tokens, 7 MB, kept warm",
    f"7: {summarize.GIVEN_WHOLE} (--length 30% asks for less)",
    "'7' is no number",
    "7 must be a multiple of 7, got 7",
    "7 on cpu (x86), context 7 tokens\npid 7, up 7 s, 7 requests, 7 clients, until nobody came for 7 s\n7, token in 7",
)
"""Made of parts while the program runs."""


@cache
def spoken() -> dict[str, str]:
    """What commands tell the console, and where."""
    found = {}
    for name in sorted(name for name in modules() if name.startswith("tui.cli.") and name != "tui.cli.console"):
        for call, known in calls(name):
            word = getattr(call.func, "attr", getattr(call.func, "id", ""))
            texts = [given.value for given in call.keywords if given.arg in {"waiting", "label"}]
            if word in SPEAKS:
                texts += call.args[:1]
            elif word == "Progress":
                texts += call.args[1:2]
            elif word == "update":
                texts += call.args[2:3]
            elif word == "Finding":
                texts += [call.args[0], *call.args[2:4]]
            said = [one for text in texts for one in examples(text, known)]
            if word == "Finding":  # the doctor says them line by line
                said = [line for one in said for line in one.split("\n")]
            found |= dict.fromkeys(said, f"{name}:{call.lineno}")
    return found | dict.fromkeys(facts(), "tui.cli.model_facts")


def facts() -> list[str]:
    """What `models show` prints: names and values."""
    module = modules()["tui.cli.model_facts"]
    pairs = (node for node in ast.walk(module) if isinstance(node, ast.Tuple))
    pairs = (node for node in pairs if len(node.elts) == 2 and not isinstance(node.elts[0], ast.Name))
    return [one for pair in pairs for part in pair.elts for one in examples(part, texts_of(module))]


def tables() -> list[str]:
    """Texts that stand in tables of ours, where they are printed from."""
    all_measures = (speed.START, speed.RESIDENT, speed.SIZE, *speed.WHOLE, *speed.QUICK)
    figures = [name for task in tasks.TASKS for name in tasks.create(task, Setup()).statistics()]
    return [
        *(text for one in all_measures for text in (one.label, one.unit)),
        *figures,
        *translate.REASONS.values(),
        *pulling._STAGES.values(),
        *(text for command in commands.COMMANDS for text in (command.help, command.usage)),
        *(setting.help for setting in SETTINGS.values()),
        *places().named(),
        *("ok", "note", "fail"),
        str(Machine("7", 7, 7_000_000_000, "7", "7")),
    ]


def figures_of_answers() -> list[str]:
    return [
        Result(prompt_tokens=7, cached_tokens=cached, output_tokens=7, prefill=1, decode=1, finish_reason=reason).stats(
            "7", "cpu/x86"
        )
        for cached in (0, 2)
        for reason in ("stop", "length", "stopped", "repeated", "error")
    ]


def unsaid(text: str) -> bool:
    """Whether words of it are not in Chinese."""
    said = translated(text)
    return bool(re.search("[A-Za-z]{2}", text)) and (
        not CHINESE.search(said) or bool(re.search("[A-Za-z]{2}", LEFT.sub("", said)))
    )


def test_every_text_that_is_told_to_the_console_is_said_in_chinese() -> None:
    assert len(spoken()) > 250
    assert {text: place for text, place in spoken().items() if unsaid(text) and not SAME.fullmatch(text)} == {}


@pytest.mark.parametrize("text", [*tables(), *figures_of_answers(), *TOGETHER])
def test_what_is_made_while_the_program_runs_is_said_in_chinese(text: str) -> None:
    assert SAME.fullmatch(text) or not unsaid(text)


@cache
def met() -> set[str]:
    """The forms that some text of the code has."""
    found: set[str] = set()
    known = sentences._Form.parts

    def seen(form: sentences._Form, sentence: str) -> tuple[str, ...] | None:
        parts = known(form, sentence)
        if parts is not None:
            found.add(form.form)
        return parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences._Form, "parts", seen)
        for text in (*every_text(), *spoken(), *tables(), *figures_of_answers(), *TOGETHER):
            translated(text)
    return found


def test_no_chinese_outlives_its_english() -> None:
    system = {form for form, _ in files.REASONS}
    assert [form.form for form in sentences.FORMS if form.form not in met() | system] == []


def test_what_a_person_wrote_is_not_taken_for_a_sentence() -> None:
    assert translated("took back: the title is empty") == "收回了：the title is empty"
    assert translated("system prompt: such as: a · b") == "系统提示：such as: a · b"
    assert translated("wrote no such file: x.md") == "已写入 no such file: x.md"


SHORT = ("-m", "tiny", "--max-tokens", "6", "--temperature", "0", "--threads", "1")
IN_CHINESE = {"LANG": "zh_CN.UTF-8", "LC_ALL": "", "COLUMNS": "80"}
RUNS = [
    (["ask", *SHORT, "hello", "--stats"], r"tiny（cpu/[\w-]+） · 提问 \d+ 词元.* · 回答 \d+ 词元，.* · 共 \S+ 秒 · "),
    (["ask", *SHORT, "hello", "-o", "{}/out.txt"], r"已写入 .*/out\.txt"),
    (["ask", *SHORT, "hello", "--dry-run"], r"\d+／\d+ 词元"),
    (["sentiment", "-m", "tiny", "good", "bad"], r"2 行，用了 \S+ 秒，每秒 \S+ 行"),
    (["index", "add", "{}", "--words"], r"\d+ 个文件，用了 \S+ 秒，每秒 \d+ 个：读入 \d+"),
    (["history", "list"], r"还没有保存过对话；llm chat 开始一个"),
    (["config", "set", "seed", "1"], r"已设置 seed = 1，写入 .*config\.toml"),
    (["models", "default", "tiny"], r"默认模型现在是 tiny"),
]


@pytest.mark.parametrize(("arguments", "said"), RUNS, ids=[" ".join(arguments[:2]) for arguments, _ in RUNS])
def test_commands_tell_it_in_chinese_and_answer_the_same(
    arguments: list[str], said: str, tiny_model_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("a note")
    arguments = [one.format(tmp_path) for one in arguments]
    home = tiny_model_home if "tiny" in arguments else tmp_path  # others use it as it is
    chinese, english = (llm(home, *arguments, env=environ) for environ in (IN_CHINESE, {}))
    assert re.search(said, "\n".join(told(chinese))), chinese.stderr.decode()
    assert (chinese.stdout, chinese.returncode) == (english.stdout, english.returncode)
    assert not CHINESE.search(english.stderr.decode())


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list", "--all", "--json"],
        ["models", "show", "--json"],
        ["index", "stats", "--json"],
        ["history", "list", "--json"],
        ["config", "get", "device"],
        ["tokens", "hello", "-m", "tiny"],
        ["sentiment", "-m", "tiny", "--out", "csv", "good"],
    ],
    ids=" ".join,
)
def test_programs_read_the_same_in_every_language(arguments: list[str], tiny_model_home: Path) -> None:
    outputs = {llm(tiny_model_home, *arguments, env=environ).stdout for environ in (IN_CHINESE, {})}
    assert len(outputs) == 1
    assert not CHINESE.search(outputs.pop().decode())


def test_tables_have_straight_columns(tiny_model_home: Path) -> None:
    described = llm(tiny_model_home, "models", "show", env=IN_CHINESE).stdout.decode().splitlines()
    assert any(re.fullmatch(r"上下文      [\d,]+ 词元", one) for one in described)
    for line in described:
        label = re.match(r"int8 \w\w +|\S+( sha256)? +", line)
        assert label
        assert cell_len(label[0]) == 12, line
    listed = llm(tiny_model_home, "models", "list", "--all", env=IN_CHINESE).stdout.decode().splitlines()
    assert len({cell_len(re.split("  (?:对话|基础)  ", line)[0]) for line in listed}) <= 2  # installed, to be pulled
