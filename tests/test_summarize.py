"""Summaries read all of a text, in its language, in the length asked for; whatever its size and its line ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asked import Asked

from engine import texts
from engine.config import SamplingConfig
from engine.errors import InputError, InputTooLong, UsageError
from engine.language import HAN
from engine.schema import Chunk, Coverage, Document, Message
from engine.session import Session
from engine.tasks.length import Length, words_in
from engine.tasks.sentences import sentences
from engine.tasks.summarize import summarize, summarize_rows, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.schema import Language

BRIEF = SamplingConfig(max_tokens=12, stop=tuple("aeiou"))
"""A model of random weights never ends by itself."""
LINES = [f"Line {number} says word{number * 7919}.\n" for number in range(1, 501)]
CHINESE = [f"第{number}行说的是{number * 7919}。\n" for number in range(1, 501)]
FULL = "word " * 70
"""Begins a text that is longer than what is given whole."""
LONG = {"en": "".join(LINES), "zh": "".join(CHINESE)}


@pytest.fixture
def asked(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked().watch(tiny_session, monkeypatch)


def run(session: Session, text: str, sampling: SamplingConfig = BRIEF, **settings: Any) -> tuple[list[Chunk], Coverage]:
    """The chunks of a summary and its coverage, which is what comes last."""
    events = list(summarize(session, Document("text", text), sampling=sampling, **settings))
    assert isinstance(events[-1], Coverage)
    assert sum(isinstance(event, Coverage) for event in events) == 1
    return [event for event in events if isinstance(event, Chunk)], events[-1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_of_a_long_text_is_put_before_the_model_once_and_in_order(
    tiny_session: Session, asked: Asked, language: Language
) -> None:
    _, read = run(tiny_session, LONG[language])
    assert read.complete
    assert read.chunks_read == read.chunks_total > 2
    assert (read.lines_read, read.lines_total, read.unread_lines) == (500, 500, ())
    passages = asked.texts[: read.chunks_total]
    start = 0
    for line in LONG[language].splitlines():
        holders = [number for number, passage in enumerate(passages) if line in passage]
        assert len(holders) == 1, line
        assert holders[0] >= start
        start = holders[0]
    assert len(asked.texts) > len(passages)
    assert not any(LINES[0] in combined for combined in asked.texts[read.chunks_total :])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_prompt_is_longer_than_the_context_leaves_room_for(
    tiny_model_home: Path, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    for context in (400, 700):
        session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1, context=context)
        asked = Asked().watch(session, monkeypatch)
        _, read = run(session, LONG[language], length="short")
        assert read.complete
        assert max(map(session.count_messages, asked.conversations)) < context - BRIEF.max_tokens
        session.close()


@pytest.mark.parametrize("text", ["short text\n", FULL, LONG["en"]])
def test_the_answer_is_finished_once_at_its_end(tiny_session: Session, text: str) -> None:
    chunks, _ = run(tiny_session, text)
    finished = [number for number, chunk in enumerate(chunks) if chunk.finish_reason]
    assert len(finished) == 1
    assert not any(chunk.text for chunk in chunks[finished[0] + 1 :])
    assert any(chunk.text for chunk in chunks)


def test_the_same_text_gives_the_same_summary(tiny_session: Session, tiny_model_home: Path) -> None:
    other = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    first, second = ("".join(c.text for c in run(session, LONG["zh"])[0]) for session in (tiny_session, other))
    other.close()
    assert first == second


@pytest.mark.parametrize(
    ("text", "language", "instruction"),
    [
        ("A text about harbours." * 20, None, "Write only the summary, in English."),
        ("一篇关于港口的文字。" * 20, None, "只写摘要，使用中文。"),
        ("一篇关于港口的文字。" * 20, "en", "Write only the summary, in English."),
        ("A text about harbours." * 20, "zh", "只写摘要，使用中文。"),
    ],
)
def test_the_prompt_is_in_the_language_of_the_text_unless_told(
    tiny_session: Session, asked: Asked, text: str, language: Language | None, instruction: str
) -> None:
    run(tiny_session, text, language=language)
    assert asked.texts  # twice, where there was no answer
    assert all(text in prompt and instruction in prompt for prompt in asked.texts)


def test_every_prompt_of_a_long_text_is_in_its_language(tiny_session: Session, asked: Asked) -> None:
    run(tiny_session, LONG["zh"])
    assert all("使用中文" in prompt for prompt in asked.texts)
    before = len(asked.texts)
    run(tiny_session, LONG["en"])
    assert all("in English" in prompt for prompt in asked.texts[before:])


@pytest.mark.parametrize(
    ("length", "english", "chinese"),
    [
        ("short", "one or two sentences", "一两句话"),
        ("medium", "one paragraph", "一段话"),
        ("long", "three paragraphs", "三段话"),
        ("20w", "about 20 words", "大约34个字"),
        ("50%", "about 50 words", "大约85个字"),
    ],
)
def test_the_length_is_asked_for_in_words(
    tiny_session: Session, asked: Asked, length: str, english: str, chinese: str
) -> None:
    text = 160 if length == "long" else 100
    run(tiny_session, "word " * text, length=length)
    run(tiny_session, "字" * round(text * 1.7), length=length)
    assert english in asked.texts[0]
    assert chinese in asked.texts[1]


def test_a_short_summary_is_cut_off_sooner_than_a_long_one(tiny_session: Session) -> None:
    free = SamplingConfig(max_tokens=2_000)
    written = [run(tiny_session, FULL, free, length=length)[0][-1].output_tokens for length in ("1w", "10w")]
    assert written == sorted(set(written))


def test_max_tokens_stands_above_the_length(tiny_session: Session) -> None:
    chunks, _ = run(tiny_session, FULL, SamplingConfig(max_tokens=5))
    assert (chunks[-1].output_tokens, chunks[-1].finish_reason) == (5, "length")


def test_a_summary_of_many_words_is_written_part_by_part(tiny_session: Session, asked: Asked) -> None:
    chunks, read = run(tiny_session, LONG["en"], length="900w")
    assert len(asked.texts) == read.chunks_total
    assert "".join(chunk.text for chunk in chunks).count("\n\n") >= read.chunks_total - 1


def test_a_long_summary_of_a_text_that_fits_is_written_section_by_section(tiny_session: Session, asked: Asked) -> None:
    text = "".join(LINES[:70])
    for length, most in (("short", 1), ("medium", 1), ("long", 5)):
        before = len(asked.texts)
        _, read = run(tiny_session, text, length=length)
        prompts = asked.texts[before:]
        assert (read.complete, read.chunks_total) == (True, len(prompts))
        assert most // 2 < len(prompts) <= most
        assert all(sum(line in prompt for prompt in prompts) == 1 for line in LINES[:70])


def test_a_summary_does_not_end_before_most_of_what_was_asked_for(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_session._chat, "stop_ids", frozenset(range(0, 16_000, 8)))
    text, drawn = "word " * 200, SamplingConfig(temperature=1, seed=1, max_tokens=400)
    least = Length.parse("medium", text).least_tokens
    assert least > 60
    assert run(tiny_session, text, drawn, length="short")[0][-1].output_tokens < least
    assert run(tiny_session, text, drawn)[0][-1].output_tokens >= least


def test_rows_are_held_to_their_length_as_each_alone(tiny_session: Session) -> None:
    rows = ["word " * 300, "word " * 90, "word " * 40, "字" * 500]
    drawn = SamplingConfig(temperature=1, seed=3, max_tokens=300)
    found = dict(summarize_rows(tiny_session, rows, sampling=drawn, length="medium"))
    for number, row in enumerate(rows):
        assert found[number] == "".join(chunk.text for chunk in run(tiny_session, row, drawn)[0]).strip()


@pytest.mark.parametrize("length", ["", "tiny", "0%", "-5w", "5", "1.5w"])
def test_a_length_that_is_none_is_refused(tiny_session: Session, asked: Asked, length: str) -> None:
    with pytest.raises(UsageError, match=r"short, medium, long, N% or Nw"):
        run(tiny_session, "A text.", length=length)
    assert asked.texts == []


@pytest.mark.parametrize("text", ["", "\n\n", " \t\r\n\u3000"])
def test_an_empty_text_is_refused_by_name(tiny_session: Session, text: str) -> None:
    with pytest.raises(InputError, match=r"notes\.txt is empty"):
        list(summarize(tiny_session, Document("notes.txt", text), sampling=BRIEF))


def test_a_context_without_room_is_an_error_that_says_so(tiny_model_home: Path) -> None:
    session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1, context=200)
    with pytest.raises(InputTooLong, match="200 tokens"):
        run(session, FULL)
    session.close()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one line without an end", 1),
        ("一行没有换行的文字", 1),
        ("one\n", 1),
        ("one\r\ntwo\r\n", 2),
        ("one\r\n\r\nthree", 3),
        ("\n\n three \n\n", 4),
        ("one\x0cpage\u2028two", 1),
        ("{text} {length} %s\n{", 2),
        ("<|assistant|>done<|end|>", 1),
    ],
)
def test_short_texts_of_any_shape_are_read_whole(tiny_session: Session, asked: Asked, text: str, lines: int) -> None:
    for whole in (FULL + text, text):
        _, read = run(tiny_session, whole)
        assert (read.lines_read, read.lines_total, read.chunks_total) == (lines, lines, 1)
        assert read.complete
    [prompt] = asked.texts
    assert (FULL + text).strip() in prompt


@pytest.mark.parametrize("text", ["word " * 4_000, "字" * 5_000, "x" * 30_000, "a\r\n" * 2_000, "🙂" * 900])
def test_long_texts_without_borders_are_read_whole(tiny_session: Session, asked: Asked, text: str) -> None:
    _, read = run(tiny_session, text)
    assert read.complete
    assert read.chunks_total > 1
    assert read.lines_total == max(1, text.count("\n"))
    assert read.tokens_read >= tiny_session.count(text)
    letter = text[0]
    assert sum(prompt.count(letter) for prompt in asked.texts[: read.chunks_total]) >= text.count(letter)


@pytest.mark.parametrize("taken", [0, 1, 3, 9])
@pytest.mark.parametrize("text", [FULL, LONG["en"]])
def test_closing_stops_the_model_and_leaves_a_session_that_works(
    tiny_session: Session, asked: Asked, text: str, taken: int
) -> None:
    events = summarize(tiny_session, Document("text", text), sampling=SamplingConfig(max_tokens=500))
    for _ in range(taken):
        next(events)
    events.close()
    assert asked.running == 0
    asked_so_far = len(asked.texts)
    assert list(events) == []
    assert len(asked.texts) == asked_so_far < 10
    assert list(tiny_session.stream([Message("user", "hello")], BRIEF))[-1].finish_reason


def test_rows_of_their_own_lengths_are_written_as_each_alone(tiny_session: Session) -> None:
    rows = ["word " * 30, "word " * 400, "", "字" * 60]
    free = SamplingConfig(max_tokens=400)
    found = dict(summarize_rows(tiny_session, rows, sampling=free, length="20%"))
    assert sorted(found) == [0, 1, 2, 3]
    assert isinstance(found[2], InputError)
    for number in (0, 1, 3):
        alone = "".join(chunk.text for chunk in run(tiny_session, rows[number], free, length="20%")[0])
        assert found[number] == alone.strip()


def test_a_part_is_its_first_whole_sentences_about_as_long_as_asked() -> None:
    said = "- One two three.\n\nFour five six. Seven eight nine. Ten elev"
    assert tidy(said, 4, cut=True) == "One two three. Four five six."
    assert tidy(said, 1, cut=True) == "One two three."
    assert tidy(said, 100, cut=True) == "One two three. Four five six. Seven eight nine."
    assert tidy("Only the beginn", 5, cut=True) == "Only the beginn"
    assert tidy("1. 第一句。第二句。", 2, cut=False) == "第一句。"
    assert tidy("", 5, cut=False) == ""
    assert tidy("One. Two. One. Three. Two.", 100, cut=False) == "One. Two. Three."
    assert tidy("One. Two. Three. One.", 100, cut=True) == "One. Two. Three."


@pytest.fixture(scope="module")
def default_session(default_model: Path) -> Iterator[Session]:
    session = Session.open(default_model, device="cpu")
    yield session
    session.close()


@pytest.mark.weights
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_default_model_summarizes_in_the_language_of_the_text(default_session: Session, language: Language) -> None:
    text = texts.read("evaluation", language)[: 1_500 if language == "en" else 500]
    sampling = SamplingConfig(max_tokens=60, repetition_penalty=1.1)
    chunks, read = run(default_session, text, sampling, length="short")
    summary = "".join(chunk.text for chunk in chunks)
    assert read.complete
    share = len(HAN.findall(summary)) / len(summary)
    assert share > 0.6 if language == "zh" else share == 0, summary
    assert ("纸" if language == "zh" else "light") in summary.lower()


COMMANDS = """```console
$ make run      # 自动准备环境，下载默认模型（0.5 GB），然后打开聊天
$ make test     # 自动准备环境，运行全部测试
```

