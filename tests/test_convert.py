"""Conversion: smoothing is exact, the reported loss is the real one, and what can't be converted leaves nothing."""

from __future__ import annotations

import json
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy
import pytest
import torch
import toy_checkpoints
from safetensors.torch import load_file, save_file
from toy_decoders import CONFIGS, DecoderSource, decoder, some_ids

from engine import checkpoint, manifest
from engine.config import LINEAR_KINDS, QuantizationConfig
from engine.convert.float_model import float_decoder
from engine.convert.hugging_face import HuggingFaceSource
from engine.convert.quality import QualityMeter, next_ids, positions
from engine.convert.quantize import quantize
from engine.convert.smooth import smooth_block
from engine.convert.source import block_state
from engine.errors import CheckpointError, InputError
from engine.kernels import cache_dtype, choose
from engine.kernels.reference import ReferenceKernel
from engine.kv_cache import KVCache
from engine.layout import Consecutive
from engine.library import Library
from engine.model import Block, Decoder, RotaryTables

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import ModelConfig

CPU = torch.device("cpu")
KINDS = [kind for kind in LINEAR_KINDS if kind != "head"]


def through(config: ModelConfig, state: dict[str, torch.Tensor], layer: int, hidden: torch.Tensor) -> torch.Tensor:
    block = Block(config, config.kind(layer))
    block.load_state_dict(state)
    layout = Consecutive(0, hidden.shape[1], CPU)
    rotation = RotaryTables(config)(config.kind(layer), layout, CPU)
    with torch.inference_mode():
        return block(hidden, rotation, layout, None, layer)


