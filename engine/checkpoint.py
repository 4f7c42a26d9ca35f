"""Our model format: config.json beside model.safetensors, int8 rows with their scales. Never unpickles, never copies.

`engine.model_folder` reads the config; tensors go by the names of `engine.model`, a quantized one as NAME.values and
NAME.scales. Loading maps the file into memory, checks every shape and swaps the linear layers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import numpy
import torch
from torch import Tensor, nn

from engine import ahead
from engine.errors import CheckpointError
from engine.fused import FusedDecoder
from engine.fused_cuda import CudaDecoder
from engine.kernels.native import NativeKernel
from engine.kernels.triton_kernel import TritonKernel
from engine.linear import Int8Embedding, Int8Linear
from engine.model import Decoder
from engine.model_folder import CONFIG_FILE, FORMAT, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.config import ModelConfig, QuantizationConfig
    from engine.kernels import Kernel

WEIGHTS_FILE = "model.safetensors"
REPAIR = "Remove the model and pull it again: llm models rm NAME, then llm models pull NAME."


def save(folder: Path, config: ModelConfig, quantization: QuantizationConfig, tensors: Mapping[str, Tensor]) -> None:
    """Write config and weights into an existing folder."""
    from safetensors.torch import save_file

    data = {"format": FORMAT, "model": config.to_json(), "quantization": quantization.to_json()}
    (folder / CONFIG_FILE).write_text(json.dumps(data, indent=2), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS_FILE)


def load(folder: Path, kernel: Kernel, device: torch.device) -> Decoder:
    """The decoder of a model folder, its int8 weights packed by `kernel`."""
    config, quantization = read_config(folder)
    tensors = map_tensors(folder / WEIGHTS_FILE)
    lay_out(tensors)
    return build(config, quantization, tensors, kernel, device)


def map_tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, memory-mapped. Raises CheckpointError if the file is missing, truncated or no safetensors."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is missing, truncated or damaged: {error}", hint=REPAIR) from error


def lay_out(tensors: Mapping[str, Tensor]) -> None:
    """Begin to bring a mapped file's tensors into this process, before the first product wants them page by page."""
    rows = () if "head.values" not in tensors else ("embedding.values",)  # of which a text takes few
    ahead.lay_out([(t.data_ptr(), t.data_ptr() + t.nbytes) for name, t in tensors.items() if name not in rows])


def build(
    config: ModelConfig,
    quantization: QuantizationConfig,
    tensors: Mapping[str, Tensor],
    kernel: Kernel,
    device: torch.device,
) -> Decoder:
    """A decoder around quantized tensors: linear layers and the embedding swapped for their int8 twins."""
    with torch.device("meta"):
        model = _decoder_for(kernel)(config)
    weights = Weights(tensors, device)
    vocabulary = (config.vocab_size, config.hidden_size)
    model.embedding = cast("nn.Embedding", _embedding(weights, vocabulary))
    head = "embedding" if config.tied_head else "head"
    # One native digit before a head that is the embedding costs SmolLM2 135M 1.3% of perplexity, two of them 0.3%.
    digits = 2 if config.tied_head and isinstance(kernel, NativeKernel) else digits_for("head", quantization, kernel)
    swap_linear(model, "head", weights, kernel, digits, stored=head)
    for index, block in enumerate(model.layers):
        swap_block(block, f"layers.{index}.", weights, kernel, quantization)
    model.norm.weight = nn.Parameter(weights.plain("norm.weight", (config.hidden_size,)), requires_grad=False)
    if isinstance(model, FusedDecoder | CudaDecoder):
        model.fuse()
    return model.eval()


def _decoder_for(kernel: Kernel) -> type[Decoder]:
    """The class that makes most of a kernel."""
    if isinstance(kernel, NativeKernel):
        return FusedDecoder
    return CudaDecoder if isinstance(kernel, TritonKernel) else Decoder


def digits_for(kind: str, quantization: QuantizationConfig, kernel: Kernel) -> int:
    """Int8 digits of what a kind of linear layer meets in a kernel.

    A native digit has a scale for each 64 inputs and is then worth two of a recipe, but for models whose recipe went
    beyond the first: one digit each cost Gemma 3 270M a KL of 0.027 in Chinese, the recipe's digits cost it 0.010.
    """
    if isinstance(kernel, NativeKernel) and quantization.digits("out") == 1:
        return 1
    return quantization.digits(kind)


def _embedding(weights: Weights, shape: tuple[int, int]) -> Int8Embedding:
    return Int8Embedding(*weights.quantized("embedding", shape), weights.plain("embedding.columns", shape[1:]))


def swap_block(
    block: nn.Module, prefix: str, weights: Weights, kernel: Kernel, quantization: QuantizationConfig
) -> None:
    """Fill one (meta) block from its tensors: int8 linear layers, float norms."""
    for module, name in (("attention", "qkv"), ("attention", "out"), ("mlp", "gate_up"), ("mlp", "down")):
        stored = f"{prefix}{module}.{name}"
        digits = digits_for(name, quantization, kernel)
        swap_linear(block.get_submodule(module), name, weights, kernel, digits, stored=stored)
    for name, parameter in list(block.named_parameters()):
        owner, _, attribute = name.rpartition(".")
        value = weights.plain(prefix + name, tuple(parameter.shape))
        setattr(block.get_submodule(owner), attribute, nn.Parameter(value, requires_grad=False))


def swap_linear(owner: nn.Module, name: str, weights: Weights, kernel: Kernel, digits: int, *, stored: str) -> None:
    """Replace `owner.name`, an nn.Linear, by its int8 twin."""
    linear = cast("nn.Linear", getattr(owner, name))
    values, scales = weights.quantized(stored, (linear.out_features, linear.in_features))
    bias = weights.plain(f"{stored}.bias", (linear.out_features,)) if linear.bias is not None else None
    setattr(owner, name, Int8Linear(values, scales, bias, kernel, digits))


class Weights:
    """Tensors by name, each checked for shape, type and finite numbers, on one device."""

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        self._tensors, self._device = tensors, device

    def quantized(self, name: str, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Values (N, K) int8 and scales (N,) float32."""
        return (
            self._get(f"{name}.values", shape, torch.int8),
            self._get(f"{name}.scales", shape[:1], torch.float32),
        )

    def plain(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A float32 tensor."""
        return self._get(name, shape, torch.float32)

    def _get(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"tensor {name} is missing", hint=REPAIR)
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise CheckpointError(
                f"tensor {name} should be {dtype} {shape}, is {tensor.dtype} {tuple(tensor.shape)}", hint=REPAIR
            )
        # By numpy: torch would wake other threads for each of a hundred small tensors, ten milliseconds in all.
        if dtype.is_floating_point and not numpy.isfinite(tensor.numpy()).all():
            raise CheckpointError(f"{name} holds values that are not finite numbers", hint=REPAIR)
        return tensor.to(self._device)