只需要 Python 3.11 或更新的版本，以及 `make`。没有终端时（`make run < /dev/null | cat`），第一条命令改为演示主要功能：
为中英文文章各写一份摘要，判断两句话的情感，回答一个问题。

手动安装时请使用独立环境（内部的包名是 `engine` 和 `tui`，不要与别的项目混装）：

```console
$ pipx install .          # 或者：uv tool install .
$ llm models pull         # 默认模型；llm models list --all 列出其他模型
```

> **已经有另一个叫 `llm` 的程序？** simonw/llm 安装的也是这个命令。`local-llm` 是本程序的第二个名字。
"""


@pytest.mark.weights
def test_the_instruction_is_no_summary(taught_session: Session) -> None:
    sampling = SamplingConfig(max_tokens=300, repetition_penalty=1.1)
    ((_, row),) = summarize_rows(taught_session, [COMMANDS], sampling=sampling)
    chunks, read = run(taught_session, COMMANDS, sampling)
    summary = "".join(chunk.text for chunk in chunks).strip()
    assert read.complete
    assert summary == row
    assert len(summary) > 10
    assert "概括" not in summary
    assert chunks[-1].finish_reason
    assert not any(chunk.finish_reason for chunk in chunks[:-1])


@pytest.mark.weights
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_medium_summary_is_a_paragraph(taught_session: Session, language: Language) -> None:
    text = texts.read("evaluation", language)
    chunks, read = run(taught_session, text, SamplingConfig(max_tokens=500, repetition_penalty=1.1))
    summary = "".join(chunk.text for chunk in chunks).strip()
    assert read.complete
    told = [sentence.strip() for sentence in sentences(summary)]
    assert len(told) >= 3, summary
    assert len(set(told)) == len(told), summary
    assert words_in(summary) >= 0.6 * Length.parse("medium", text).target, summary
