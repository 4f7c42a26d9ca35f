"""Pulling from a hub: a real server on the loopback, with cuts, redirects, wrong bytes, gates and silence to order."""

import signal
import sys
import time

import httpx
import pytest
from hub_server import COMMIT, HubServer
from tiny_models import entry_of, finish, some_bytes, start

from engine import fetch as fetching
from engine.catalog import resolve
from engine.download import RemoteFile, SourceError, download
from engine.errors import FetchError, UsageError
from engine.fetch import fetch
from engine.library import silent

DATA = some_bytes(300_000)


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import close_session

    with HubServer() as server:
        server.repos["acme/tiny"] = {"tiny.gguf": DATA, "LICENSE": b"You may.\n", "README.md": b"# Tiny\n"}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
        close_session()


def pull(folder, progress=silent, **changes):
    return fetch(entry_of(DATA, **changes), folder, "hub", progress)


def names_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_comes_with_its_licence_and_says_where_from(hub, tmp_path):
    seen = []
    fetched = pull(tmp_path, seen.append)
    assert fetched.path.read_bytes() == DATA
    assert fetched.provenance.source == "hf:acme/tiny/tiny.gguf"
    assert fetched.provenance.licence == "Apache-2.0"
    assert [notice.name for notice in fetched.provenance.notices] == ["LICENSE"]
    assert names_in(tmp_path) == ["LICENSE", "tiny.gguf"]
    downloads = [p for p in seen if p.stage == "download"]
    assert downloads[-1].done_bytes == downloads[-1].total_bytes == len(DATA) + 9
    assert seen[0].stage == "connect"


def test_what_is_there_already_is_not_asked_for_again(hub, tmp_path):
    pull(tmp_path)
    hub.requests.clear()
    hub.status["api"] = 500
    assert pull(tmp_path).path.read_bytes() == DATA
    assert hub.requests == []


def test_a_cut_transfer_goes_on_where_it_stopped(hub, tmp_path):
    hub.cuts["tiny.gguf"] = [100_000, 50_000]
    assert pull(tmp_path).path.read_bytes() == DATA
    assert [r for path, r, _ in hub.requests if path == "tiny.gguf"] == ["", "bytes=100000-", "bytes=150000-"]


def test_a_cut_transfer_starts_again_where_ranges_are_not_served(hub, tmp_path):
    hub.cuts["tiny.gguf"] = [100_000]
    hub.ranges = False
    assert pull(tmp_path).path.read_bytes() == DATA


def test_a_server_that_gives_nothing_is_given_up_and_the_piece_is_kept(hub, tmp_path):
    hub.cuts["tiny.gguf"] = [100_000] + [0] * 10
    with pytest.raises(FetchError, match="stopped at") as caught:
        pull(tmp_path)
    assert "again" in caught.value.hint
    assert (tmp_path / "hub" / "tiny.gguf.partial").stat().st_size == 100_000
    hub.cuts.clear()
    hub.requests.clear()
    assert pull(tmp_path).path.read_bytes() == DATA
    assert ("tiny.gguf", "bytes=100000-", "") in hub.requests


@pytest.mark.parametrize("sent", ["", "bytes 5-9/10", "bytes */10"])
def test_a_piece_that_is_not_the_one_asked_for_is_told_as_that(tmp_path, sent):
    def answer(request):
        assert request.headers["Range"] == "bytes=4-"
        return httpx.Response(206, headers={"Content-Range": sent} if sent else {}, content=b"56789")

    (tmp_path / "x.partial").write_bytes(b"0123")
    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as client,
        pytest.raises(SourceError, match="can't be continued at byte 4"),
    ):
        download(client, RemoteFile("https://server/x", "x", 10), tmp_path, lambda _: None)


def test_wrong_bytes_are_refused_and_removed(hub, tmp_path):
    hub.served["tiny.gguf"] = some_bytes(len(DATA), seed=1)
    with pytest.raises(FetchError, match="wrong content"):
        pull(tmp_path)
    assert names_in(tmp_path) == ["LICENSE"]


