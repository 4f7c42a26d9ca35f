"""GGUF files of every family give the decoder that the Hugging Face folder of the same weights gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy
import pytest
import torch
import toy_checkpoints
import toy_families
import toy_gguf
from gguf import GGMLQuantizationType as Kind
from toy_families import FAMILIES, SIZE, reference_logits, some_ids

from engine.convert.float_model import float_decoder
from engine.convert.gguf import GgufSource
from engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

IDS = some_ids(40)
YARN = {"qwen2__rope__scaling__type": "yarn", "qwen2__rope__scaling__factor": 4.0}


def logits(path: Path) -> torch.Tensor:
    model = float_decoder(GgufSource(path))
    with torch.inference_mode():
        return model.logits(model(torch.tensor([IDS])))[0]


def config_of(family: str) -> Any:
    """GGUF has no place for the toy Gemma's odd scale and rope files need waves longer than a small head has."""
    config = FAMILIES[family]()
    if family == "gemma3":
        config.query_pre_attn_scalar = config.head_dim
    if family == "llama3":
        config.rope_parameters = config.rope_parameters | {"rope_theta": 500_000.0}
    return config


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "qwen2-windows"])
def test_a_gguf_file_gives_the_logits_of_the_reference(family: str, tmp_path: Path) -> None:
    reference = toy_families.random_model(config_of(family))
    path = toy_gguf.write(reference, tmp_path / "toy.gguf")
    torch.testing.assert_close(logits(path), reference_logits(reference, IDS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1])
@pytest.mark.parametrize("family", ["smollm", "qwen2"])
def test_stored_types_are_read_as_the_numbers_they_stand_for(family: str, kind: Kind, tmp_path: Path) -> None:
    """The reference gets the stored numbers put back; llama files also have their rows to put in order."""
    shape = SIZE | {"hidden_size": 96, "intermediate_size": 64}
    reference = toy_families.random_model(type(FAMILIES[family]())(**shape))
    path = toy_gguf.write(reference, tmp_path / "toy.gguf", kind)
    with torch.no_grad():
        for weight in reference.parameters():
            if weight.dim() == 2:
                stored = gguf.quantize(weight.numpy(), kind)
                weight.copy_(torch.from_numpy(gguf.dequantize(stored, kind).reshape(weight.shape).copy()))
    torch.testing.assert_close(logits(path), reference_logits(reference, IDS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K, Kind.IQ4_NL, Kind.IQ4_XS])
