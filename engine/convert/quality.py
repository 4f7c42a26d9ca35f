"""What int8 costs: perplexity, Kullback-Leibler divergence and same top token against the float model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.schema import LanguageQuality


class QualityMeter:
    """Adds up float and int8 logits of the same positions."""

    def __init__(self) -> None:
        self._tokens = 0
        self._nll_float = self._nll_int8 = self._kl = 0.0
        self._same = 0

    def add(self, reference: Tensor, quantized: Tensor, targets: Tensor) -> None:
        """Logits (T, V) of both models and the ids (T,) that really come next."""
        p, q = reference.log_softmax(-1), quantized.log_softmax(-1)  # float32: a hundred times finer than the loss
        self._tokens += targets.numel()
        self._nll_float -= float(p.gather(1, targets[:, None]).double().sum())
        self._nll_int8 -= float(q.gather(1, targets[:, None]).double().sum())
        self._kl += float((p.exp() * (p - q)).sum(-1).double().sum())
        self._same += int((p.argmax(-1) == q.argmax(-1)).sum())

    def result(self) -> LanguageQuality:
        """The means so far; at least one position must have been added."""
        count = self._tokens
        if count == 0:
            raise ValueError("nothing was measured")
        return LanguageQuality(
            tokens=count,
            perplexity_float=math.exp(self._nll_float / count),
            perplexity_int8=math.exp(self._nll_int8 / count),
            kl=self._kl / count,
            same_top_token=self._same / count,
        )


def positions(length: int, step: int = 128) -> list[slice]:
    """Slices of all positions that have a next token, few enough at a time for their logits to fit in memory."""
    return [slice(start, min(start + step, length - 1)) for start in range(0, length - 1, step)]


def next_ids(ids: list[int], at: slice) -> Tensor:
    """The ids that follow the positions `at`."""
    return torch.tensor(ids[at.start + 1 : at.stop + 1])
