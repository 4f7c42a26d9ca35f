"""Which files below a folder are offered, and in which order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tui import finding
from tui.finding import LARGEST, files_below

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def test_near_files_come_first_and_each_folder_by_name(tmp_path: Path) -> None:
    make(tmp_path, "z.txt", "B.txt", "a.txt", "sub/deep/x.txt", "sub/y.txt", "Other/笔记.md")
    found = list(files_below(tmp_path))
    assert [name.replace(os.sep, "/") for name, _ in found] == [
        "a.txt", "B.txt", "z.txt", "Other/笔记.md", "sub/y.txt", "sub/deep/x.txt",
    ]  # fmt: skip
    assert {size for _, size in found} == {4}


def test_what_nobody_means_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "kept.txt", ".hidden", ".git/config", "node_modules/x.js", "sub/build/y.txt", "sub/builder/z.txt")
    (tmp_path / "empty.txt").touch()
    for name, size in (("largest.txt", LARGEST), ("larger.txt", LARGEST + 1)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    found = [name.replace(os.sep, "/") for name, _ in files_below(tmp_path)]
    assert found == ["kept.txt", "largest.txt", "sub/builder/z.txt"]
    assert list(files_below(tmp_path / "none")) == []


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere, and there are no named pipes")
def test_links_to_files_are_followed_and_nothing_else_is(tmp_path: Path) -> None:
    make(tmp_path, "folder/a.txt")
    (tmp_path / "to-file").symlink_to("folder/a.txt")
    (tmp_path / "to-folder").symlink_to("folder")
    (tmp_path / "to-nothing").symlink_to("gone")
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "pipe")
    assert list(files_below(tmp_path)) == [("to-file", 4), ("folder/a.txt", 4)]


def test_the_search_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *(f"{folder}/{number}" for folder in "ab" for number in range(3)))
    for most in (1, 3, 4, 6, 7):
        monkeypatch.setattr(finding, "MOST", most)
        assert len(list(files_below(tmp_path))) == min(most, 6)