def test_block_types_without_a_quantizer_in_python_are_read_from_any_bytes(kind: Kind, tmp_path: Path) -> None:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = 6, 2 * block
    raw = numpy.random.default_rng(1).integers(0, 128, (rows, columns // block * size), dtype=numpy.uint8)
    writer = gguf.GGUFWriter(tmp_path / "toy.gguf", "qwen2")
    toy_gguf.write_shape(writer, FAMILIES["qwen2"]())
    for name in ("token_embd", "blk.0.attn_q", "blk.1.attn_q"):
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensor = GgufSource(tmp_path / "toy.gguf").tensor("embedding.weight")
    expected = gguf.dequantize(raw, kind).reshape(rows, columns)
    numpy.testing.assert_array_equal(tensor.numpy(), expected)


def test_frequencies_not_stretched_as_llama_3_1_does_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = toy_families.random_model(config_of("llama3"))
    monkeypatch.setattr(toy_gguf, "divisors", lambda config: numpy.linspace(1, 8, 4, dtype=numpy.float32))
    with pytest.raises(CheckpointError, match="rope_freqs"):
        GgufSource(toy_gguf.write(reference, tmp_path / "toy.gguf"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return toy_gguf.write(toy_families.random_model(FAMILIES["qwen2"]()), tmp_path / "toy.gguf")


@pytest.mark.parametrize("left", [0, 3, 8, 20, 24, 100, 700, 3_000, -10_000, -1])
def test_a_truncated_file_is_refused_at_any_place(good: Path, left: int) -> None:
    data = good.read_bytes()
    good.write_bytes(data[:left])
    with pytest.raises(CheckpointError, match=r"toy\.gguf"):
        float_decoder(GgufSource(good))


def test_damaged_headers_are_refused_or_read_but_never_crash(good: Path) -> None:
    """Every byte of the header set to three values: whatever happens is a model or a CheckpointError."""
    data = bytearray(good.read_bytes())
    header = GgufSource(good)._reader.data_offset
    draw = numpy.random.default_rng(2)
    for at in sorted({*range(24), *draw.integers(0, header, 150).tolist()}):
        for value in (0, 0x7F, 0xFF):
            broken = good.with_name("broken.gguf")
            broken.write_bytes(bytes(data[:at]) + bytes([value]) + bytes(data[at + 1 :]))
            try:
                float_decoder(GgufSource(broken))
            except CheckpointError:
                continue


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"qwen2__embedding_length": 0}, "embedding_length|hidden_size|bad metadata"),
        ({"qwen2__block_count": -3}, "num_layers"),
        ({"qwen2__block_count": 2**40}, "missing|layers"),
        ({"qwen2__block_count": 4}, r"blk\.3.* is missing"),
        ({"qwen2__attention__head_count": 0}, "bad metadata|num_heads"),
        ({"qwen2__attention__head_count": 7}, "multiple|shape"),
        ({"qwen2__attention__key_length": 10}, "shape"),
        ({"qwen2__feed_forward_length": 81}, "shape"),
        ({"qwen2__context_length": -1}, "max_context"),
        ({"qwen2__attention__layer_norm_rms_epsilon": float("nan")}, "norm_eps"),
        ({"qwen2__rope__freq_base": float("inf")}, "base"),
        ({"qwen2__rope__freq_base": -1.0}, "base"),
        ({"qwen2__rope__scaling__type": "dynamic"}, "dynamic"),
        ({"qwen2__rope__dimension_count": 4}, "part of each head"),
        ({**YARN, "qwen2__rope__scaling__attn_factor": 1.2}, "attn_factor = 1.2"),
        ({**YARN, "qwen2__rope__scaling__yarn_attn_factor": 0.5}, "yarn_attn_factor = 0.5"),
        ({**YARN, "qwen2__rope__scaling__yarn_ext_factor": 0.0}, "yarn_ext_factor = 0.0"),
        ({**YARN, "qwen2__rope__scaling__yarn_beta_fast": 16.0}, "yarn_beta_fast = 16.0"),
        ({**YARN, "qwen2__rope__scaling__yarn_beta_slow": 2.0}, "yarn_beta_slow = 2.0"),
        ({**YARN, "qwen2__rope__scaling__yarn_log_multiplier": 0.1}, "yarn_log_multiplier = 0.1"),
        ({"qwen2__embedding_length": "many"}, "bad metadata"),
        ({"general__architecture": "bert"}, "unknown architecture"),
        ({"split__count": 3, "general__architecture": None}, "one of 3 parts"),
        ({"general__architecture": 7}, "unknown architecture"),
    ],
)
def test_wild_metadata_are_refused_by_name(
    metadata: dict[str, Any], words: str, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = {key.replace("__", "."): value for key, value in metadata.items()}
    read = GgufSource.field

    def field(self: GgufSource, key: str, default: Any = None) -> Any:
        return wild.get(key, read(self, key, default))

    monkeypatch.setattr(GgufSource, "field", field)
    with pytest.raises(CheckpointError, match=words):
        float_decoder(GgufSource(good))


@pytest.mark.parametrize("family", ["llama-linear", "llama-yarn"])
def test_settings_of_a_stretched_context_that_a_file_leaves_out_are_the_usual_ones(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A factor alone stretches linearly, and what was stretched is the context that is told."""
    config = FAMILIES[family]()
    if family == "llama-yarn":
        config.rope_parameters = config.rope_parameters | {
            "original_max_position_embeddings": SIZE["max_position_embeddings"]
        }
    reference = toy_families.random_model(config)
    left_out = "add_rope_scaling_type" if family == "llama-linear" else "add_rope_scaling_orig_ctx_len"
    monkeypatch.setattr(gguf.GGUFWriter, left_out, lambda *_: None)
    path = toy_gguf.write(reference, tmp_path / "toy.gguf")
    torch.testing.assert_close(logits(path), reference_logits(reference, IDS), rtol=1e-4, atol=1e-4)


def test_windows_of_gemma_are_where_the_file_says_and_have_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("gemma3")
    config.layer_types = ["full_attention" if layer % 3 == 2 else "sliding_attention" for layer in range(7)]
    config.rope_parameters["sliding_attention"]["rope_theta"] = 500.0
    write_shape = toy_gguf.write_shape

    def with_windows(writer: gguf.GGUFWriter, config: Any) -> None:
        write_shape(writer, config)
        writer.add_uint32("gemma3.attention.sliding_window_pattern", 3)
        writer.add_float32("gemma3.rope.freq_base_swa", 500.0)

    monkeypatch.setattr(toy_gguf, "write_shape", with_windows)
    reference = toy_families.random_model(config)
    path = toy_gguf.write(reference, tmp_path / "toy.gguf")
    torch.testing.assert_close(logits(path), reference_logits(reference, IDS), rtol=1e-4, atol=1e-4)


def test_lists_are_what_the_gguf_package_reads_and_a_file_that_ends_in_one_is_refused(tmp_path: Path) -> None:
    path = toy_checkpoints.write_chat_gguf(tmp_path / "tiny.gguf")
    source, theirs = GgufSource(path), gguf.GGUFReader(path)
    assert list(source._reader.fields) == list(theirs.fields)
    for name, field in theirs.fields.items():
        ours = source._reader.fields[name]
        assert (ours.types, ours.contents(), ours.contents(slice(3))) == (
            field.types, field.contents(), field.contents(slice(3))
        )  # fmt: skip
    lists = [field for field in theirs.fields.values() if field.types[0] == gguf.GGUFValueType.ARRAY]
    assert {field.types[1].name for field in lists} == {"STRING", "FLOAT32", "INT32"}
    for field in lists:
        shorter = tmp_path / "shorter.gguf"
        for left in (30, 1000, 1001):
            shorter.write_bytes(path.read_bytes()[: field.offset + len(field.name) + left])
            with pytest.raises(CheckpointError, match="not a readable GGUF file"):
                GgufSource(shorter)


def test_a_text_that_is_no_utf_8_is_refused_by_name(good: Path) -> None:
    data = bytearray(good.read_bytes())
    value = data.index(b"general.architecture") + len(b"general.architecture") + 4 + 8  # its type and length
    data[value] = 0xFF
    good.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"toy\.gguf is damaged: general\.architecture is not UTF-8"):
        GgufSource(good)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    for name in ("model.layers.1.mlp.down_proj.weight", "model.norm.weight", "model.embed_tokens.weight"):
        reference = toy_families.random_model(FAMILIES["qwen2"]())
        with torch.no_grad():
            reference.state_dict()[name].view(-1)[3] = float("nan")
        with pytest.raises(CheckpointError, match="not finite"):
            float_decoder(GgufSource(toy_gguf.write(reference, tmp_path / "toy.gguf")))