def test_wrong_bytes_of_a_small_file_are_refused_by_its_git_hash(hub, tmp_path):
    hub.served["LICENSE"] = b"You mus.\n"
    with pytest.raises(FetchError, match="LICENSE came with the wrong content"):
        pull(tmp_path)


def test_a_wrong_piece_of_an_earlier_run_is_fetched_anew(hub, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "tiny.gguf.partial").write_bytes(b"x" * 1000)
    assert pull(tmp_path).path.read_bytes() == DATA


@pytest.mark.parametrize("count", [len(DATA), len(DATA) + 1])
def test_a_piece_as_long_as_the_file_or_longer_is_checked_not_trusted(hub, tmp_path, count):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "tiny.gguf.partial").write_bytes(b"x" * count)
    assert pull(tmp_path).path.read_bytes() == DATA


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_size_is_refused(hub, tmp_path, change):
    hub.served["tiny.gguf"] = some_bytes(len(DATA) + change)
    with pytest.raises(FetchError, match="expected 300,000"):
        pull(tmp_path)


def test_a_file_that_the_hub_has_changed_is_not_even_downloaded(hub, tmp_path):
    hub.repos["acme/tiny"]["tiny.gguf"] = some_bytes(len(DATA), seed=2)
    with pytest.raises(FetchError, match="has been changed at the hub"):
        pull(tmp_path)
    assert hub.requests == []


def test_redirects_are_followed_and_continue_too(hub, tmp_path):
    hub.redirect = True
    hub.cuts["tiny.gguf"] = [100_000]
    assert pull(tmp_path).path.read_bytes() == DATA


