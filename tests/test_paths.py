"""Where things are kept, and that what is written appears whole and private."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from engine.errors import InputError
from tui.paths import (
    PlaceError,
    at_home,
    check_output,
    ensure,
    ensure_private,
    places,
    project_file,
    write_output,
    write_private,
)

posix = pytest.mark.skipif(os.name != "posix", reason="modes and XDG are Unix's")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_one_variable_moves_everything(tmp_path: Path) -> None:
    found = places({"LOCAL_LLM_HOME": str(tmp_path), "XDG_CONFIG_HOME": "/elsewhere"})
    assert all(path.is_relative_to(tmp_path) for path in found.named().values())
    assert found.models == tmp_path / "models"
    assert found.config_file == tmp_path / "config.toml"


@posix
def test_explicit_xdg_folders_are_obeyed_on_every_unix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = places({f"XDG_{kind}_HOME": f"/x/{kind.lower()}" for kind in ("CONFIG", "DATA", "STATE", "CACHE")})
    assert found.config_file == Path("/x/config/local-llm/config.toml")
    assert found.models == Path("/x/data/local-llm/models")
    assert found.history_file == Path("/x/state/local-llm/chat-history")
    assert found.cache == Path("/x/cache/local-llm")


@posix
def test_a_relative_xdg_folder_is_ignored() -> None:
    assert places({"XDG_DATA_HOME": "data"}).data.is_absolute()


@posix
def test_a_folder_is_made_only_when_needed_and_is_private(tmp_path: Path) -> None:
    state = places({"LOCAL_LLM_HOME": str(tmp_path / "new")}).state
    assert not state.exists()
    assert mode(ensure(state)) == 0o700


def test_a_folder_that_cannot_be_made_says_which_variable_moves_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PlaceError, match="file/below") as caught:
        ensure(tmp_path / "file" / "below")
    assert "LOCAL_LLM_HOME" in caught.value.hint


@posix
def test_private_files_are_0600_and_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_an_output_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    path, link = tmp_path / "out.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_output(link, b"new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert mode(path) == 0o640


@posix
def test_a_new_output_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o026)
    try:
        write_output(tmp_path / "out.txt", b"text")
        assert os.umask(0o026) == 0o026
    finally:
        os.umask(before)
    assert mode(tmp_path / "out.txt") == 0o640


@posix
def test_a_folder_for_sockets_is_nobody_elses(tmp_path: Path) -> None:
    assert mode(ensure_private(tmp_path / "new")) == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    assert mode(ensure_private(tmp_path / "open")) == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "new")
    others = Path(tempfile.gettempdir()) if os.getuid() else tmp_path / "others"
    if not os.getuid():
        others.mkdir()
        os.chown(others, 12345, -1)
    for folder in (tmp_path / "link", others):
        with pytest.raises(PlaceError, match="belongs to someone else"):
            ensure_private(folder)
    assert mode(tmp_path / "link") == 0o700


@posix
def test_the_path_of_a_socket_is_short(tmp_path: Path) -> None:
    def runtime(home: str, session: str = "") -> Path:
        folder = places({"LOCAL_LLM_HOME": home, "XDG_RUNTIME_DIR": session}).runtime
        assert len(os.fsencode(folder)) <= 90
        return folder

    assert runtime("/h") == Path("/h/state/run")
    assert runtime("/" + "h" * 79) == Path("/" + "h" * 79 + "/state/run")
    deep = [runtime("/" + "h" * length) for length in (80, 81)]
    assert [folder.parent for folder in deep] == [Path(tempfile.gettempdir())] * 2
    assert len(set(deep)) == 2, "each home has its own"
    assert runtime("", "/run/user/7") == Path("/run/user/7/local-llm")
    assert runtime("", "user/7").is_absolute()


def test_the_nearest_file_of_a_project_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (inner / ".local-llm.toml").mkdir()  # no file
    for folder in (tmp_path, tmp_path / "a"):
        (folder / ".local-llm.toml").touch()
        assert project_file(inner) == folder / ".local-llm.toml"


def test_an_output_in_a_missing_folder_is_an_input_error_and_leaves_nothing(tmp_path: Path) -> None:
    for attempt in (check_output, lambda path: write_output(path, b"text")):
        with pytest.raises(InputError, match="missing"):
            attempt(tmp_path / "missing" / "out.txt")
        with pytest.raises(InputError, match="Is a directory"):
            attempt(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_output(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@posix
@pytest.mark.parametrize("name", ["a" * 300, "nul\0byte", "round"])
def test_a_name_that_can_be_none_is_an_input_error(tmp_path: Path, name: str) -> None:
    reason = "can't write (?s:.*): (?!None$)."
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(InputError, match=reason):
        write_output(tmp_path / name, b"text")
    if "\0" not in name:  # no argument holds one
        with pytest.raises(InputError, match=reason):
            check_output(tmp_path / name)
    if name != "round":
        with pytest.raises(PlaceError, match=reason):
            write_private(tmp_path / name, b"text")


@posix
def test_the_home_of_nobody_is_a_name_like_any_other() -> None:
    assert at_home("~nobody.of.that.name/x") == Path("~nobody.of.that.name/x")
    assert places({"LOCAL_LLM_HOME": "~nobody.of.that.name/x"}).data == Path.cwd() / "~nobody.of.that.name/x"


@posix
def test_a_relative_home_counted_from_a_folder_that_is_gone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(PlaceError, match="is gone"):
        places({"LOCAL_LLM_HOME": "here"})


@posix
def test_an_output_can_be_a_device() -> None:
    check_output(Path("/dev/null"))
    write_output(Path("/dev/null"), b"text")


@pytest.mark.skipif(sys.platform != "linux", reason="where /dev/stdout leads to a pipe that has no path is Linux's")
def test_an_output_can_be_a_link_to_a_pipe() -> None:
    reader, writer = os.pipe()
    try:
        write_output(Path(f"/dev/fd/{writer}"), b"text")
        assert os.read(reader, 9) == b"text"
    finally:
        os.close(reader)
        os.close(writer)
    assert Path("/dev/null").is_char_device()
