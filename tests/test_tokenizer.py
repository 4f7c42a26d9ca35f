"""Text to ids and back: round trips, streams, hostile text, damaged files."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import tokenizer_texts as texts
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenizer_models
from engine.convert import vocabulary
from engine.errors import CheckpointError, InputError, UsageError
from engine.tokenizer import Tokenizer
from engine.tokenizer_config import TokenizerConfig

if TYPE_CHECKING:
    from pathlib import Path

NATIVE = Tokenizer.load(tokenizer_models.path())


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("byte_level")
    vocabulary.from_gguf(texts.gguf_fields(texts.byte_level("llama3"), "llama-bpe"), folder)
    return Tokenizer.load(folder)


@pytest.fixture(params=["native", "byte_level", "prefixed"])
def tokenizer(request: pytest.FixtureRequest, byte_level: Tokenizer, prefixed: Tokenizer) -> Tokenizer:
    return {"native": NATIVE, "byte_level": byte_level, "prefixed": prefixed}[request.param]


@pytest.fixture(scope="module")
def prefixed() -> Tokenizer:
    """Our own model with a dummy prefix, as Llama 2 has one."""
    model = (tokenizer_models.path() / "tokenizer.model").read_bytes()
    return Tokenizer(model, TokenizerConfig(**{**_fields(NATIVE.config), "dummy_prefix": "always"}))


def _fields(config: TokenizerConfig) -> dict[str, object]:
    data = config.to_json()
    del data["format"]
    return data


@given(text=st.text(max_size=200))
@settings(max_examples=150)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert NATIVE.decode(NATIVE.encode(text)) == text.replace("▁", " ")


@given(text=st.text(max_size=200))
@settings(max_examples=150)
def test_any_text_comes_back_as_it_was_through_bytes(byte_level: Tokenizer, text: str) -> None:
    assert byte_level.decode(byte_level.encode(text)) == text


@given(text=st.text(alphabet=" a▁\n中", max_size=30))
@settings(max_examples=100)
def test_spaces_at_the_borders_survive_a_dummy_prefix(prefixed: Tokenizer, text: str) -> None:
    assert prefixed.decode(prefixed.encode(text)) == text.replace("▁", " ")


@given(data=st.data())
@settings(max_examples=200)
def test_a_stream_of_any_ids_joins_to_the_whole_decode(
    byte_level: Tokenizer, prefixed: Tokenizer, data: st.DataObject
) -> None:
    tokenizer = data.draw(st.sampled_from([NATIVE, byte_level, prefixed]))
    likely = st.sampled_from(tokenizer.encode("你好, wörld \U0001f469\u200d\U0001f467 ''"))
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1) | likely | st.integers(0, 300), max_size=40))
    for continuing in (False, True):
        stream = tokenizer.stream(continuing=continuing)
        assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids, continuing=continuing)


def test_a_stream_never_shows_half_a_character(tokenizer: Tokenizer) -> None:
    text = "龘靐齉 \U0001f469\u200d\U0001f467 née"
    stream = tokenizer.stream()
    shown = [stream.push(token) for token in tokenizer.encode(text)]
    assert all("\ufffd" not in part for part in shown)
    assert "".join(shown) == text
    assert stream.flush() == ""


def test_control_tokens_in_text_stay_text_and_control_ids_show_nothing(tokenizer: Tokenizer) -> None:
    for name, token in tokenizer.control_tokens.items():
        ids = tokenizer.encode(f"a{name}b {name}")
        assert not set(ids) & set(tokenizer.control_tokens.values())
        assert tokenizer.decode(ids) == f"a{name}b {name}"
        assert tokenizer.decode([token]) == ""
        assert tokenizer.piece(token) == name
        assert tokenizer.encode_parts(["a", token, "b"]).count(token) == 1


def test_pieces_are_readable(tokenizer: Tokenizer) -> None:
    ids = NATIVE.encode("one two")
    assert "".join(map(NATIVE.piece, ids)) == "one▁two"
    assert [NATIVE.piece(i) for i in NATIVE.encode("龘")] == ["<0xE9>", "<0xBE>", "<0x98>"]
    assert all(tokenizer.piece(token) for token in range(tokenizer.vocab_size))


def test_all_bytes_are_those_of_each_id_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.all_bytes() == [tokenizer.token_bytes(id_) for id_ in range(tokenizer.vocab_size)]


def test_ids_outside_of_the_vocabulary_are_refused(tokenizer: Tokenizer) -> None:
    for token in (-1, tokenizer.vocab_size):
        with pytest.raises(UsageError, match=str(token)):
            tokenizer.decode([token])
        with pytest.raises(UsageError, match=str(token)):
            tokenizer.encode_parts([token])


def test_half_a_surrogate_pair_is_refused_and_nul_is_text(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"U\+D800.*at 2"):
        tokenizer.encode("ab\ud800")
    assert tokenizer.decode(tokenizer.encode("a\0b\x01\uffff")) == "a\0b\x01\uffff"
    assert tokenizer.encode("") == []


def test_a_long_text_cut_into_blocks_has_the_ids_of_the_whole() -> None:
    whole = Tokenizer(
        (tokenizer_models.path() / "tokenizer.model").read_bytes(),
        TokenizerConfig(**{**_fields(NATIVE.config), "cut_before": ""}),
    )
    for text in texts.corpus().values():
        assert NATIVE.encode(text) == whole.encode(text)
    spaces = " " * 70_000 + "a" * 70_000 + "\n" * 70_000
    assert NATIVE.encode(spaces) == whole.encode(spaces)


@pytest.mark.parametrize("unit", ["a", "中", " ", "\n", "ab ", "'s"])
def test_time_grows_with_the_length_of_a_text_alone(tokenizer: Tokenizer, unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        best = float("inf")
        for _ in range(2):
            start = time.perf_counter()
            ids = tokenizer.encode(text)
            best = min(best, time.perf_counter() - start)
        assert tokenizer.decode(ids) == text
        return best

    assert seconds(240_000) < 20 * seconds(30_000) + 0.2  # eight times the text; quadratic would be 64 times


def test_threads_may_encode_at_once(tokenizer: Tokenizer) -> None:
    rows = texts.corpus()["chinese"].splitlines()[:300] + texts.corpus()["english"].splitlines()[:300]
    expected = [tokenizer.encode(row) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, rows)) == expected


def test_a_config_comes_back_from_its_file_as_it_was(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.config.save(tmp_path)
    assert TokenizerConfig.load(tmp_path) == tokenizer.config


@pytest.mark.parametrize("missing", ["tokenizer.model", "tokenizer_config.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    tokenizer_models.write(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CheckpointError, match=f"{missing} is missing"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x0a\xff\xff\xff\xff\x0f", "我".encode() * 100])
def test_a_damaged_model_is_refused_with_the_file_named(tmp_path: Path, content: bytes) -> None:
    tokenizer_models.write(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.model"):
        Tokenizer.load(tmp_path)


def test_a_truncated_model_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    tokenizer_models.write(tmp_path)
    whole = (tmp_path / "tokenizer.model").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "tokenizer.model").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"tokenizer\.model"):
            Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "magic"}, {"vocab_size": 0}, {"vocab_size": "many"}, {"vocab_size": 100}, {"eos_ids": [99_999]},
        {"control_tokens": {"<s>": -1}}, {"control_tokens": {"<s>": "1"}}, {"control_tokens": {"<s>": None}},
        {"eos_ids": [None]}, {"surprise": 1}, {"format": 2},
        {"bos_id": None}, {"nfc": "yes"}, {"text_tokens": []}, {"pre_tokenizer": "x"},
    ],
)  # fmt: skip
def test_a_config_with_nonsense_is_refused_with_a_file_named(tmp_path: Path, change: dict[str, object]) -> None:
    tokenizer_models.write(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="tokenizer"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused_with_the_file_named(tmp_path: Path, content: bytes) -> None:
    tokenizer_models.write(tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("expression", ["(", "(a)(b)", "[z-a]"])
def test_an_expression_that_is_not_valid_is_refused(expression: str) -> None:
    model = (tokenizer_models.path() / "tokenizer.model").read_bytes()
    with pytest.raises(CheckpointError, match="expression"):
        Tokenizer(model, TokenizerConfig(kind="byte_level", vocab_size=16_000, pre_tokenizer=(expression,)))
