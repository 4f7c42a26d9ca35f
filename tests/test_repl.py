"""The line chat as a person meets it, on a pseudo-terminal, and as a pipe meets it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import COMMAND, ROOT, environment, llm
from rich.cells import cell_len

from engine import catalog
from engine.errors import EngineError
from tui import commands
from tui.cli import slash
from tui.cli.chat import banner
from tui.cli.console import Console
from tui.cli.line_chat import Chat
from tui.cli.opening import Run
from tui.cli.options import Options
from tui.cli.repl import converse
from tui.cli.slash import help_lines
from tui.keeper import Keeper
from tui.talk import Talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.schema import Language
    from engine.session import Session
    from tui.store import Store

pexpect = pytest.importorskip("pexpect", reason="pseudo-terminals are Unix's")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are Unix's")
IDLE = r"\x1b\[\?25h$"  # the cursor is shown again: the prompt waits


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


class Person:
    """Someone at a terminal."""

    def __init__(self, home: Path, *arguments: str, **environ: str) -> None:
        variables = environment(home, {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"} | environ)
        self.terminal: Any = pexpect.spawn(
            sys.executable,
            [*COMMAND[1:], *arguments],
            env=variables,
            cwd=str(ROOT),
            encoding="utf-8",
            dimensions=(24, 100),
            timeout=30,
        )

    def sees(self, pattern: str) -> str:
        self.terminal.expect(pattern)
        return plain(self.terminal.before + self.terminal.after)

    def types(self, text: str) -> None:
        self.terminal.send(text)

    def says(self, line: str, answer: str) -> str:
        self.types(line + "\r")
        seen = self.sees(answer)
        self.sees(IDLE)
        return seen

    def leaves(self) -> int:
        self.terminal.expect(pexpect.EOF)
        self.terminal.close()
        return int(self.terminal.exitstatus)


@pytest.fixture
def person(tiny_model_home: Path) -> Iterator[Person]:
    chat = Person(tiny_model_home, "chat", "--plain", "-m", "tiny", "--max-tokens", "8", "--seed", "1")
    chat.sees("/help lists the words")
    chat.sees(IDLE)
    yield chat
    chat.terminal.close(force=True)


def test_ctrl_d_leaves_with_0_and_the_terminal_is_as_before(person: Person) -> None:
    person.terminal.sendeof()
    assert person.leaves() == 0


def test_ctrl_c_clears_a_typed_line_and_leaves_at_an_empty_one(person: Person) -> None:
    person.types("half a line")
    person.terminal.sendintr()
    person.says("/context", "0 of .* tokens used")
    person.terminal.sendintr()
    assert person.leaves() == 0


def test_a_question_is_answered_and_counted_in_the_context(person: Person) -> None:
    person.says("hello", "tokens; /continue goes on|\n")
    assert "2 messages" in person.says("/context", "messages")
    person.says("/undo", "took back: hello")
    assert "0 messages" in person.says("/context", "messages")


def test_an_unknown_word_is_an_error_and_no_question(person: Person) -> None:
    person.says("/regne", "did you mean /regen")
    assert "0 messages" in person.says("/context", "messages")


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_help_fits_the_terminal_and_names_every_word(columns: int, language: Language) -> None:
    console = Console(language=language)
    lines = help_lines(console, columns)
    assert max(map(cell_len, lines)) < columns
    said = " ".join(" ".join(lines).split())
    assert all(f"{word} " in said for word in commands.words())
    unbroken = said.replace(" ", "")
    assert all(console.said(command.help).replace(" ", "") in unbroken for command in commands.COMMANDS)


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize(
    ("language", "end"), [("en", "/help lists the words · Ctrl-D leaves"), ("zh", "/help 列出命令 · 按 Ctrl-D 离开")]
)
def test_the_banner_fits_the_terminal(columns: int, language: Language, end: str) -> None:
    lines = banner(Console(language=language), "qwen2.5-coder-0.5b-tasks on cpu/x86-avx512", columns).splitlines()
    assert max(map(cell_len, lines[1:] or lines)) < columns
    assert " · ".join(lines).endswith(end)
    assert len(lines) == 1 or columns < 200


def test_tab_completes_words(person: Person) -> None:
    person.types("/conte\t")
    person.types("\r")
    person.sees("tokens used")


def test_a_paste_of_many_lines_is_one_turn_and_is_never_cut(person: Person, tiny_model_home: Path) -> None:
    pasted = "line of a paste\n" * 400
    person.types(f'\x1b[200~"""{pasted}"""\x1b[201~')
    person.types("\r")
    person.sees(r"tokens|room")
    history = (tiny_model_home / "state" / "chat-history").read_text()
    assert history.count("line of a paste") == 400


def test_the_history_of_lines_is_private(person: Person, tiny_model_home: Path) -> None:
    person.says("/context", "tokens used")
    path = tiny_model_home / "state" / "chat-history"
    assert "+/context" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


CTRL_C = "\x03"


class Written:
    """Lines as a person would type them, all known before."""

    def __init__(self, *lines: str, interactive: bool = True) -> None:
        self._left, self.interactive = list(lines), interactive

    def read(self, prompt: str) -> str:
        if not self._left:
            raise EOFError
        if (line := self._left.pop(0)) == CTRL_C:
            raise KeyboardInterrupt
        return line


def a_chat(session: Session, lines: Written, store: Store | None = None) -> Chat:
    return Chat(Run(Options(max_tokens=8)), session, lines, Keeper(store), Talk())


def test_an_answer_that_an_error_ended_is_not_kept_as_a_whole_one(
    tiny_session: Session, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = tiny_session.stream

    def breaks_off(*arguments: Any, **settings: Any) -> Iterator[Any]:
        with contextlib.closing(stream(*arguments, **settings)) as chunks:
            yield next(chunk for chunk in chunks if chunk.text)
            raise EngineError("the server is gone")

    monkeypatch.setattr(tiny_session, "stream", breaks_off)
    converse(a_chat(tiny_session, Written("hello"), store))
    _, answer = store.shown(1)
    assert (bool(answer.text), answer.finish) == (True, "error")


def test_a_question_that_a_history_in_use_refused_moves_none_of_the_others(tiny_session: Session, store: Store) -> None:
    chat = a_chat(tiny_session, Written("one"), store)
    converse(chat)
    store.hurry(0)
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        chat.lines = Written("two")
        converse(chat)
        assert chat.failed
    chat.lines = Written("three")
    converse(chat)
    assert [entry.text for entry in store.shown(1) if entry.role == "user"] == ["one", "three"]


def test_another_system_prompt_is_kept_before_anything_is_asked_with_it(tiny_session: Session, store: Store) -> None:
    converse(a_chat(tiny_session, Written("one", "/system be brief"), store))
    assert store.kept(1).system == "be brief"


def test_ctrl_c_amid_other_work_than_an_answer_ends_that_alone(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(chat: Chat, rest: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(slash._HANDLERS, "compact", interrupted)
    chat = a_chat(tiny_session, Written("/compact", "/system be brief"))
    assert (converse(chat), chat.talk.system) == (0, "be brief")
    with pytest.raises(KeyboardInterrupt):
        converse(a_chat(tiny_session, Written("/compact", interactive=False)))


@pytest.mark.parametrize("start", ["/multi", " /MULTI ", '"""one'])
def test_ctrl_c_amid_several_lines_throws_them_away_and_stays(tiny_session: Session, start: str) -> None:
    chat = a_chat(tiny_session, Written(start, "two", CTRL_C, "/system be brief"))
    assert (converse(chat), chat.talk.system, chat.talk.path) == (0, "be brief", [])