@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS], ids="+".join)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_smoothed_block_computes_exactly_what_it_did(name: str, kinds: list[str]) -> None:
    model = decoder(CONFIGS[name])
    config = model.config
    draw = torch.Generator().manual_seed(1)
    widths = {"qkv": 32, "gate_up": 32, "out": config.num_heads * config.head_dim, "down": config.intermediate_size}
    ranges = {kind: torch.rand(width, generator=draw) * 30 for kind, width in widths.items()}
    ranges["qkv"][3] = 0  # a channel that never carries anything
    hidden = torch.randn(1, 17, 32, generator=draw)
    for layer in range(config.num_layers):
        state = block_state(DecoderSource(model), layer)
        smoothed = smooth_block(state, ranges, config, dict.fromkeys(kinds, 0.6))
        assert any(not torch.equal(smoothed[name], state[name]) for name in state)
        expected = through(config, state, layer, hidden)
        torch.testing.assert_close(through(config, smoothed, layer, hidden), expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def figures(reference: Decoder, quantized: Decoder, ids: list[int]) -> dict[str, float]:
    """Perplexities, divergence and agreement written out from the logits of two whole decoders."""
    cache = KVCache(quantized.config, dtype=cache_dtype(CPU))
    row = torch.tensor([ids])
    logits = [reference.logits(reference(row))[0], quantized.logits(quantized(row, cache))[0]]
    tables = [table[:-1].double().numpy() for table in logits]
    logs = [t - numpy.log(numpy.exp(t).sum(1, keepdims=True)) for t in tables]
    following = numpy.array(ids[1:])
    places = numpy.arange(len(following))
    return {
        "tokens": len(following),
        "perplexity_float": math.exp(-logs[0][places, following].mean()),
        "perplexity_int8": math.exp(-logs[1][places, following].mean()),
        "kl": float((numpy.exp(logs[0]) * (logs[0] - logs[1])).sum(1).mean()),
        "same_top_token": float((tables[0].argmax(1) == tables[1].argmax(1)).mean()),
    }


RECIPES = [
    QuantizationConfig(),
    QuantizationConfig(activation_digits=dict.fromkeys(LINEAR_KINDS, 2)),
    QuantizationConfig(activation_digits={"down": 2, "head": 2}, smoothing={"gate_up": 0.5, "out": 0.5, "qkv": 0.4}),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["one digit", "two digits", "smoothed"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_reported_quality_is_what_two_whole_decoders_give(name: str, recipe: QuantizationConfig) -> None:
    source, kernel = DecoderSource(decoder(CONFIGS[name])), choose(CPU, portable=True)
    evaluation = {"en": some_ids(150, seed=5), "zh": some_ids(90, seed=6)}
    seen: list[tuple[int, int]] = []
    tensors, quality = quantize(
        source, kernel, [some_ids(60)], evaluation, recipe, lambda done, total: seen.append((done, total))
    )
    model = checkpoint.build(source.config, recipe, tensors, kernel, CPU)
    assert quality.keys() == evaluation.keys()
    for language, ids in evaluation.items():
        expected = figures(decoder(CONFIGS[name]), model, ids)
        found = quality[language]
        assert found.tokens == expected["tokens"]
        assert found.perplexity_float == pytest.approx(expected["perplexity_float"], rel=1e-4)
        assert found.perplexity_int8 == pytest.approx(expected["perplexity_int8"], rel=1e-3)
        assert found.kl == pytest.approx(expected["kl"], rel=0.02, abs=1e-6)
        assert found.same_top_token == pytest.approx(expected["same_top_token"], abs=0.015)
        assert 0 < found.kl < 0.05
    layers = source.config.num_layers
    assert seen == [(done, layers + 1) for done in range(layers + 2)]


@pytest.mark.parametrize("smoothing", [{"head": 0.5}, {"nose": 0.5}, {"down": 1.5}])
def test_a_recipe_for_what_is_not_smoothed_is_refused(smoothing: dict[str, float]) -> None:
    with pytest.raises(CheckpointError, match="smoothing"):
        QuantizationConfig(smoothing=smoothing)


def test_two_digits_lose_less_than_one() -> None:
    source, texts = DecoderSource(decoder(CONFIGS["biased"])), {"en": some_ids(200)}
    kernel = choose(CPU, portable=True)
    one = quantize(source, kernel, [], texts, RECIPES[0])[1]["en"].kl
    two = quantize(source, kernel, [], texts, RECIPES[1])[1]["en"].kl
    assert two < one


def test_measuring_adds_up_over_slices_and_refuses_nothing() -> None:
    ids = some_ids(300)
    logits = torch.randn(2, 299, 61, generator=torch.Generator().manual_seed(2))
    parts, whole = QualityMeter(), QualityMeter()
    for at in positions(len(ids), step=7):
        parts.add(logits[0, at], logits[1, at], next_ids(ids, at))
    whole.add(logits[0], logits[1], torch.tensor(ids[1:]))
    assert parts.result().tokens == 299
    assert parts.result().kl == pytest.approx(whole.result().kl)
    assert parts.result().perplexity_int8 == pytest.approx(whole.result().perplexity_int8)
    with pytest.raises(ValueError, match="nothing"):
        QualityMeter().result()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny Hugging Face folder that is sound."""
    return toy_checkpoints.write_chat_model(tmp_path / "toy")


def weights(folder: Path, **changes: Any) -> None:
    """Replace tensors by name (dots written `__`); None drops one."""
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if tensor is not None:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, folder / "model.safetensors")


def config(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))


def fails(folder: Path, words: str) -> None:
    """Importing is refused with these words, and nothing is left behind."""
    library = Library(folder.parent / "models", folder.parent / "cache")
    with pytest.raises((CheckpointError, InputError), match=words):
        library.import_path(folder, "toy")
    assert library.names() == []
    left = [path.name for path in library.models_dir.iterdir()] if library.models_dir.exists() else []
    assert left in ([], [".locks"])


def test_a_sound_folder_becomes_a_model_that_checks_and_says_what_it_is(folder: Path) -> None:
    library = Library(folder.parent / "models", folder.parent / "cache")
    seen: list[Any] = []
    summary = library.import_path(folder, "toy", seen.append)
    assert (summary.problem, summary.chat, summary.family, summary.context) == ("", True, "llama", 2048)
    assert summary.parameters == sum(t.numel() for t in load_file(folder / "model.safetensors").values())
    assert summary.quality.keys() == {"en", "zh"}
    assert all(0 <= found.kl < 0.02 for found in summary.quality.values())
    assert summary.notices == ("LICENSE",)
    manifest.check(library.find("toy"), full=True)
    done = [step.done_bytes for step in seen if step.stage == "convert"]
    assert done[-1] == summary.parameters
    assert not any((library.find("toy") / name).exists() for name in ("pytorch_model.bin", "config.json.partial"))


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    for value in (float("nan"), float("inf")):
        for name in ("model.layers.1.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"):
            tensor = load_file(folder / "model.safetensors")[name]
            broken = tensor.clone()
            broken.view(-1)[5] = value
            weights(folder, **{name: broken})
            fails(folder, "not finite")
            weights(folder, **{name: tensor})


def test_missing_and_misshapen_tensors_are_refused_by_name(folder: Path) -> None:
    name = "model__layers__1__self_attn__k_proj__weight"
    weights(folder, **{name: torch.zeros(32, 63)})
    fails(folder, r"attention\.qkv")
    weights(folder, **{name: torch.zeros(64, 64)})
    fails(folder, r"attention\.qkv.* shape")
    weights(folder, **{name: None})
    fails(folder, r"layers\.1\.self_attn\.k_proj\.weight is missing")


def test_truncated_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-64])
    fails(folder, r"model\.safetensors is damaged or truncated")


def test_pickles_are_refused_whatever_they_are_called(folder: Path) -> None:
    data = pickle.dumps({"model.norm.weight": [1.0]})
    (folder / "model.safetensors").write_bytes(data)
    fails(folder, r"model\.safetensors is damaged or truncated")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    fails(folder, "safetensors")
    with pytest.raises(CheckpointError, match="safetensors") as caught:
        HuggingFaceSource(folder)
    assert "run code" in caught.value.hint


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    fails(folder, "model-00002-of-00002")


@pytest.mark.parametrize("wild", [None, [1], {"a": None}, {"a": ["b"]}, {"a": None, "b": "c"}], ids=str)
def test_an_index_of_shards_that_makes_no_sense_is_refused(folder: Path, wild: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": wild}))
    fails(folder, r"index\.json: weight_map")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gpt2"}, "unknown model family 'gpt2'"),
        ({"model_type": None}, "unknown model family"),
        ({"hidden_act": "relu"}, "relu"),
        ({"num_hidden_layers": 10**9}, "layers"),
        ({"num_hidden_layers": 3}, r"layers\.2.* missing"),
        ({"num_attention_heads": 0}, "bad value|positive"),
        ({"num_attention_heads": 3}, "multiple|shape"),
        ({"hidden_size": 65}, "shape|head_dim"),
        ({"vocab_size": 16_001}, "shape"),
        ({"rms_norm_eps": "small"}, "bad value"),
        ({"max_position_embeddings": 0}, "max_context"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "longrope"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"rope_scaling": "linear"}, "bad value"),
        ({"rope_theta": -1}, "base"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantized"),
        ({"final_logit_softcapping": 30.0}, "softcapping"),
    ],
)
def test_configs_that_the_decoder_does_not_have_are_refused(folder: Path, changes: dict[str, Any], words: str) -> None:
    config(folder, **changes)
    fails(folder, words)


WILD = [None, "x", -1, 0, 1.5, [], {}, [1], {"x": 1}, 10**30, 10**400]


def test_every_wild_value_in_a_config_is_refused_or_harmless(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    for key in [*raw, "rope_scaling", "rope_parameters", "head_dim", "attention_bias", "mlp_bias", "text_config"]:
        for wild in WILD:
            (folder / "config.json").write_text(json.dumps(raw | {key: wild}))
            try:
                model = float_decoder(HuggingFaceSource(folder))
            except CheckpointError:
                continue
            with torch.inference_mode():
                model(torch.tensor([[1, 2, 3]]))


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "[" * 100_000, '{"model_type": "llama"}'])
def test_a_damaged_config_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    fails(folder, "config|JSON")


def test_a_vocabulary_that_is_larger_than_the_model_is_refused(folder: Path) -> None:
    """A tokenizer from another model would make ids that the embedding does not have."""
    tensors = load_file(folder / "model.safetensors")
    weights(folder, **{n: tensors[n][:9_000] for n in ("model.embed_tokens.weight", "lm_head.weight")})
    config(folder, vocab_size=9_000)
    fails(folder, "vocabulary")


def test_the_reference_kernel_and_the_fast_one_agree_on_a_converted_model(folder: Path) -> None:
    library = Library(folder.parent / "models", folder.parent / "cache")
    library.import_path(folder, "toy")
    ids = torch.tensor([some_ids(40, vocabulary=16_000)])
    fast, slow = (checkpoint.load(library.find("toy"), kernel, CPU) for kernel in (choose(CPU), ReferenceKernel()))
    with torch.inference_mode():
        difference = fast.logits(fast(ids)) - slow.logits(slow(ids))
    assert float(difference.std()) < 0.08
