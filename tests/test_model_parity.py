"""The decoder computes what the reference library computes, for every family and however the tokens are cut."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
import toy_families
from toy_families import FAMILIES, reference_logits, some_ids

from engine.convert.float_model import float_decoder
from engine.convert.hugging_face import HuggingFaceSource
from engine.kv_cache import KVCache

if TYPE_CHECKING:
    from pathlib import Path

    from engine.model import Decoder

LENGTH = 40
"""Several times the sliding windows of the toy families."""


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Decoder]:
    """The reference model of a family and ours, read from the folder that the reference wrote."""
    folder = tmp_path_factory.mktemp(request.param)
    reference = toy_families.write(request.param, folder)
    return reference, float_decoder(HuggingFaceSource(folder))


@torch.inference_mode()
def logits_in_pieces(model: Decoder, ids: list[int], sizes: list[int]) -> torch.Tensor:
    """(T, V) with a cache, the tokens fed in pieces of these sizes."""
    cache, at, rows = KVCache(model.config), 0, []
    for size in sizes:
        rows.append(model.logits(model(torch.tensor([ids[at : at + size]]), cache))[0])
        at += size
    assert at == cache.length == len(ids)
    return torch.cat(rows)


def same(ours: torch.Tensor, reference: torch.Tensor) -> None:
    torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4)


def test_a_whole_sequence_gives_the_logits_of_the_reference(pair: tuple[Any, Decoder]) -> None:
    reference, model = pair
    ids = some_ids(LENGTH)
    expected = reference_logits(reference, ids)
    with torch.inference_mode():
        same(model.logits(model(torch.tensor([ids])))[0], expected)
    assert expected.std() > 0.5  # logits without contrast would hide errors


@pytest.mark.parametrize("sizes", [[40], [1, 38, 1], [13, 13, 14], [30] + [1] * 10, [1] * 40, [5, 1, 1, 20, 1, 12]])
def test_a_cache_changes_nothing_however_the_tokens_are_cut(pair: tuple[Any, Decoder], sizes: list[int]) -> None:
    reference, model = pair
    ids = some_ids(LENGTH, seed=2)
    same(logits_in_pieces(model, ids, sizes), reference_logits(reference, ids))


def test_positions_far_from_the_start_agree_as_well(pair: tuple[Any, Decoder]) -> None:
    reference, model = pair
    ids = some_ids(450, seed=3)
    expected = reference_logits(reference, ids)
    torch.testing.assert_close(logits_in_pieces(model, ids, [200, 200, 50]), expected, rtol=1e-3, atol=1e-3)


def test_parameters_are_counted_as_the_reference_counts_them(pair: tuple[Any, Decoder]) -> None:
    reference, model = pair
    assert model.config.num_parameters == reference.num_parameters()
    assert model.config.num_parameters == sum(weight.numel() for weight in model.parameters())


def test_a_sharded_folder_is_read_like_a_whole_one(tmp_path: Path) -> None:
    reference = toy_families.write("qwen3", tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model = float_decoder(HuggingFaceSource(tmp_path))
    ids = some_ids(LENGTH)
    same(logits_in_pieces(model, ids, [LENGTH]), reference_logits(reference, ids))


def test_half_precision_weights_are_read_as_what_they_are(tmp_path: Path) -> None:
    reference = toy_families.random_model(FAMILIES["smollm"]())
    with torch.no_grad():
        for weight in reference.parameters():
            weight.copy_(weight.to(torch.bfloat16))
    copy.deepcopy(reference).to(torch.bfloat16).save_pretrained(tmp_path)
    ids = some_ids(LENGTH)
    model = float_decoder(HuggingFaceSource(tmp_path))
    same(logits_in_pieces(model, ids, [LENGTH]), reference_logits(reference, ids))


@pytest.mark.parametrize("family", ["llama3", "llama-linear", "gemma3"])
def test_folders_of_the_older_style_mean_the_same(family: str, tmp_path: Path) -> None:
    """Before rope_parameters there were rope_theta, rope_scaling and rope_local_base_freq."""
    reference = toy_families.write(family, tmp_path)
    path = tmp_path / "config.json"
    raw = json.loads(path.read_text())
    rope = raw.pop("rope_parameters")
    if family == "gemma3":
        raw["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        raw.pop("layer_types")
        raw["sliding_window_pattern"] = 6
        rope = rope["full_attention"]
    raw["rope_theta"] = rope.pop("rope_theta")
    raw["rope_scaling"] = rope
    path.write_text(json.dumps(raw))
    model = float_decoder(HuggingFaceSource(tmp_path))
    ids = some_ids(LENGTH)
    same(logits_in_pieces(model, ids, [LENGTH]), reference_logits(reference, ids))


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_the_text_part_of_a_model_that_also_sees_is_found(prefix: str, tmp_path: Path) -> None:
    """Both ways in which folders of multimodal Gemma 3 models name their tensors."""
    from safetensors.torch import load_file, save_file

    reference = toy_families.write("gemma3", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    renamed = {name.replace("model.", prefix, 1): tensor for name, tensor in weights.items()}
    renamed["vision_tower.patch.weight"] = torch.zeros(2, 2)
    save_file(renamed, tmp_path / "model.safetensors")
    text = json.loads((tmp_path / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 2}}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    model = float_decoder(HuggingFaceSource(tmp_path))
    ids = some_ids(LENGTH)
    same(logits_in_pieces(model, ids, [LENGTH]), reference_logits(reference, ids))


def test_several_sequences_at_once_are_as_each_alone(pair: tuple[Any, Decoder]) -> None:
    reference, model = pair
    rows = [some_ids(LENGTH, seed=seed) for seed in (4, 5, 6)]
    with torch.inference_mode():
        together = model.logits(model(torch.tensor(rows)))
    for row, ids in zip(together, rows, strict=True):
        same(row, reference_logits(reference, ids))
