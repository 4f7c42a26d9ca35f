"""The check of a model's folder: what has been changed, cut or made up is named, what only moved is forgiven."""

import json
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import QUALITY, install, some_bytes

from engine.errors import CheckpointError
from engine.library import Library
from engine.manifest import MANIFEST, check, read


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "Tiny.gguf"
    source.write_bytes(some_bytes(20_000))
    library = Library(tmp_path / "models", tmp_path / "cache")
    return library.models_dir / library.import_path(source, install=install).name


def spoil(path, offset=100):
    """Changes one byte and keeps the size."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(bytes(data))


def edit(folder, change):
    path = folder / MANIFEST
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def test_an_untouched_folder_passes(folder):
    assert check(folder) == check(folder, full=True) == read(folder)
    assert set(read(folder).files) == {path.name for path in folder.iterdir()} - {MANIFEST}


@pytest.mark.parametrize("count", [0, 1, 19_999])
def test_truncated_weights_are_refused_with_the_file_named(folder, count):
    os.truncate(folder / "model.safetensors", count)
    with pytest.raises(CheckpointError, match=r"model\.safetensors has .* bytes, expected 20,000") as caught:
        check(folder)
    assert caught.value.hint == "llm models rm tiny && llm models import PATH"


def test_tampered_weights_are_refused(folder):
    spoil(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not what was installed"):
        check(folder)


def test_tampering_that_sets_the_time_back_is_found_by_the_full_check(folder):
    path = folder / "model.safetensors"
    before = path.stat()
    spoil(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    check(folder)
    with pytest.raises(CheckpointError, match="not what was installed"):
        check(folder, full=True)


def test_a_file_that_was_only_touched_passes_and_is_noted(folder):
    os.utime(folder / "model.safetensors", ns=(1, 10**18))
    check(folder)
    assert read(folder).files["model.safetensors"].mtime_ns == (folder / "model.safetensors").stat().st_mtime_ns


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.model", MANIFEST])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")) as caught:
        check(folder)
    assert "llm models rm tiny" in caught.value.hint


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "a\\b", "c:d", "..", ""])
def test_a_manifest_that_points_outside_its_folder_is_refused(folder, name):
    edit(folder, lambda data: data["files"].update({name: data["files"]["config.json"]}))
    with pytest.raises(CheckpointError, match="damaged"):
        check(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(format=2),
        lambda data: data.update(files={}),
        lambda data: data.update(surprise=1),
        lambda data: data.update(licence=7),
        lambda data: data.update(quality={"en": {"tokens": 1}}),
        lambda data: data["files"].pop("model.safetensors"),
        lambda data: data["files"]["config.json"].update(bytes="1"),
        lambda data: data["files"]["config.json"].pop("sha256"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(folder, change):
    edit(folder, change)
    with pytest.raises(CheckpointError, match="damaged"):
        read(folder)


def test_any_bytes_for_a_manifest_are_refused_without_a_crash(folder):
    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.just(b"[" * 100_000))
    def refused(data):
        (folder / MANIFEST).write_bytes(data)
        with pytest.raises(CheckpointError):
            check(folder)

    refused()


def test_a_renamed_folder_keeps_working_under_its_new_name(folder):
    moved = folder.rename(folder.with_name("mine"))
    assert check(moved).name == "mine"


def test_what_the_converter_measured_is_kept(folder):
    known = read(folder)
    assert known.quality == {"en": QUALITY, "zh": QUALITY}
    assert known.kernel == "toy"
    assert known.created_by.startswith("local-llm ")


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_a_model_that_may_not_be_entered_is_broken_and_hides_no_other(open_folder):
    library = Library(open_folder / "models", open_folder / "cache")
    for name in ("tiny", "locked"):
        (open_folder / f"{name}.gguf").write_bytes(some_bytes(1000))
        library.import_path(open_folder / f"{name}.gguf", install=install)
    locked = library.find("locked")
    locked.chmod(0)
    try:
        assert [(model.name, bool(model.problem)) for model in library.list()] == [("locked", True), ("tiny", False)]
        assert "Permission denied" in library.summary("locked").problem
        assert library.default == "tiny"
    finally:
        locked.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_moved_times_in_a_folder_that_can_not_be_written_are_forgiven_each_time(open_folder):
    (open_folder / "tiny.gguf").write_bytes(some_bytes(1000))
    library = Library(open_folder / "models", open_folder / "cache")
    library.import_path(open_folder / "tiny.gguf", install=install)
    folder = library.find("tiny")
    os.utime(folder / "model.safetensors", (1, 1))
    folder.chmod(0o555)
    try:
        assert check(folder) == check(folder) == read(folder)
    finally:
        folder.chmod(0o755)
