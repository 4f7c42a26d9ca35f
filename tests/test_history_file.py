"""The history as a command opens it: what is too old goes, and which conversation and which model are meant."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cli_process import llm, told

from engine.errors import UsageError
from tui.cli.history_file import chosen, complete_ids, model_of, open_history, take_its_model
from tui.cli.opening import Run
from tui.cli.options import Options
from tui.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def begin(store: Store, title: str, at: float) -> int:
    conversation = store.create(title, model="first", at=at)
    store.add(conversation, None, "user", title, at=at)
    return conversation


def test_what_is_older_than_the_setting_says_goes_when_the_history_is_opened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Run(Options()).places.history
    with Store(path) as store:
        old, fresh = (begin(store, title, time.time() - days * 86400) for title, days in (("Xylophon", 31), ("b", 29)))
    with open_history(Run(Options(verbose=True))) as store:
        assert {kept.id for kept in store.recent()} == {old, fresh}
    monkeypatch.setenv("LOCAL_LLM_HISTORY_DAYS", "30")
    for said in ("forgot 1 conversation unchanged for 30 days\n", ""):
        with open_history(Run(Options(verbose=True))) as store:
            assert [kept.id for kept in store.recent()] == [fresh]
        assert capsys.readouterr().err == said
    assert not [file for file in path.parent.iterdir() if file.is_file() and b"ylophon" in file.read_bytes()]


def test_a_conversation_is_gone_on_with_where_it_is_asked_for(store: Store) -> None:
    assert chosen(None, resume=False, number=None) is None
    with pytest.raises(UsageError, match="no conversation is kept yet"):
        chosen(store, resume=True, number=None)
    first, second = (begin(store, title, at) for title, at in (("a", 2.0), ("b", 1.0)))
    assert chosen(store, resume=False, number=None) is None
    assert chosen(store, resume=True, number=None) == first
    assert chosen(store, resume=False, number=second) == second
    with pytest.raises(UsageError, match=f"no conversation {second + 1}"):
        chosen(store, resume=False, number=second + 1)
    for resume, number in ((True, None), (False, first)):
        with pytest.raises(UsageError, match="conversations are not kept"):
            chosen(None, resume=resume, number=number)


def test_its_model_is_that_of_its_last_answer_else_the_one_it_began_with(store: Store) -> None:
    conversation = begin(store, "a", 1.0)
    assert model_of(store.kept(conversation), store.shown(conversation)) == "first"
    at: int | None = store.shown(conversation)[0].id
    for model in ("second", "third", ""):
        at = store.add(conversation, at, "assistant", "!", finish="stop", facts={"model": model} if model else {})
        at = store.add(conversation, at, "user", "?")
    assert model_of(store.kept(conversation), store.shown(conversation)) == "third"


def test_a_conversation_goes_on_with_its_own_model_unless_another_is_named(
    store: Store, tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))
    for model, option, endpoint, gone, goes_on_with in (
        ("tiny", None, "", "", "tiny"),
        ("gone", None, "", "gone", None),
        ("gone", "other", "", "", "other"),
        ("tiny", "other", "", "", "other"),
        ("tiny", None, "http://127.0.0.1:1/v1", "", None),
    ):
        monkeypatch.setenv("LOCAL_LLM_ENDPOINT", endpoint)
        run = Run(Options(model=option))
        assert take_its_model(run, store, store.create("a", model=model)) == gone
        assert run.settings["model"] == goes_on_with


def test_tab_offers_numbers_that_begin_so() -> None:
    assert complete_ids("") == []
    path = Run(Options()).places.history
    assert not path.exists()
    with Store(path) as store:
        for number in range(12):
            begin(store, f"[{number}] a\\b", float(number))
    assert complete_ids("1") == [("12", "(11) a/b"), ("11", "(10) a/b"), ("10", "(9) a/b"), ("1", "(0) a/b")]
    assert len(complete_ids("")) == 12


@pytest.mark.parametrize(("count", "more"), [("1", "5"), ("2", "10"), ("3", None), ("4", None)])
def test_a_list_says_whether_there_are_more(tmp_path: Path, count: str, more: str | None) -> None:
    with Store(tmp_path / "app.db") as store:
        ids = [begin(store, title, at) for title, at in (("a", 3.0), ("b", 2.0), ("c", 1.0))]
        store.pin(ids[2])
    done = llm(tmp_path, "history", "list", "-n", count)
    rows = done.stdout.decode().splitlines()
    assert [(row[0], int(row[1:6]), row[-1]) for row in rows] == [("*", 3, "c"), (" ", 1, "a"), (" ", 2, "b")][
        : int(count)
    ]
    assert told(done) == ([f"there are more: llm history list -n {more}"] if more else [])