def test_a_document_of_a_question_that_does_not_fit_goes_with_the_next(tiny_session: Session, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The key is under the mat.")
    chat = a_chat(tiny_session, Written(f"/file {tmp_path}/notes.txt", "x" * 20_000, "Where is it?"))
    converse(chat)
    assert chat.failed == 1
    question, _ = chat.talk.path
    assert [text for _, text in question.documents] == ["The key is under the mat."]


def test_a_document_does_not_follow_into_another_conversation(
    tiny_session: Session, tmp_path: Path, store: Store
) -> None:
    (tmp_path / "notes.txt").write_text("The key is under the mat.")
    store.add(store.create("old"), None, "user", "old", finish="stop")
    chat = a_chat(tiny_session, Written(f"/file {tmp_path}/notes.txt", "/load 1"), store)
    converse(chat)
    assert (chat.talk.title, chat.pending) == ("old", [])


def piped(home: Path, *lines: str) -> Any:
    text = "".join(f"{line}\n" for line in lines).encode()
    return llm(home, "chat", "-m", "tiny", "--max-tokens", "6", "--temperature", "0", stdin=text)


def test_without_a_terminal_each_line_is_a_turn_and_no_prompt_is_printed(tiny_model_home: Path) -> None:
    done = piped(tiny_model_home, "hello", "", "//help", "/context")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"> " not in done.stderr
    assert b"4 messages" in done.stderr


def test_another_model_may_chat_than_does_the_rest(tiny_model_home: Path) -> None:
    env = {"LOCAL_LLM_MODEL": "missing", "LOCAL_LLM_CHAT_MODEL": "tiny"}
    short = ("--max-tokens", "6")
    assert llm(tiny_model_home, "chat", *short, stdin=b"hello\n", env=env).returncode == 0
    for words in (["ask", "hello"], ["chat", "-m", "missing"]):
        done = llm(tiny_model_home, *words, *short, stdin=b"hello\n", env=env)
        assert done.returncode == 3
        assert b"missing" in done.stderr


def test_help_names_better_company_than_the_small_default_where_it_is_not_here(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    small = catalog.default_entry().name
    shutil.copytree(tiny_model_home / "models" / "tiny", tmp_path / "models" / small)
    told = f"llm models pull {catalog.COMPANY}".encode()
    assert told in llm(tmp_path, "chat", stdin=b"/help\n").stderr
    shutil.copytree(tmp_path / "models" / small, tmp_path / "models" / catalog.COMPANY)
    assert told not in llm(tmp_path, "chat", stdin=b"/help\n").stderr
    assert told not in piped(tiny_model_home, "/help").stderr


def test_a_wrong_word_in_a_pipe_is_told_and_decides_the_exit_code(tiny_model_home: Path) -> None:
    done = piped(tiny_model_home, "/regne", "hello")
    assert done.returncode == 6
    assert b"did you mean /regen" in done.stderr


def test_several_lines_between_fences_are_one_turn(tiny_model_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    done = piped(tiny_model_home, '"""one', "", 'two"""', "/multi", "three", '"""', f"/export {file}")
    assert done.returncode == 0
    turns = [turn["content"] for turn in json.loads(file.read_text())["messages"] if turn["role"] == "user"]
    assert turns == ["one\n\ntwo", "three"]


def test_a_conversation_is_saved_privately_and_taken_up_again(tiny_model_home: Path) -> None:
    assert piped(tiny_model_home, "hello", "/save first").returncode == 0
    path = tiny_model_home / "chats" / "first.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    done = piped(tiny_model_home, "/load", "/load first", "/context")
    assert done.returncode == 0
    assert b"first" in done.stderr
    assert b"2 messages" in done.stderr


def test_regen_edit_and_continue_keep_turns_alternating(tiny_model_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    done = piped(tiny_model_home, "hello", "/regen", "/continue", "/edit goodbye", "again", f"/export {file}")
    assert done.returncode == 0, done.stderr
    turns = [(turn["role"], turn["content"]) for turn in json.loads(file.read_text())["messages"]]
    assert [role for role, _ in turns] == ["user", "assistant", "user", "assistant"]
    assert (turns[0][1], turns[2][1]) == ("goodbye", "again")


def test_settings_of_the_chat_are_changed_and_checked(tiny_model_home: Path) -> None:
    words = ("top-k 5", "repeat_penalty 1.2", "markdown off", "", "stop END", "temperature hot", "model x")
    done = piped(tiny_model_home, *(f"/set {word}" for word in words), "/system be brief")
    assert done.returncode == 6
    text = done.stderr.decode()
    for said in (
        "repeat_penalty = 1.2",
        "markdown = false",
        "seed = none",
        "stop = none",
        "stop = 'END'",
        "top_p = 0.9",
    ):
        assert said in text.splitlines()
    assert "top_k = 5" in text
    assert "system prompt: be brief" in text
    assert "temperature expects a number" in text
    assert "can't change model" in text


def test_figures_that_are_turned_off_are_not_told(tiny_model_home: Path) -> None:
    done = piped(tiny_model_home, "One", "/stats off", "Two", "/stats on")
    assert done.returncode == 0
    text = done.stderr.decode()
    assert "stats = false" in text.splitlines()
    assert text.count("first token") == 1


def test_figures_that_are_turned_on_before_any_answer_are_said_to_be(tiny_model_home: Path) -> None:
    told = piped(tiny_model_home, "/stats on", "/stats").stderr.decode().splitlines()
    assert told == ["stats = true", "no answer yet"]


def test_a_document_goes_with_the_next_question(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The key is under the mat.")
    file = tmp_path / "chat.json"
    done = piped(tiny_model_home, f"/file {tmp_path}/notes.txt", "where?", f"/export {file}", "/file none.txt")
    assert b"given with the next question" in done.stderr
    assert b"no such file: none.txt" in done.stderr
    assert "under the mat" in json.loads(file.read_text())["messages"][0]["content"]


def test_what_is_typed_during_an_answer_waits_for_the_prompt_and_then_runs(tiny_model_home: Path) -> None:
    """The terminal used to echo it into the answer and to hand Enter on as a newline of a longer turn."""
    chat = Person(tiny_model_home, "chat", "-m", "tiny", "--max-tokens", "400", "--seed", "1", "--raw")
    chat.sees("/help lists the words")
    chat.sees(IDLE)
    chat.types("hello\r")
    chat.sees(r"hello[\s\S]*?\n")  # the editor has let go of the line: from here on the answer streams
    chat.types("/context\r")
    assert "/context" not in chat.sees("cut at 400 tokens")
    assert "2 messages" in chat.sees("messages")
    chat.sees(IDLE)
    chat.terminal.sendeof()
    assert chat.leaves() == 0
