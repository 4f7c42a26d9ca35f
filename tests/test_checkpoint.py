"""Our own model folders: what is sound is mapped and not copied, what is damaged is refused with its name."""

from __future__ import annotations

import json
import math
import pickle
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_decoders import CONFIGS, DecoderSource, decoder, some_ids

from engine import checkpoint
from engine.config import LINEAR_KINDS, ModelConfig, QuantizationConfig
from engine.convert.quantize import quantize
from engine.errors import CheckpointError
from engine.kernels.generic import GenericKernel
from engine.kernels.native import NativeKernel
from engine.kernels.reference import ReferenceKernel
from engine.model_folder import read_config

if TYPE_CHECKING:
    from pathlib import Path

    from engine.kernels import Kernel

CPU = torch.device("cpu")
RECIPE = QuantizationConfig(activation_digits={"down": 2}, smoothing={"gate_up": 0.5})


@pytest.fixture(params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A saved model of each shape."""
    source = DecoderSource(decoder(CONFIGS[request.param]))
    tensors, _ = quantize(source, ReferenceKernel(), [some_ids(20)], {}, RECIPE)
    checkpoint.save(tmp_path, source.config, RECIPE, tensors)
    return tmp_path


def load(folder: Path) -> Any:
    return checkpoint.load(folder, ReferenceKernel(), CPU)


def test_a_saved_model_computes_nearly_what_the_float_model_does(folder: Path) -> None:
    model = load(folder)
    original = decoder(model.config)
    ids = torch.tensor([some_ids(50)])
    with torch.inference_mode():
        found, expected = model.logits(model(ids)), original.logits(original(ids))
    assert model.config == read_config(folder)[0]
    assert read_config(folder)[1] == RECIPE
    assert float((found - expected).std()) < 0.03 * float(expected.std())
    assert not any(parameter.requires_grad for parameter in model.parameters() if parameter.is_inference())


def test_only_config_and_safetensors_are_written_and_nothing_is_float_that_need_not_be(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    tensors = load_file(folder / "model.safetensors")
    config, _ = read_config(folder)
    matrices = [tensor for tensor in tensors.values() if tensor.dim() == 2]
    assert all(tensor.dtype == torch.int8 for tensor in matrices)
    small = sum(tensor.numel() for tensor in tensors.values() if tensor.dim() == 1)
    assert sum(tensor.numel() for tensor in matrices) + small > config.num_parameters
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values() if tensor.dim() == 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_are_mapped_from_the_file_and_not_copied(folder: Path) -> None:
    tensors = checkpoint.map_tensors(folder / "model.safetensors")
    config, quantization = read_config(folder)
    model: Any = checkpoint.build(config, quantization, tensors, GenericKernel(), CPU)
    with open("/proc/self/maps", encoding="utf-8") as maps:
        lines = [line for line in maps if str(folder / "model.safetensors") in line]
    ranges = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines]
    assert any(first <= model.embedding.values.data_ptr() < last for first, last in ranges)


@pytest.mark.parametrize("left", [0, 1, 7, 8, 9, 100, 1_000, -1, -5_000])
def test_truncated_weights_are_refused_with_the_file_named(folder: Path, left: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        load(folder)
    assert "llm models pull" in caught.value.hint


def test_missing_files_are_refused_with_the_file_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(folder)


def test_a_pickle_by_the_name_of_weights_is_never_run(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (open, (str(folder / "it-ran"), "w"))  # type: ignore[return-value]

    for data in (pickle.dumps(Evil()), pickle.dumps({"embedding.values": Evil()}, protocol=2)):
        (folder / "model.safetensors").write_bytes(data)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load(folder)
    torch.save({"embedding.values": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(folder)
    assert not (folder / "it-ran").exists()


def test_every_missing_tensor_is_named(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    for name in whole:
        save_file({k: v for k, v in whole.items() if k != name}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=re.escape(name)):
            load(folder)


def test_every_tensor_of_a_wrong_shape_or_type_is_named(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    for name, tensor in whole.items():
        other = torch.float16 if tensor.dtype == torch.float32 else torch.uint8
        for wrong in (tensor[:-1], tensor.unsqueeze(0), tensor.to(other)):
            save_file(whole | {name: wrong.contiguous()}, folder / "model.safetensors")
            with pytest.raises(CheckpointError, match=re.escape(name)):
                load(folder)


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf])
def test_every_tensor_with_a_number_that_is_not_finite_is_named(folder: Path, wild: float) -> None:
    whole = load_file(folder / "model.safetensors")
    floats = {name: tensor for name, tensor in whole.items() if tensor.dtype == torch.float32}
    for name, tensor in floats.items():
        save_file(whole | {name: tensor.index_fill(0, torch.tensor([3]), wild)}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=f"^{re.escape(name)} holds values that are not finite"):
            load(folder)
    assert "embedding.scales" in floats


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", '"x"', "[" * 100_000, '{"format": 2}', '{"format": 1}',
        '{"format": 1, "model": []}',
        '{"format": 1, "model": {}, "quantization": {}}', '{"format": 1, "model": null, "quantization": null}',
    ],
)  # fmt: skip
def test_a_damaged_config_is_refused_with_the_file_named(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(folder)


def test_binary_config_is_refused(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(folder)


WILD = [None, "x", -1, 0, 1.5, True, [], {}, [1], {"x": 1}, 10**30, 10**400, "９"]


def test_every_wild_value_in_a_config_is_refused_or_harmless(folder: Path) -> None:
    """Whatever one value is changed to, loading and one pass succeed or end in a CheckpointError."""
    path = folder / "config.json"
    data = json.loads(path.read_text())
    for part in ("model", "quantization"):
        for key in data[part]:
            for wild in WILD:
                path.write_text(json.dumps(data | {part: data[part] | {key: wild}}))
                try:
                    model = load(folder)
                except CheckpointError:
                    continue
                assert isinstance(model.config, ModelConfig)
                with torch.inference_mode():
                    model.logits(model(torch.tensor([[1, 2, 3]])))


def test_a_second_native_digit_is_for_models_that_needed_more_than_the_first_recipe() -> None:
    easy = QuantizationConfig(activation_digits={"qkv": 2, "down": 2, "head": 2})
    hard = QuantizationConfig(activation_digits={"qkv": 2, "out": 2, "down": 2, "head": 2})

    def digits(recipe: QuantizationConfig, kernel: Kernel) -> list[int]:
        return [checkpoint.digits_for(kind, recipe, kernel) for kind in LINEAR_KINDS]

    assert digits(easy, NativeKernel()) == [1, 1, 1, 1, 1]
    assert digits(hard, NativeKernel()) == [2, 2, 1, 2, 2]
    assert digits(easy, ReferenceKernel()) == [2, 1, 1, 2, 2]
    assert digits(hard, ReferenceKernel()) == [2, 2, 1, 2, 2]
