"""The real program with the real default weights in a terminal of two sizes: everything that a day with it needs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

if os.name != "posix":
    pytest.skip("pseudo-terminals are Unix's", allow_module_level=True)
pytest.importorskip("pexpect")

from terminal import Terminal

from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.weights, pytest.mark.timeout(1800)]


class Chat(Terminal):
    """A person who waits for answers."""

    def says(self, text: str) -> None:
        self.types(text)
        self.sees(text[-8:])
        self.press("enter")

    def goes_to_the_last_message(self) -> None:
        while "y copy" not in self.keys:
            self.press("escape")  # just after an answer's end it is taken for a late stop
            for _ in range(20):
                self.pump()
        self.press("G")

    def has_its_answer(self) -> None:
        """Nothing is being written, and the title, if one is due, has been written too."""
        self.sees(lambda: "qwen2.5-coder-0.5b-instruct · cpu" in self.status)

    @property
    def keys(self) -> str:
        return self.screen.text.splitlines()[-1]

    @property
    def status(self) -> str:
        return self.screen.text.splitlines()[-2]


@pytest.fixture
def home(default_model: Path, tiny_model_home: Path, tmp_path: Path) -> Path:
    """The default model and another, smaller one."""
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    for folder in (default_model, tiny_model_home / "models" / "tiny"):
        (models / folder.name).symlink_to(folder, target_is_directory=True)
    return models.parent


def asks_in_chinese(chat: Chat) -> None:
    chat.says("什么是人工智能？")
    chat.sees("· 24 tok ·")
    chat.sees("cut: Esc o goes on")
    assert "人工智能" in chat.screen.text
    chat.has_its_answer()


def stops(chat: Chat) -> None:
    chat.says("/set max_tokens 600")
    chat.sees("max_tokens = 600")
    chat.screen.frames.clear()
    chat.says("请写一个很长的故事。")
    chat.sees("tok/s · Esc stops")
    for _ in range(40):
        chat.pump()
    before = time.monotonic()
    chat.press("escape")
    chat.sees("stopped: Esc o goes on")
    assert time.monotonic() - before < 5
    assert chat.screen.clears == 0
    assert chat.screen.frames
    assert all(frame.startswith(" ◆") for frame in chat.screen.frames)  # nothing was ever blank
    chat.has_its_answer()


def edits_and_walks_back(chat: Chat) -> None:
    chat.says("/set max_tokens 8")
    chat.sees("max_tokens = 8")
    chat.goes_to_the_last_message()
    chat.press("k", "e")
    chat.sees("Edit the question")
    chat.types("只要一句。")
    chat.sees("只要一句。")
    chat.press("ctrl+s")
    chat.sees("‹ 2/2 ›")
    chat.sees("· 8 tok ·")
    chat.has_its_answer()
    chat.goes_to_the_last_message()
    chat.press("k", "left")  # the version before, with what was said until the stop
    chat.sees("‹ 1/2 ›")
    chat.sees("stopped: Esc o goes on")


def forks(chat: Chat) -> None:
    chat.goes_to_the_last_message()
    chat.press("g", "j", "f")
    chat.sees_no("‹ 1/2 ›")  # the path ends here
    chat.says("举一个例子。")
    chat.sees("‹ 3/3 ›")
    chat.sees("· 8 tok ·")
    chat.has_its_answer()


def searches_the_history(chat: Chat) -> None:
    chat.press("ctrl+n")
    chat.sees("Everything stays on this machine.")
    chat.press("ctrl+r")
    chat.sees("Conversations")
    chat.types("例子")
    chat.sees("举一个例子。")
    chat.press("enter")
    chat.sees("‹ 3/3 ›")


def changes_the_model(chat: Chat) -> None:
    chat.press("f3")
    chat.sees("in use")
    chat.types("tiny")
    chat.sees_no("qwen2.5-coder-1.5b")
    chat.press("enter")
    chat.sees(lambda: "tiny · cpu" in chat.status)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
def test_a_day_with_the_app(home: Path, size: tuple[int, int]) -> None:
    options = ("chat", "--lang", "en", "--device", "cpu", "--temperature", "0", "--max-tokens")
    cores = str(os.cpu_count() or 1)
    chat = Chat(home, *options, "24", size=size, OMP_NUM_THREADS=cores)
    chat.sees("Everything stays on this machine.")
    chat.has_its_answer()
    for step in (asks_in_chinese, stops, edits_and_walks_back, forks, searches_the_history, changes_the_model):
        step(chat)
    chat.press("ctrl+q")
    assert chat.leaves() == 0  # and the terminal is as it was

    again = Chat(home, *options, "8", "-c", size=size, OMP_NUM_THREADS=cores)
    again.sees("举一个例子。")
    again.sees("‹ 3/3 ›")
    again.has_its_answer()
    again.press("ctrl+q")
    assert again.leaves() == 0

    with Store(home / "app.db") as store:  # nothing is lost
        (kept,) = store.recent()
        entries = store.messages(kept.id)
    questions = [entry.text for entry in entries if entry.role == "user"]
    assert questions == ["什么是人工智能？", "请写一个很长的故事。", "请写一个很长的故事。只要一句。", "举一个例子。"]
    finishes = [entry.finish for entry in entries if entry.role == "assistant"]
    assert finishes[:2] == ["length", "stopped"]
    assert all(entry.text for entry in entries)
    assert kept.named
