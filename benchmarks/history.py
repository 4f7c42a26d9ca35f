"""How long the history takes with 10,000 conversations of 20 messages: opening, listing, searching, resuming.

    python -m benchmarks.history [--conversations N] [--messages N]

Writes a store of random sentences in both languages into a temporary folder; prints medians over several tries.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.speed.machine import this_machine
from engine.words import spaced
from tui.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

ENGLISH = [
    "river", "stone", "window", "letter", "garden", "market", "engine", "morning", "yellow", "quiet", "signal", "paper",
]  # fmt: skip
CHINESE = ["我们", "今天", "电池", "火车", "天气", "历史", "学习", "春天", "编程", "问题", "城市", "音乐"]
TRIES = 9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "app.db")
        begun = time.perf_counter()
        fill(path, arguments.conversations, arguments.messages)
        print(f"{arguments.conversations} conversations of {arguments.messages} messages, {this_machine()}")
        print(f"written in {time.perf_counter() - begun:.0f} s, {path.stat().st_size / 1e6:.0f} MB\n")
        print("| | median, ms | slowest, ms |\n|---|--:|--:|")
        for name, work in jobs(path).items():
            row(name, work)


def jobs(path: Path) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    store = Store(path)
    middle = store.recent(200)[-1]
    number = middle.id
    return {
        "open and list the newest 50": lambda: opened(path),
        "the next 50 of a list": lambda: store.recent(50, after=middle),
        "search a word that few messages have": lambda: store.search("needle"),
        "search a common word": lambda: store.search("garden"),
        "search two Chinese words": lambda: store.search("电池 火车"),
        "search while typing": lambda: store.search("nee"),
        "load one conversation": lambda: store.messages(number),
        "add a question": lambda: store.add(number, None, "user", "one more question"),
    }


def opened(path: Path) -> None:
    with Store(path) as store:
        store.recent(50)


def row(name: str, work: Callable[[], object]) -> None:
    times = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    print(f"| {name} | {statistics.median(times):.1f} | {max(times):.1f} |")


def fill(path: Path, conversations: int, messages: int) -> None:
    """The same rows that `Store.add` writes, a conversation a transaction."""
    draw = random.Random(0)
    with Store(path) as store:
        database = store._db
        at = 1.7e9
        for number in range(conversations):
            conversation = store.create(sentence(draw, 4), at=at)
            database.execute("BEGIN")
            parent = None
            for turn in range(messages):
                text = sentence(draw, 20) + (" needle" if number % 500 == 0 and turn == 3 else "")
                role = "assistant" if turn % 2 else "user"
                added = database.execute(
                    "INSERT INTO messages (conversation, parent, role, text, finish, indexed, created, updated) "
                    "VALUES (?, ?, ?, ?, 'stop', 1, ?, ?)",
                    (conversation, parent, role, text, at, at),
                ).lastrowid
                database.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (added, spaced(text)))
                table, where = ("messages", parent) if parent else ("conversations", conversation)
                database.execute(f"UPDATE {table} SET chosen = ? WHERE id = ?", (added, where))
                parent = added
                at += 60
            database.execute(
                "UPDATE conversations SET messages = ?, updated = ? WHERE id = ?", (messages, at, conversation)
            )
            database.execute("COMMIT")


def sentence(draw: random.Random, length: int) -> str:
    words = CHINESE if draw.random() < 0.5 else ENGLISH
    return ("" if words is CHINESE else " ").join(draw.choices(words, k=length))


if __name__ == "__main__":
    main()