def test_the_users_token_is_sent(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull(tmp_path)
    assert {token for _, _, token in hub.requests} == {"Bearer hf_secret"}


@pytest.mark.parametrize(("where", "status"), [("tiny.gguf", 401), ("tiny.gguf", 403), ("api", 403)])
def test_a_gate_says_how_to_open_it(hub, tmp_path, where, status):
    hub.status[where] = status
    with pytest.raises(FetchError) as caught:
        pull(tmp_path)
    assert "accept the licence at https://huggingface.co/acme/tiny" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint


@pytest.mark.parametrize(("status", "words"), [(404, "no acme/tiny"), (500, "answers 500"), (503, "answers 503")])
def test_a_hub_in_trouble_is_told_plainly(hub, tmp_path, status, words):
    hub.status["api"] = status
    with pytest.raises(FetchError, match=words):
        pull(tmp_path)


def test_an_unknown_repository_or_file_is_told_plainly(hub, tmp_path):
    with pytest.raises(FetchError, match="no model acme/nothing, or it is private"):
        fetch(resolve("hf:acme/nothing"), tmp_path, "auto", silent)
    with pytest.raises(FetchError, match=r"has no file other\.gguf") as caught:
        fetch(resolve("hf:acme/tiny/other.gguf"), tmp_path, "auto", silent)
    assert "hf:acme/tiny/tiny.gguf" in caught.value.hint


def test_a_missing_file_at_the_server_is_told_plainly(hub, tmp_path):
    hub.status["tiny.gguf"] = 404
    with pytest.raises(FetchError, match="answers 404"):
        pull(tmp_path)


def test_a_folder_of_shards_comes_whole_and_without_pickles(hub, tmp_path):
    shards = {f"model-0000{i}-of-00002.safetensors": some_bytes(9000, seed=i) for i in (1, 2)}
    small = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors.index.json": b"{}", "LICENSE.txt": b"l"}
    others = {"pytorch_model.bin": b"pickle", "README.md": b"#", "onnx/model.onnx": b"o", "train.py": b"evil"}
    hub.repos["acme/shards"] = shards | small | others
    fetched = fetch(resolve("hf:acme/shards@main"), tmp_path, "auto", silent)
    assert names_in(fetched.path) == sorted(shards | small)
    assert all((fetched.path / name).read_bytes() == data for name, data in (shards | small).items())
    assert fetched.provenance.source == f"hf:acme/shards@{COMMIT}"
    assert fetched.provenance.licence == "apache-2.0"
    assert set(dict(fetched.provenance.source_files)) == set(shards | small)


def test_a_missing_shard_is_refused_before_downloading(hub, tmp_path):
    hub.repos["acme/shards"] = {"config.json": b"{}", "model.safetensors.index.json": b"{}"} | {
        f"model-0000{i}-of-00003.safetensors": b"w" for i in (1, 3)
    }
    with pytest.raises(FetchError, match="2 shards of 3"):
        fetch(resolve("hf:acme/shards"), tmp_path, "auto", silent)
    assert hub.requests == []


def test_a_repository_of_gguf_files_asks_which(hub, tmp_path):
    with pytest.raises(UsageError) as caught:
        fetch(resolve("hf:acme/tiny"), tmp_path, "auto", silent)
    assert "hf:acme/tiny/tiny.gguf" in caught.value.hint
    assert fetch(resolve("hf:acme/tiny/tiny.gguf"), tmp_path, "auto", silent).path.read_bytes() == DATA


def test_pickled_weights_are_never_fetched(hub, tmp_path):
    hub.repos["acme/old"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    with pytest.raises(FetchError, match="never loaded"):
        fetch(resolve("hf:acme/old"), tmp_path, "auto", silent)
    assert hub.requests == []


def test_a_silent_hub_is_given_up(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "ONLY_WAY_PATIENCE_SECONDS", 0.5)
    hub.hang = True
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"can't be reached|did not answer"):
        pull(tmp_path)
    assert time.monotonic() - began < 5


def test_a_size_that_is_no_number_is_refused(hub, tmp_path):
    hub.claimed["LICENSE"] = "many"
    with pytest.raises(FetchError, match="does not say how to check"):
        pull(tmp_path)


def test_no_room_is_noticed_before_anything_is_downloaded(hub, tmp_path):
    hub.claimed["tiny.gguf"] = 2**60
    with pytest.raises(FetchError, match="not enough room"):
        fetch(resolve("hf:acme/tiny/tiny.gguf"), tmp_path, "hub", silent)
    assert hub.requests == []


def test_a_folder_that_can_not_be_made_is_told_plainly(hub, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FetchError, match="can't be written"):
        pull(tmp_path / "file" / "downloads")


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
    fetch(entry_of(some_bytes(300_000)), Path(sys.argv[1]), "hub", lambda progress: None)
except KeyboardInterrupt:
    print("interrupted")
except FetchError as error:
    print(error.message, error.hint)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_disk_that_fills_up_is_told_plainly_and_the_next_run_continues(hub, tmp_path):
    output = finish(start(CHILD, tmp_path, 131_072))
    assert "the disk is full" in output
    assert "kept" in output
    kept = (tmp_path / "hub" / "tiny.gguf.partial").stat().st_size
    assert 0 < kept <= 131_072
    hub.requests.clear()
    assert pull(tmp_path).path.read_bytes() == DATA
    assert ("tiny.gguf", f"bytes={kept}-", "") in hub.requests


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_pull_that_is_stopped_in_the_middle_goes_on_next_time(hub, tmp_path, how):
    hub.block_delay = 0.1
    child = start(CHILD, tmp_path, 0)
    partial = tmp_path / "hub" / "tiny.gguf.partial"
    deadline = time.monotonic() + 20
    while not (partial.exists() and partial.stat().st_size > 16_384):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(how)
    output, errors = child.communicate(timeout=20)
    assert output == ("interrupted\n" if how == signal.SIGINT else ""), errors
    kept = partial.stat().st_size
    assert 0 < kept < len(DATA)
    assert names_in(tmp_path) == ["LICENSE", "tiny.gguf.partial"]
    hub.block_delay = 0
    hub.requests.clear()
    assert pull(tmp_path).path.read_bytes() == DATA
    assert ("tiny.gguf", f"bytes={kept}-", "") in hub.requests
