"""The language model that decoders replaced: an LSTM over the same pieces (Mikolov et al. 2010; Zaremba et al. 2014).

Trained on the same windows in the same order as `llm finetune --from-scratch`, with as many updates of as many tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.evaluation.likelihood import Likelihood
from engine.training.corpus import begin_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.training.blueprint import Blueprint
    from engine.training.corpus import Corpus

RATE = 2e-3


class Recurrent(nn.Module):
    """An embedding that is the head as well, and LSTM layers between."""

    def __init__(self, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, ids: Tensor, memory: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, T) ids -> (B, T, V) logits, and what it remembers."""
        states, memory = self.lstm(self.embedding(ids), memory)
        return states @ self.embedding.weight.t() + self.bias, memory

    @property
    def parameters_(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def train(
    corpus: Corpus, blueprint: Blueprint, steps: int, *, seed: int = 0, report: Callable[[int], object] | None = None
) -> Recurrent:
    """An LSTM of the blueprint's width. The same corpus and seed give the same model."""
    together = max(1, blueprint.batch_tokens // blueprint.context)
    an_epoch = -(-corpus.windows // together)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Recurrent(corpus.tokenizer.vocab_size, blueprint.width, min(2, blueprint.layers))
        optimizer = torch.optim.Adam(model.parameters(), RATE)
        for step in range(steps):
            epoch, at = divmod(step, an_epoch)
            starts = corpus.epoch(epoch, seed)[at * together : (at + 1) * together]
            batch = corpus.batch(starts)
            for group in optimizer.param_groups:
                group["lr"] = RATE * blueprint.rate(step, steps) / blueprint.learning_rate
            model.zero_grad()
            logits, _ = model(batch[:, :-1])
            nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), blueprint.clip)
            optimizer.step()
            if report:
                report(step + 1)
    return model


@torch.no_grad()
def likelihoods(model: Recurrent, corpus: Corpus) -> list[Likelihood]:
    """Of all that is held out, in stretches; what it remembers goes on from one to the next."""
    found, last, memory = [], begin_of(corpus.tokenizer), None
    for window in corpus.held:
        logits, memory = model(torch.tensor([[last, *window[:-1]]]), memory)
        logprobs = logits[0].log_softmax(-1).gather(1, torch.tensor(window)[:, None])
        size = sum(len(corpus.tokenizer.token_bytes(id_)) for id_ in window)
        found.append(Likelihood(float(logprobs.sum()), len(window), size))
        last = window[-1]
    return found
