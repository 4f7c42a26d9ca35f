"""Converted vocabularies give the ids that the `tokenizers` library gives, and what can't be exact is refused."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import tokenizer_texts as texts
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenizer_models
from engine.convert import vocabulary
from engine.convert.vocabulary_proto import cuts, merge, unreachable
from engine.errors import CheckpointError
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {"qwen": "qwen2", "llama3": "llama-bpe", "smollm": "smollm"}


@pytest.fixture(scope="module", params=list(KINDS))
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Tokenizer, Any]:
    """The reference, our conversion of its tokenizer.json and our conversion of its GGUF fields."""
    reference = texts.byte_level(request.param)
    source, folder = (tmp_path_factory.mktemp(request.param) for _ in range(2))
    vocabulary.from_hugging_face(texts.save(reference, source), folder)
    from_json = Tokenizer.load(folder)
    vocabulary.from_gguf(texts.gguf_fields(reference, KINDS[request.param]), folder)
    return reference, from_json, Tokenizer.load(folder)


def test_a_megabyte_of_english_code_chinese_and_emoji_has_the_ids_of_the_reference(
    converted: tuple[Any, Tokenizer, Tokenizer],
) -> None:
    reference, from_json, from_gguf = converted
    assert sum(len(text.encode()) for text in texts.corpus().values()) > 1_000_000
    for text in texts.corpus().values():
        expected = texts.without_special(reference, text)
        assert from_json.encode(text) == expected
        assert from_gguf.encode(text) == expected
        assert from_json.decode(expected) == text


def test_every_character_of_unicode_is_cut_like_the_reference(converted: tuple[Any, Tokenizer, Tokenizer]) -> None:
    reference, from_json, _ = converted
    for row in texts.all_characters():
        # Composition orders neighbouring marks, and newly assigned ones differ between versions of Unicode.
        run = "|" if from_json.config.nfc else ""
        for text in (run.join(row), "'".join(row), " ".join(row) + "  \r\n", " 1".join(row)):
            assert from_json.encode(text) == texts.without_special(reference, text)


def test_special_tokens_of_the_vocabulary_stay_text(converted: tuple[Any, Tokenizer, Tokenizer]) -> None:
    for tokenizer in converted[1:]:
        text = "a<|im_start|>system<|im_end|><|endoftext|>"
        ids = tokenizer.encode(text)
        assert not set(ids) & set(tokenizer.control_tokens.values())
        assert tokenizer.decode(ids) == text
        assert set(texts.CONTROL) == set(tokenizer.control_tokens)


def test_added_tokens_that_are_not_special_are_one_token_in_text(converted: tuple[Any, Tokenizer, Tokenizer]) -> None:
    reference, *ours = converted
    for tokenizer in ours:
        text = "call <tool_call> now<tool_call>"
        assert tokenizer.encode(text) == texts.without_special(reference, text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_both_ends_of_a_turn_are_collected_whichever_the_file_names(converted: tuple[Any, Tokenizer, Any]) -> None:
    for tokenizer in converted[1:]:
        assert {tokenizer.control_tokens[n] for n in ("<|im_end|>", "<|endoftext|>")} == tokenizer.eos_ids


def test_padding_of_the_embedding_table_has_ids_but_no_text(converted: tuple[Any, Tokenizer, Tokenizer]) -> None:
    reference, _, tokenizer = converted
    size = reference.get_vocab_size()
    assert tokenizer.vocab_size == size + 2
    assert tokenizer.decode([size, size + 1]) == ""
    assert tokenizer.piece(size) == f"[unused {size}]"


def test_a_chunk_that_is_a_piece_becomes_it_even_if_merging_would_not_make_it(tmp_path: Path) -> None:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pieces = {name: i for i, name in enumerate([*alphabet, "bc", "ab", "abc", "xyz"])}
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]  # "abc" becomes a + bc; "xyz" has no merge at all
    for whole in (False, True):
        reference = tokenizers.Tokenizer(tokenizers.models.BPE(pieces, merges, ignore_merges=whole))
        reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        vocabulary.from_hugging_face(texts.save(reference, tmp_path / str(whole)), tmp_path)
        ours = Tokenizer.load(tmp_path)
        for text in ("abc", "abc abcxyz xyz", "xyz", "zabcab", "xyz!abc!xyz"):
            assert ours.encode(text) == texts.without_special(reference, text)
            assert ours.decode(ours.encode(text)) == text


@given(st.lists(st.sampled_from(["".join(p) for n in (2, 3) for p in itertools.product("ab", repeat=n)]), unique=True))
@settings(max_examples=60)
def test_any_list_of_merges_gives_the_ids_of_the_reference(pieces: list[str]) -> None:
    merges: list[tuple[str, str]] = []
    known = {"a", "b"}
    for piece in pieces:
        split = next(((piece[:i], piece[i:]) for i in range(1, len(piece)) if {piece[:i], piece[i:]} <= known), None)
        if split:
            merges.append(split)
            known.add(piece)
    lost = unreachable(merges)
    place = {pair: i for i, pair in enumerate(merges)}
    assert lost == {left + right for left, right in merges if merge(left + right, place) != [left + right]}
    from engine.convert.vocabulary_proto import byte_level_proto
    from engine.tokenizer import BYTE_ALPHABET
    from engine.tokenizer_config import TokenizerConfig

    names = [*BYTE_ALPHABET, *(left + right for left, right in merges)]
    model, _ = byte_level_proto(names, merges, [])
    ours = Tokenizer(model, TokenizerConfig(kind="byte_level", vocab_size=len(names)))
    reference = tokenizers.Tokenizer(tokenizers.models.BPE({n: i for i, n in enumerate(names)}, merges))
    for text in map("".join, itertools.product("ab", repeat=7)):
        assert ours.encode(text) == texts.without_special(reference, text)


def test_a_native_gguf_vocabulary_gives_the_ids_of_the_model_it_came_from(tmp_path: Path) -> None:
    own = Tokenizer.load(tokenizer_models.path())
    vocabulary.from_gguf(native_fields(), tmp_path)
    converted = Tokenizer.load(tmp_path)
    for text in texts.corpus().values():
        assert converted.encode(text) == own.encode(text)
    assert converted.control_tokens == own.control_tokens
    assert converted.eos_ids == own.eos_ids


def test_a_native_tokenizer_json_gives_the_ids_of_the_reference(tmp_path: Path) -> None:
    fields = native_fields()
    fields["tokenizer.ggml.tokens"] = [name.replace(" ", "▁") for name in fields["tokenizer.ggml.tokens"]]
    reference = native_reference(fields)
    vocabulary.from_hugging_face(texts.save(reference, tmp_path / "source", bos_token="<s>"), tmp_path)
    converted, own = Tokenizer.load(tmp_path), Tokenizer.load(tokenizer_models.path())
    for text in (texts.corpus()["chinese"], texts.corpus()["english"][:200_000], texts.corpus()["emoji"]):
        lines = [line for line in text.splitlines() if line]
        for line, expected in zip(lines, reference.encode_batch(lines, add_special_tokens=False), strict=True):
            assert converted.encode(line) == expected.ids
            assert own.encode(line) == expected.ids


def test_a_sentencepiece_folder_keeps_its_ids_and_takes_its_added_tokens(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "tokenizer.model").write_bytes((tokenizer_models.path() / "tokenizer.model").read_bytes())
    added = {"16000": {"content": "<|tool|>", "special": True}, "16001": {"content": "<think>", "special": False}}
    write(source, "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "added_tokens_decoder": added})
    write(source, "generation_config.json", {"eos_token_id": [2, 6]})
    write(source, "config.json", {"vocab_size": 16064})
    config = vocabulary.from_hugging_face(source, tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert (config.bos_id, config.add_bos, config.eos_ids, config.vocab_size) == (1, True, (2, 6), 16064)
    assert tokenizer.control_tokens["<|tool|>"] == 16000
    assert tokenizer.encode("<think>") == [16001]
    assert 16000 not in tokenizer.encode("<|tool|>")
    text = texts.corpus()["chinese"]
    assert tokenizer.encode(text) == Tokenizer.load(tokenizer_models.path()).encode(text)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_dummy_prefix_goes_where_the_publisher_puts_it_and_is_taken_away_again(tmp_path: Path, legacy: bool) -> None:
    from engine.convert.vocabulary_proto import new_proto

    source = tmp_path / "source"
    source.mkdir()
    model = new_proto()
    model.ParseFromString((tokenizer_models.path() / "tokenizer.model").read_bytes())
    model.normalizer_spec.add_dummy_prefix = True
    (source / "tokenizer.model").write_bytes(model.SerializeToString())
    write(source, "tokenizer_config.json", {"bos_token": "<s>", "legacy": legacy})
    vocabulary.from_hugging_face(source, tmp_path)
    tokenizer, plain = Tokenizer.load(tmp_path), Tokenizer.load(tokenizer_models.path())
    assert tokenizer.encode("Hello") == plain.encode(" Hello")
    assert tokenizer.decode(tokenizer.encode("Hello")) == "Hello"
    assert tokenizer.decode(tokenizer.encode("Hello"), continuing=True) == " Hello"
    later = plain.encode(" you" if legacy else "you")
    assert tokenizer.encode_parts(["Hi", 4, "you"]) == [*plain.encode(" Hi"), 4, *later]


def test_unknown_rules_of_cutting_are_refused_by_name(tmp_path: Path) -> None:
    fields = texts.gguf_fields(texts.byte_level("qwen"), "martian")
    with pytest.raises(CheckpointError, match="martian"):
        vocabulary.from_gguf(fields, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.model", "bert"),
        ("tokenizer.ggml.tokens", None),
        ("tokenizer.ggml.tokens", ["a"]),
        ("tokenizer.ggml.merges", ["nospace"]),
        ("tokenizer.ggml.merges", None),
        ("tokenizer.ggml.eos_token_id", 10**6),
        ("tokenizer.ggml.tokens", [1] * 300),
        ("tokenizer.ggml.token_type", 7),
        ("tokenizer.chat_template", "half a character: \ud800"),
    ],
)
def test_damaged_gguf_vocabularies_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    fields = {**texts.gguf_fields(texts.byte_level("qwen"), "qwen2"), key: value}
    with pytest.raises(CheckpointError):
        vocabulary.from_gguf(fields, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{", '{"model": {}}', '{"model": {"type": "Unigram", "vocab": []}}',
        '{"model": {"vocab": {"a": -1}, "merges": []}}', '{"model": {"vocab": {"a": 0}, "merges": [["a"]]}}',
        '{"model": {"vocab": {}, "merges": []}, "pre_tokenizer": {"type": "Bert"}}',
        '{"model": {"vocab": {}, "merges": []}, "normalizer": {"type": "Lowercase"}}',
    ],
)  # fmt: skip
def test_damaged_or_unknown_tokenizer_json_is_refused_with_the_file_named(tmp_path: Path, content: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        vocabulary.from_hugging_face(source, tmp_path)


@pytest.mark.parametrize(
    "settings_",
    [
        {"added_tokens_decoder": {"x": {"content": "a"}}}, {"added_tokens_decoder": {"5": {}}},
        {"added_tokens_decoder": {"5": "a"}}, {"added_tokens_decoder": [1]},
        {"added_tokens_decoder": {"-5": {"content": "a"}}}, {"added_tokens_decoder": {"99999999": {"content": "a"}}},
    ],
)  # fmt: skip
def test_damaged_added_tokens_are_refused(tmp_path: Path, settings_: dict[str, Any]) -> None:
    source = texts.save(texts.byte_level("qwen"), tmp_path / "source", **settings_)
    with pytest.raises(CheckpointError, match=r"tokenizer|added tokens"):
        vocabulary.from_hugging_face(source, tmp_path)


def test_a_template_with_half_a_character_is_refused(tmp_path: Path) -> None:
    source = texts.save(texts.byte_level("qwen"), tmp_path / "source", chat_template="half: \ud800")
    with pytest.raises(CheckpointError, match="surrogates"):
        vocabulary.from_hugging_face(source, tmp_path)


def test_a_folder_without_a_tokenizer_and_a_broken_sentencepiece_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither"):
        vocabulary.from_hugging_face(tmp_path, tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"\xff\x00 not a proto")
    with pytest.raises(CheckpointError, match=r"tokenizer\.model"):
        vocabulary.from_hugging_face(tmp_path, tmp_path)


def test_text_is_cut_only_before_characters_that_no_piece_holds_in_its_middle() -> None:
    assert " " not in cuts(["▁the", "of▁the"])
    assert " " in cuts(["▁the", "▁▁▁", "\n\n"])
    assert "\n" in cuts(["▁the", "▁▁▁", "\n\n"])
    assert "\n" not in cuts(["\r\n"])


def native_fields() -> dict[str, Any]:
    """Our own model as a GGUF file would hold it."""
    import sentencepiece

    own = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer_models.path() / "tokenizer.model"))
    config = Tokenizer.load(tokenizer_models.path()).config
    kinds = [
        2 if own.is_unknown(i) else 3 if own.is_control(i) else 6 if own.is_byte(i) else 4 if 7 <= i < 13 else 1
        for i in range(own.vocab_size())
    ]
    names = [own.id_to_piece(i) for i in range(own.vocab_size())]
    return {
        "tokenizer.ggml.model": "llama",
        # as converters do: the spaces of added tokens are written as spaces
        "tokenizer.ggml.tokens": [n.replace("▁", " ") if k == 4 else n for n, k in zip(names, kinds, strict=True)],
        "tokenizer.ggml.scores": [own.get_score(i) for i in range(own.vocab_size())],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": config.bos_id,
        "tokenizer.ggml.eos_token_id": config.eos_ids[0],
        "tokenizer.ggml.add_space_prefix": False,
    }


def native_reference(fields: dict[str, Any], *, layout: bool = True) -> tokenizers.Tokenizer:
    """The `tokenizers` way to use a SentencePiece BPE: merges by score, bytes for what is unknown."""
    names, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    scores = fields["tokenizer.ggml.scores"]
    vocab = {name: i for i, name in enumerate(names)}
    usable = {name for name, kind in zip(names, kinds, strict=True) if kind in {1, 4}}
    merges = [
        (-scores[vocab[name]], vocab[name[:i]], (name[:i], name[i:]))
        for name in names
        if kinds[vocab[name]] == 1
        for i in range(1, len(name))
        if name[:i] in usable and name[i:] in usable
    ]
    pairs = [pair for _, _, pair in sorted(merges)]
    model = tokenizers.models.BPE(vocab, pairs, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    reference = tokenizers.Tokenizer(model)
    reference.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    given = [name for name, kind in zip(names, kinds, strict=True) if kind == 4 and layout]
    reference.add_tokens([tokenizers.AddedToken(name, normalized=True) for name in given])
    reference.add_special_tokens([name for name, kind in zip(names, kinds, strict=True) if kind == 3])
    return reference


def write(folder: Path, name: str, data: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize("way", ["prepend", "first", "always"])
def test_a_prefix_that_tokenizer_json_asks_for_stands_where_the_reference_puts_it(tmp_path: Path, way: str) -> None:
    fields = native_fields()
    fields["tokenizer.ggml.tokens"] = [name.replace(" ", "▁") for name in fields["tokenizer.ggml.tokens"]]
    reference = native_reference(fields, layout=False)
    if way == "prepend":
        steps = [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
        reference.normalizer = tokenizers.normalizers.Sequence(steps)
    else:
        reference.normalizer = None
        reference.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme=way, split=False)
    vocabulary.from_hugging_face(texts.save(reference, tmp_path / "source"), tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    for text in ("Hello you", " Hello", "你好，世界"):
        assert tokenizer.encode(text) == texts.without_special(reference, text)
        expected = texts.without_special(reference, f"{text}<|user|>{text}")
        assert tokenizer.encode_parts([text, 4, text]) == expected


def test_the_beginning_token_follows_the_post_processor_and_the_settings_overrule_it(tmp_path: Path) -> None:
    reference = tokenizers.Tokenizer.from_str(texts.byte_level("llama3").to_str())
    start = reference.token_to_id("<|im_start|>")
    reference.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", start)]
    )
    source = texts.save(reference, tmp_path / "source", bos_token={"content": "<|im_start|>"})
    config = vocabulary.from_hugging_face(source, tmp_path)
    assert (config.bos_id, config.add_bos) == (start, True)
    texts.save(reference, source, bos_token="<|im_start|>", add_bos_token=False)
    assert not vocabulary.from_hugging_face(source, tmp_path).add_bos


def test_the_chat_template_is_taken_from_wherever_the_publisher_keeps_it(tmp_path: Path) -> None:
    reference, written = texts.byte_level("qwen"), tmp_path / "chat_template.jinja"
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "{{ 'a' }}"}]
    for value in ("{{ 'a' }}", several):
        source = texts.save(reference, tmp_path / "source", chat_template=value)
        vocabulary.from_hugging_face(source, tmp_path)
        assert written.read_text(encoding="utf-8") == "{{ 'a' }}"
    (source / "chat_template.jinja").write_text("{{ '文' }}", encoding="utf-8")
    vocabulary.from_hugging_face(source, tmp_path)
    assert written.read_text(encoding="utf-8") == "{{ '文' }}"
    vocabulary.from_gguf({**texts.gguf_fields(reference, "qwen2"), "tokenizer.chat_template": "g"}, tmp_path)
    assert written.read_text(encoding="utf-8") == "g"
