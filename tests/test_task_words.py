"""Tasks by a word with a slash: what stands after it, in the app and in the line chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app_pilot import Hold, make_app, running, say, settled, wait_until
from cli_process import llm

from engine.schema import Document
from tui import commands
from tui.files import is_file, read_file
from tui.screens.files import FilesScreen
from tui.strings import Strings
from tui.talk import Turn
from tui.task_words import WORDS, Given, asked_of, document_of, given, line_of
from tui.widgets.attachments import Attachments

if TYPE_CHECKING:
    from pathlib import Path

    from app_pilot import LlmApp
    from textual.pilot import Pilot

    from engine.schema import Language
    from tui.task_words import TaskKind

TEXT = "The meeting was moved to Tuesday at three."


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", Given()),
        ("short", Given("short")),
        ("20% notes.txt", Given("20%", path="notes.txt")),
        ("@notes.txt", Given(path="notes.txt")),
        ("a file.txt", Given(path="a file.txt")),
        ("reprt.txt", Given(path="reprt.txt")),
        ("~/far/away", Given(path="~/far/away")),
        ("short stories are short.", Given("short", text="stories are short.")),
        ("shortly after", Given(text="shortly after")),
        ("Hello there.", Given(text="Hello there.")),
        ("Hello.", Given(text="Hello.")),
        ("他/她来了。", Given(text="他/她来了。")),
        ("notes.txt\nsays this", Given(text="notes.txt\nsays this")),
        ("x" * 5000, Given(text="x" * 5000)),
    ],
)
def test_what_stands_after_the_word(
    rest: str, expected: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    assert given("summarize", rest) == expected


def test_only_a_summary_has_a_length() -> None:
    assert given("translate", "short and sweet") == Given(text="short and sweet")


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "~nobody-of-this-name/x", ""])
def test_a_text_that_can_be_no_file_is_none(name: str) -> None:
    assert not is_file(name)


def test_several_lines_belong_to_a_word_that_takes_a_text() -> None:
    for word in commands.words():
        name, found = commands.find(word).name, commands.parse(f"{word}\nOne.\nTwo.\n")
        assert (found and (found[0].name, found[1])) == ((name, "One.\nTwo.") if name in WORDS else None)
    assert commands.parse("/usr/bin\n/usr/lib") is None


@pytest.mark.parametrize(
    ("question", "line"),
    [
        (Turn("user", "why?"), "why?"),
        (Turn("user", "/usr is full"), "//usr is full"),
        (Turn("user", "About a.txt: why?", task=("ask", "a.txt", "why?")), "@a.txt why?"),
        (Turn("user", "Summarize a.txt", task=("summarize", "a.txt", "short")), "/summarize short a.txt"),
        (Turn("user", "Judge this text\n\nGood.\n\nBad.", task=("judge", "", "")), "/sentiment Good.\n\nBad."),
        (Turn("user", "Translate a", task=("translate", "", ""), documents=(("a", "text"),)), "/translate"),
    ],
)
def test_a_question_goes_back_to_the_line_that_asked_it(question: Turn, line: str) -> None:
    assert line_of(question) == line
    if question.task and question.task[0] != "ask":
        found = commands.parse(line)
        assert found
        kind = WORDS[found[0].name]
        _, path, argument = question.task
        text = "" if path or question.documents else document_of(question, read_file).text
        assert (kind, given(kind, found[1])) == (question.task[0], Given(argument, path, text))


@pytest.mark.parametrize("kind", ["summarize", "translate", "judge"])
def test_what_a_task_is_about_is_its_file_as_it_is_now_else_what_was_given_else_the_text(
    kind: TaskKind, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("now")
    given_too = (("b.txt", "given"), ("c.txt", "more"))
    text = asked_of(kind, "One.\n\nTwo.", "short", Strings("en"))
    found = [
        document_of(Turn("user", text, task=(kind, path, "short"), documents=documents), read_file)
        for path, documents in ((str(tmp_path / "a.txt"), given_too), ("", given_too), ("", ()))
    ]
    assert [(document.name, document.text) for document in found] == [
        (str(tmp_path / "a.txt"), "now"),
        ("b.txt", "given"),
        ("text", "One.\n\nTwo."),
    ]


def told(app: LlmApp) -> str:
    return " ".join(note.message for note in app._notifications)


async def answered(pilot: Pilot[int], app: LlmApp) -> None:
    await wait_until(pilot, lambda: len(app.chat.talk.path) == 2, "the question")
    await settled(pilot)


@pytest.mark.parametrize(("language", "asked"), [("en", "Summarize this text (medium)"), ("zh", "概括 以下文字（中）")])
async def test_a_text_after_the_word_is_summarized(tiny_model_home: Path, language: Language, asked: str) -> None:
    app = make_app(tiny_model_home, language)
    async with running(app) as pilot:
        await say(pilot, f"/summarize {TEXT}")
        await answered(pilot, app)
        question, answer = app.chat.talk.path
        assert question.text == f"{asked}\n\n{TEXT}"
        assert answer.text == TEXT  # there is nothing to leave out
        await app.chat.obey("/regen")
        await wait_until(pilot, lambda: len(question.children) == 2, "another")
        await settled(pilot)
        assert app.chat.talk.tip.text == TEXT


@pytest.mark.parametrize("word", sorted(WORDS))
async def test_a_task_by_its_word_takes_the_attached_file(tiny_model_home: Path, tmp_path: Path, word: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"{TEXT}\nIt was bad.\n", "utf-8")
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        app.chat.attach(str(path))
        await say(pilot, f"/{word}")
        await answered(pilot, app)
        question, answer = app.chat.talk.path
        assert question.task is not None
        assert question.task[:2] == (WORDS[word], str(path))
        assert "notes.txt" in question.text
        assert answer.finish == "stop"
        assert answer.text
        assert not app.chat.pending
        assert not app.chat.query_one(Attachments).display


async def test_without_anything_a_file_is_chosen_and_two_are_too_many(tiny_model_home: Path, tmp_path: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app, (100, 30)) as pilot:
        await say(pilot, "/translate")
        await wait_until(pilot, lambda: isinstance(app.screen, FilesScreen), "the files")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat, "the chat")
        app.chat.pending = [Document(name, "text") for name in ("a", "b")]
        await say(pilot, "/translate")
        await wait_until(pilot, lambda: "2 files are attached" in told(app), "the error")
        assert app.chat.prompt.text == "/translate"
        assert len(app.chat.pending) == 2
        app.chat.prompt.write("")
        await say(pilot, "/sentiment nosuch.txt")
        await wait_until(pilot, lambda: "no such file: nosuch.txt" in told(app), "the other")
        assert not app.chat.talk.path


async def test_a_task_that_is_stopped_at_once_gives_its_line_back(tiny_model_home: Path) -> None:
    line = f"/summarize short {'word ' * 200}".strip()
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        hold = Hold(app)
        await say(pilot, line)
        await wait_until(pilot, lambda: app.chat.answering, "the task")
        assert not app.chat.prompt.text
        assert app.chat.stop()
        hold.stopped.set()
        await settled(pilot)
        assert app.chat.prompt.text == line
        assert not app.chat.talk.path


async def test_a_pasted_word_longer_than_any_name_is_only_asked(tiny_model_home: Path) -> None:
    app = make_app(tiny_model_home)
    async with running(app) as pilot:
        await say(pilot, "what is @" + "a" * 400)
        await answered(pilot, app)
        assert app.is_running


def test_the_line_chat_does_the_same(tiny_model_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(TEXT, "utf-8")
    lines = [f"/summarize {TEXT}", f"/summarize {path}", f"/file {path}", "/summarize short", "/regen", "/context"]
    done = llm(tiny_model_home, "chat", "-m", "tiny", "--no-save", stdin="\n".join(lines).encode())
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert done.stdout.decode().split("\n")[:4] == [TEXT] * 4
    assert said.count("no longer than the summary asked for: given whole") == 4
    assert "6 messages" in said
    none = llm(tiny_model_home, "chat", "-m", "tiny", "--no-save", stdin=b"/translate\n/sentiment nosuch.txt\n")
    assert none.returncode == 6
    assert "/translate needs a file or a text, got none" in none.stderr.decode()
    assert "no such file: nosuch.txt" in none.stderr.decode()
