"""What a model's hidden states tell of a text at a glance: a linear probe (arXiv 1610.01644) some way up its blocks.

A probe is learnt for one model and one prompt, whose beginning is the same for every text. The blocks above it are not
run, and no reply is scored: that is what makes it quick.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from engine.errors import CheckpointError
from engine.kv_cache import KVCache
from engine.layout import Packed

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from engine.model import Decoder

KEY = "probes"
FORMAT = 2
MEND = "install the program again"
PACK = 768
"""Tokens of a pass, and of the longest text that a glance takes in."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One question with two answers."""

    depth: int
    """Blocks that are run, and that the prompt's last token is seen after."""
    means: tuple[int, ...]
    """After so many each, fewer than `depth` and rising, the text's tokens are."""
    prefix: tuple[int, ...]
    """What its prompts begin with."""
    tail: int
    """Tokens that its prompts end with, after the text."""
    weight: Tensor
    """((1 + M) C,) for what `Glance.features` gives."""
    bias: float
    """Together they give the log odds of the first answer."""

    def __post_init__(self) -> None:
        """Raises ValueError for what can't be computed with."""
        seen = [0, *self.means, self.depth]
        if sorted({*seen}) != seen or self.tail < 1 or not self.prefix or self.weight.dim() != 1:
            told = f"blocks {seen[1:]}, {len(self.prefix)} and {self.tail} ids, weights {tuple(self.weight.shape)}"
            raise ValueError(told)
        if not (self.weight * self.bias).isfinite().all():
            raise ValueError("a number is not finite")


class Glance:
    """A probe of a loaded model, and a cache of its own that holds the probe's prefix once it was needed."""

    def __init__(self, model: Decoder, probe: Probe, dtype: torch.dtype, device: torch.device) -> None:
        """Raises CheckpointError for a probe of another model's shape."""
        config = model.config
        kept = 1 + len(probe.means)
        if probe.depth > config.num_layers or probe.weight.shape[0] != kept * config.hidden_size:
            told = f"{probe.depth} blocks of {probe.weight.shape[0] // kept} channels"
            raise CheckpointError(f"the probe was learnt over another model: it has {told}", hint=MEND)
        self.probe, self._model = probe, model
        kinds = config.layer_kinds[: probe.depth]
        self._cache = KVCache(
            dataclasses.replace(config, num_layers=probe.depth, layer_kinds=kinds), dtype=dtype, device=device
        )

    def log_odds(self, prompts: Sequence[Sequence[int]]) -> Generator[list[float | None], None, None]:
        """For each prompt, in order and a pass at a time, the log odds of the first answer; None for one that begins
        otherwise, or is too long. Closing stops between passes."""
        weight = self.probe.weight.to(self._cache.device)
        for rows in self.features(prompts):
            yield [None if row is None else float(row @ weight) + self.probe.bias for row in rows]

    def features(self, prompts: Sequence[Sequence[int]]) -> Generator[list[Tensor | None], None, None]:
        """What `log_odds` is told from, ((1 + M) C,) in float32: the state at a prompt's end after all blocks, and
        after each of the probe's M `means` the mean direction of the text's tokens. As `log_odds` otherwise."""
        pack: list[Sequence[int] | None] = []
        tokens = 0
        for prompt in prompts:
            rest = self._rest(prompt)
            if rest is not None and tokens + len(rest) > PACK:
                yield self._pass(pack)
                pack, tokens = [], 0
            pack.append(rest)
            tokens += len(rest or ())
        if pack:
            yield self._pass(pack)

    def _rest(self, prompt: Sequence[int]) -> Sequence[int] | None:
        """What comes after the prefix."""
        length = len(self.probe.prefix)
        fits = length + self.probe.tail < len(prompt) <= length + PACK and tuple(prompt[:length]) == self.probe.prefix
        return prompt[length:] if fits else None

    def _pass(self, pack: Sequence[Sequence[int] | None]) -> list[Tensor | None]:
        rests = [rest for rest in pack if rest is not None]
        rows = iter(self._read(rests) if rests else ())
        return [None if rest is None else next(rows) for rest in pack]

    @torch.inference_mode()
    def _read(self, rests: Sequence[Sequence[int]]) -> list[Tensor]:
        """Each is a stretch that goes on from the prefix."""
        cache, probe = self._cache, self.probe
        device, length = cache.device, len(probe.prefix)
        depths = [*probe.means, probe.depth]
        if cache.truncate(length) < length:
            self._model.states(torch.tensor([probe.prefix[cache.length :]], device=device), cache, None, depths, [])
        layout = Packed(length, [(len(rest), None) for rest in rests], device)
        ids = torch.tensor([[id_ for rest in rests for id_ in rest]], device=device)
        lengths = [len(rest) for rest in rests]
        ends = [end - 1 for end in accumulate(lengths)]
        *ways, last = self._model.states(ids, cache, layout, depths, ends)  # (1, T, C) and (1, N, C)
        cache.truncate(length)
        # Directions, as in `engine.embedding`: a few channels of a few tokens are far larger than all else.
        directions = [torch.split(functional.normalize(way[0].float(), dim=1), lengths) for way in ways]
        means = [[row[: -probe.tail].mean(0) for row in rows] for rows in directions]
        return [torch.cat(row) for row in zip(last[0].float(), *means, strict=True)]


def save(path: Path, probes: Mapping[str, Probe], about: Mapping[str, object]) -> None:
    """Write probes, whole or not at all. `about` says what they were learnt from, and over which `adapter` (sha256)."""
    from safetensors.torch import save as to_bytes

    from engine.disk import write_whole

    tensors = dict[str, torch.Tensor]()
    for name, probe in probes.items():
        tensors[f"{name}.prefix"] = torch.tensor(probe.prefix, dtype=torch.int32)
        tensors[f"{name}.weight"] = probe.weight.float().contiguous()
    told = {
        name: {"depth": probe.depth, "means": probe.means, "tail": probe.tail, "bias": probe.bias}
        for name, probe in probes.items()
    }
    write_whole(path, to_bytes(tensors, {KEY: json.dumps({"format": FORMAT, **about, "probes": told})}))


def load(path: Path, name: str) -> Probe:
    """The probe of that name. Raises CheckpointError for what is none, or a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[KEY])
            if about["format"] != FORMAT:
                raise ValueError(f"expected format {FORMAT}, got {about['format']}")
            told = about["probes"][name]
            prefix, weight = file.get_tensor(f"{name}.prefix"), file.get_tensor(f"{name}.weight")
        depth, means, ids = int(told["depth"]), tuple(map(int, told["means"])), tuple(prefix.tolist())
        return Probe(depth, means, ids, int(told["tail"]), weight.float(), float(told["bias"]))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} holds no probe {name}, or a damaged one: {error}", hint=MEND) from error
