"""`llm history` and the line chat that fills it, as real processes with a tiny model."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import toy_checkpoints
from cli_process import COMMAND, ROOT, environment
from cli_process import llm as run

from engine.library import Library
from tui.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = ("--max-tokens", "6")


@pytest.fixture
def home(tiny_model_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A home of its own with the tiny model."""
    place = tmp_path / "home"
    place.mkdir()
    shutil.copytree(tiny_model_home / "models", place / "models")
    return place


def llm(home: Path, *arguments: str, stdin: bytes | int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    done = run(home, *arguments, stdin=stdin)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def chat(home: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return llm(home, "chat", *SMALL, *arguments, stdin=text.encode())


def kept(home: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(llm(home, "history", "list", "--json").stdout)
    return rows


def test_a_chat_is_kept_found_resumed_exported_and_deleted(home: Path, tmp_path: Path) -> None:
    assert chat(home, "锂电池为什么鼓包？\nand lithium?\n").returncode == 0
    (first,) = kept(home)
    assert first["title"] == "锂电池为什么鼓包？"
    assert first["messages"] == 4
    number = str(first["id"])
    found = llm(home, "history", "search", "电池")
    assert found.returncode == 0
    assert "锂电池为什么鼓包？" in found.stdout
    nothing = llm(home, "history", "search", "zebra")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "nothing was found\n")
    resumed = chat(home, "third question\n", "-c")
    assert "resumed" in resumed.stderr
    (again,) = kept(home)
    assert (str(again["id"]), again["messages"]) == (number, 6)
    shown = llm(home, "history", "show", number).stdout
    assert shown.index("and lithium?") < shown.index("third question")
    target = tmp_path / "all.json"
    assert llm(home, "history", "export", "-o", str(target)).returncode == 0
    assert llm(home, "history", "import", str(target)).returncode == 0
    assert len(kept(home)) == 2
    written = run(home, "history", "export", number, "-o", "./-", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, b"")
    assert (tmp_path / "-").read_text().startswith("# 锂电池"), "a file, where - alone is stdout"
    assert llm(home, "history", "export", number, "-o", "-").stdout == (tmp_path / "-").read_text()
    refused = llm(home, "history", "rm", number)
    assert (refused.returncode, len(kept(home))) == (2, 2)
    assert llm(home, "history", "rm", "--all", "--yes").returncode == 0
    assert kept(home) == []
    assert "lithium" not in b"".join(path.read_bytes() for path in home.glob("app.db*")).decode("latin-1")


def test_a_conversation_is_found_by_a_title_that_its_messages_do_not_say(home: Path) -> None:
    chat(home, "what grows in the shade?\n")
    chat(home, "My garden plan is late.\n")
    number = str(kept(home)[-1]["id"])
    assert llm(home, "history", "rename", number, "Garden plan").returncode == 0
    hits = json.loads(llm(home, "history", "search", " garden  plan", "--json").stdout)
    assert [hit["title"] for hit in hits] == ["My garden plan is late.", "Garden plan"], "said first, then named"
    assert (hits[1]["role"], hits[1]["excerpt"]) == ("user", "what grows in the shade?")
    assert llm(home, "history", "search", "Garden plan", "-n", "1").stdout.count("\n") == 2


def test_an_export_in_another_encoding_comes_in_through_a_pipe(home: Path) -> None:
    turns = '{"format": 1, "messages": [{"role": "user", "content": "为什么？"}]}'
    text = f'[{turns}, {{"mapping": {{}}}}]'
    done = llm(home, "history", "import", "-", "--encoding", "gb18030", stdin=text.encode("gb18030"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[1:] == ["left out 1 conversation without a message"]
    assert [each["title"] for each in kept(home)] == ["为什么？"]


def test_undo_regen_and_edit_leave_siblings(home: Path) -> None:
    chat(home, "one\n/regen\ntwo\n/undo\n/edit uno\n")
    (conversation,) = kept(home)
    everything = json.loads(llm(home, "history", "show", str(conversation["id"]), "--all", "--json").stdout)
    questions = [row["text"] for row in everything["messages"] if row["role"] == "user"]
    assert questions == ["one", "two", "uno"]
    answers = [row for row in everything["messages"] if row["role"] == "assistant"]
    assert len(answers) == 4
    shown = json.loads(llm(home, "history", "show", str(conversation["id"]), "--json").stdout)["messages"]
    assert [row["text"] for row in shown if row["role"] == "user"] == ["uno"]


def test_documents_are_kept_apart_from_the_question(home: Path, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("blue notes")
    chat(home, "what colour?\n", "-f", str(tmp_path / "n.txt"))
    (conversation,) = kept(home)
    (question, _) = json.loads(llm(home, "history", "show", str(conversation["id"]), "--json").stdout)["messages"]
    assert question["text"] == "what colour?"
    assert question["documents"][0]["text"] == "blue notes"


def test_another_question_about_the_same_document_and_another_system_prompt_are_kept(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "n.txt").write_text("blue notes")
    chat(home, "what colour?\n/system be brief\n/edit which colour?\n", "-f", str(tmp_path / "n.txt"))
    (conversation,) = kept(home)
    found = json.loads(llm(home, "history", "show", str(conversation["id"]), "--json").stdout)
    assert found["system"] == "be brief"
    assert found["messages"][0]["text"] == "which colour?"
    assert found["messages"][0]["documents"][0]["text"] == "blue notes"


def test_replay_says_identical_and_where_it_is_not(home: Path) -> None:
    chat(home, "say something\nand more\n")
    (conversation,) = kept(home)
    number = str(conversation["id"])
    same = llm(home, "history", "replay", number)
    assert (same.returncode, same.stdout.count("identical, 6 tokens")) == (0, 2)
    with Store(home / "app.db") as store:
        answer = store.shown(int(number))[1]
        ids = (*answer.ids[:3], answer.ids[3] + 1, *answer.ids[4:])
        store.finish(answer.id, answer.text, "length", facts=answer.facts, ids=ids)
    other = llm(home, "history", "replay", number, "--json")
    assert other.returncode == 1
    assert json.loads(other.stdout)["answers"][0]["differs_at"] == 3


def test_replay_sees_an_end_that_came_later_and_another_device(home: Path) -> None:
    chat(home, "say something\n")
    with Store(home / "app.db") as store:
        (conversation,) = store.recent()
        answer = store.shown(conversation.id)[1]
        facts = answer.facts | {"device": "cuda"}
        store.finish(answer.id, answer.text, "stop", facts=facts, ids=answer.ids[:4])
    done = llm(home, "history", "replay", str(conversation.id))
    assert (done.returncode, "differs at token 4 of 4; the device changed since" in done.stdout) == (1, True)
    for kernel, what in ((answer.facts["kernel"], "设备和模型"), ("other", "设备和计算核心")):
        with Store(home / "app.db") as store:
            given = facts | {"kernel": kernel, "identity": "another"}
            store.finish(answer.id, answer.text, "stop", facts=given, ids=answer.ids[:4])
        said = run(home, "history", "replay", str(conversation.id), env={"LANG": "zh_CN.UTF-8"}).stdout.decode()
        assert said.strip() == f"{answer.id}  从第 4 个词元起不同（共 4 个）；{what}已有变化"
    with Store(home / "app.db") as store:
        store.finish(answer.id, answer.text, "stopped", facts=answer.facts, ids=answer.ids[:4])
    done = llm(home, "history", "replay", str(conversation.id))
    assert (done.returncode, "identical, 4 tokens" in done.stdout) == (0, True)


def test_no_save_keeps_nothing_and_the_setting_too(home: Path) -> None:
    chat(home, "secret\n", "--no-save")
    assert not (home / "app.db").exists()
    llm(home, "config", "set", "history", "false")
    chat(home, "secret\n")
    assert not (home / "app.db").exists()
    assert chat(home, "x\n", "--no-save", "-c").returncode == 2


def test_nothing_to_resume_is_said_before_a_model_is_loaded(home: Path) -> None:
    done = chat(home, "x\n", "-c")
    assert done.returncode == 2
    assert "no conversation is kept yet" in done.stderr
    assert chat(home, "x\n", "--id", "99").returncode == 2
    assert chat(home, "x\n", "-c", "99").returncode == 2


def test_a_conversation_is_gone_on_with_by_its_number(home: Path) -> None:
    chat(home, "one\n")
    chat(home, "other\n")
    first = min(row["id"] for row in kept(home))
    assert chat(home, "two\n", "-c", str(first)).returncode == 0
    assert [row["messages"] for row in sorted(kept(home), key=lambda row: row["id"])] == [4, 2]
    alone = chat(home, "x\n", str(first))
    assert (alone.returncode, f"chat -c {first}" in alone.stderr) == (2, True)
    assert chat(home, "x\n", "-c", str(first), "--id", str(first + 1)).returncode == 2


def test_renaming_and_pinning_answer_in_json(home: Path) -> None:
    chat(home, "one\n")
    (row,) = kept(home)
    renamed = llm(home, "history", "rename", str(row["id"]), " New  title ", "--json")
    assert json.loads(renamed.stdout) == row | {"title": "New title", "named": True}
    pinned = llm(home, "history", "pin", str(row["id"]), "--json")
    assert json.loads(pinned.stdout)["pinned"] is True
    assert json.loads(llm(home, "history", "pin", str(row["id"]), "--off", "--json").stdout)["pinned"] is False


def test_meaning_finds_what_was_said_most_alike(home: Path) -> None:
    chat(home, "the cat sat on the mat\n")
    chat(home, "12345 67890\n")
    done = llm(home, "history", "search", "the cat sat on the mat", "--meaning", "--json")
    assert done.returncode == 0
    hits = json.loads(done.stdout)
    assert hits[0]["excerpt"] == "the cat sat on the mat"
    assert all(a["score"] >= b["score"] for a, b in itertools.pairwise(hits))


def test_a_question_that_was_taken_back_gives_no_title(home: Path) -> None:
    done = chat(home, f"{'much too long ' * 1500}\nhello\n")
    assert (done.returncode, "make room" in done.stderr) == (6, True)
    assert [(row["id"], row["title"]) for row in kept(home)] == [(2, "hello")]


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
@pytest.mark.parametrize(("sent", "end"), [(signal.SIGKILL, None), (signal.SIGTERM, "stopped")])
def test_a_killed_chat_is_there_up_to_the_last_second(home: Path, sent: signal.Signals, end: str | None) -> None:
    process = subprocess.Popen(
        [*COMMAND, "chat", "--max-tokens", "100000"], env=environment(home), cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdin.write("tell me everything\n")
    process.stdin.flush()
    process.stdout.read(20)
    process.send_signal(sent)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    (conversation,) = kept(home)
    question, answer = json.loads(llm(home, "history", "show", str(conversation["id"]), "--json").stdout)["messages"]
    assert question["text"] == "tell me everything"
    assert answer["text"]
    assert answer["finish"] == end
    assert chat(home, "go on\n", "-c").returncode == 0


def test_the_history_is_quick_and_loads_nothing_heavy(home: Path) -> None:
    probe = (
        "import sys; sys.argv[0] = 'llm'\nfrom tui.cli.main import run\nrun(['history', 'list'])\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'torch', 'textual', 'numpy', 'sentencepiece'}))\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", probe], env=environment(home), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_conversation_goes_on_with_the_model_that_wrote_it(home: Path, tmp_path: Path) -> None:
    library = Library(home / "models", home / "cache")
    library.import_path(toy_checkpoints.write_chat_model(tmp_path / "toy"), "other")
    assert library.default == "tiny"

    def writers() -> list[str]:
        (row,) = kept(home)
        with Store(home / "app.db") as store:
            return [entry.facts["model"] for entry in store.shown(row["id"]) if entry.role == "assistant"]

    chat(home, "one\n", "-m", "other")
    assert chat(home, "two\n", "-c").returncode == 0
    assert writers() == ["other", "other"]
    assert chat(home, "three\n", "-c", "-m", "tiny").returncode == 0
    assert chat(home, "four\n", "-c").returncode == 0
    assert writers() == ["other", "other", "tiny", "tiny"]
    chat(home, "five\n", "-c", "-m", "other")
    assert llm(home, "models", "rm", "other", "--yes").returncode == 0
    done = chat(home, "six\n", "-c")
    assert "other wrote it and is not installed: tiny goes on" in done.stderr
    assert writers()[-2:] == ["other", "tiny"]


def test_tab_names_conversations_and_is_silent_where_they_can_not_be_read(home: Path) -> None:
    def tab() -> tuple[int, str, str]:
        typed = {"_LLM_COMPLETE": "complete_bash", "COMP_WORDS": "llm history show ", "COMP_CWORD": "3"}
        done = run(home, env=typed)
        return done.returncode, done.stdout.decode().strip(), done.stderr.decode()

    with Store(home / "app.db") as store:
        store.add(store.create("bees"), None, "user", "bees")
    assert tab() == (0, "1", "")
    (home / "app.db").write_bytes(b"no database at all")
    assert tab() == (0, "", "")


ZSH = """
_arguments() { spec=${1#*((}; spec=${spec%))}; eval "offered=( $spec )"; printf '%s\\n' "${offered[@]}"; }
eval $1
"""
"""What Zsh does with what Tab offers, as far as titles go: it evaluates it, and what is in the brackets once more."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
def test_a_title_runs_no_command_when_tab_shows_it(home: Path) -> None:
    titles = (
        r"a \$(touch ran) b", r'a \" $(touch ran) "', r"a \'; touch ran; \'", r"a \`touch ran\`", 'it\'s "fine": $HOME',
        "a [/b] [red]c",
    )  # fmt: skip
    with Store(home / "app.db") as store:
        for title in titles:
            store.add(store.create(title), None, "user", "?")
    done = run(home, env={"_LLM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "llm history show "})
    assert (done.returncode, done.stderr) == (0, b"")
    shell = ["bash", "-c", ZSH, "zsh", done.stdout.decode()]
    offered = subprocess.run(shell, cwd=home, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition(":")[0] for line in offered] == ["6", "5", "4", "3", "2", "1"]
    assert not (home / "ran").exists()
