"""Rows of an output file are gone on with by the same settings alone, and by one run at a time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from engine.errors import InputError, UsageError
from tui.cli.row_settings import alone_with, check, remember
from tui.paths import places

if TYPE_CHECKING:
    from pathlib import Path

ASKED = {"--labels": ["a", "b"], "the model": "tiny"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out.jsonl"
    path.touch()
    remember(path, ASKED)
    return path


def test_what_was_made_with_the_same_is_gone_on_with(out: Path) -> None:
    check(out, dict(reversed(ASKED.items())))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"--labels": ["b", "a"]}, "--labels"),
        ({"--system": "x"}, "--system"),
        ({"--labels": None, "the model": "other"}, "--labels, the model"),
    ],
)
def test_what_was_made_with_something_else_is_not_and_it_is_named(
    out: Path, change: dict[str, object], named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check(out, {**ASKED, **change})
    assert caught.value.message == f"{out} was made with another {named}"
    with pytest.raises(UsageError, match="another the model"):
        check(out, {"--labels": ["a", "b"]})


def test_of_another_file_in_its_place_nothing_is_known(out: Path) -> None:
    other = out.with_name("other")
    other.touch()
    other.replace(out)  # while the first is there, none gets its number
    check(out, {"--labels": "c"})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"file": 1}', "[" * 99])
def test_what_can_not_be_read_is_not_known(out: Path, text: str) -> None:
    (kept,) = (places().state / "locks").glob("*.json")
    assert b"tiny" not in kept.read_bytes(), "what may be private is kept as its digest"
    kept.write_text(text)
    check(out, {"--labels": "c"})


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_file_is_written_by_one_at_a_time_whatever_it_is_called(out: Path) -> None:
    link = out.with_name("link")
    link.symlink_to(out)
    with alone_with(out):
        for name in (out, link):
            with pytest.raises(InputError, match="is being written by another run"), alone_with(name):
                pass
        with alone_with(out.with_name("other")):
            pass
    with alone_with(link):
        pass
