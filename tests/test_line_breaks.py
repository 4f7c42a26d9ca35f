"""Lines of Chinese break where readers expect it, in the app and in what Rich prints; others as before."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from app_pilot import make_app, running, wait_until
from rich._wrap import divide_line, re_word
from rich.cells import cell_len
from textual._wrap import compute_wrap_offsets, re_chunk

from tui import line_breaks
from tui.cli.markdown import render
from tui.talk import Talk, Turn

if TYPE_CHECKING:
    from pathlib import Path

NEVER_FIRST = "，。、；：！？）》」』】”’…—%,.)]}"
NEVER_LAST = "（《「『【“‘([{"
MIXED = (
    "他说：“这本《红楼梦》（第三版）写得真好！”——可是……我还没读完，只读了20%。使用 Python 3.11 编写的程序，"
    "可以在终端里运行，不需要服务器（也不需要账号）；权重下载之后，也不再需要网络。见【说明】，或者README(中文),谢谢。"
)


@pytest.fixture(autouse=True)
def _broken_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich._wrap.words", line_breaks.words)
    monkeypatch.setattr("textual._wrap.chunks", line_breaks.chunks)


def lines(text: str, width: int, *, typed: bool = False) -> list[str]:
    breaks = compute_wrap_offsets(text, width, 4) if typed else divide_line(text, width)
    places = [0, *breaks, len(text)]
    return [text[begin:end].rstrip() for begin, end in pairwise(places)]


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("width", range(10, 60, 3))
def test_no_line_begins_with_a_closing_mark_or_ends_with_an_opening_one(width: int, typed: bool) -> None:
    found = lines(MIXED, width, typed=typed)
    assert "".join(found).replace(" ", "") == MIXED.replace(" ", "")
    assert all(cell_len(line) <= width for line in found)
    assert not [line for line in found if line[0] in NEVER_FIRST or line[-1] in NEVER_LAST]


def test_chinese_goes_on_in_the_line_of_the_word_before_it() -> None:
    assert lines("使用 Python 编写的程序可以在终端里运行不需要服务器", 20) == [
        "使用 Python 编写的程",
        "序可以在终端里运行不",
        "需要服务器",
    ]


def test_a_short_term_between_blanks_stays_whole() -> None:
    assert lines("前面的 词元 后面的", 9) == ["前面的", "词元", "后面的"]
    assert lines("96 词元 · 每秒 20 词元", 16) == ["96 词元 · 每秒", "20 词元"]


def matches(pattern: re.Pattern[str], text: str) -> list[tuple[int, int, str]]:
    """What the libraries' own functions find with their patterns."""
    found, place = [], 0
    while match := pattern.match(text, place):
        found.append((*match.span(), match[0]))
        place = match.end()
    return found


def test_a_text_without_wide_characters_breaks_as_rich_and_textual_break_it() -> None:
    draw = random.Random(5)
    for _ in range(2000):
        text = "".join(draw.choices("ab, .()-“”한국é\n\t😀" + " " * 4, k=draw.randrange(60)))
        assert list(line_breaks.words(text)) == matches(re_word, text), repr(text)
        assert list(line_breaks.chunks(text)) == matches(re_chunk, text), repr(text)


def test_every_text_is_taken_whole_and_in_no_more_than_linear_steps() -> None:
    draw = random.Random(6)
    for _ in range(2000):
        text = "".join(draw.choices("中文，。（）“”(),.a1 \n😀", k=draw.randrange(1, 80)))
        if text.strip():
            assert "".join(word for _, _, word in line_breaks.words(text)) == text
    assert len(list(line_breaks.words("（" * 50_000 + "a" * 50_000 + "(" * 50_000))) <= 3


def test_the_line_chat_breaks_markdown_so() -> None:
    printed = re.sub(r"\x1b\[[0-9;]*m", "", render(MIXED, 30, color=False)).splitlines()
    shown = [line.strip() for line in printed if line.strip()]
    assert not [line for line in shown if line[0] in NEVER_FIRST]
    assert shown[0].startswith("他说：")


async def test_the_app_breaks_answers_so(tiny_model_home: Path) -> None:
    talk = Talk("")
    talk.add(talk.ask("写一句话"), Turn("assistant", MIXED, model="tiny", finish="stop"))
    app = make_app(tiny_model_home, "zh", talk=talk)
    async with running(app, (60, 30)) as pilot:
        await app.chat.show()
        answer = app.chat.query("MarkdownParagraph").last()
        await wait_until(pilot, lambda: answer.size.height > 1, "the answer")
        rows = [answer.render_line(y).text.strip() for y in range(answer.size.height)]
    shown = [row for row in rows if row]
    assert len(shown) > 3
    assert not [row for row in shown if row[0] in NEVER_FIRST or row[-1] in NEVER_LAST]


async def test_the_prompt_breaks_what_is_typed_so(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home, "zh")
    async with running(app, (40, 24)) as pilot:
        prompt = app.chat.prompt
        prompt.insert("Python " + "程序可以在终端里运行" * 5)
        await wait_until(pilot, lambda: len(prompt.wrapped_document.get_offsets(0)) > 1, "more than a line")
        first = prompt.wrapped_document.get_offsets(0)[0]
        assert prompt.text[:first].startswith("Python 程序")
        prompt.text = MIXED
        await pilot.pause()
        places = [0, *prompt.wrapped_document.get_offsets(0), len(MIXED)]
        shown = [MIXED[begin:end].strip() for begin, end in pairwise(places)]
        assert len(shown) > 3
        assert not [line for line in shown if line[0] in NEVER_FIRST or line[-1] in NEVER_LAST]
