"""Training a decoder from nothing on plain texts: float weights, next tokens, the end of each text held out."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

import tokenizer_models
from engine.config import SamplingConfig
from engine.convert.publish import publish
from engine.disk import disk_errors
from engine.generate import generate
from engine.kernels import resolve_device
from engine.kv_cache import KVCache
from engine.layout import Consecutive
from engine.model import Decoder
from engine.sampling import Sampler
from engine.tokenizer import Tokenizer
from engine.training import state, stepping
from engine.training.adamw import AdamW
from engine.training.corpus import Corpus, begin_of, end_of
from engine.training.lora import dtype_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from engine.schema import Document
    from engine.training.blueprint import Blueprint
    from engine.training.stepping import Measured, Step

SPREAD = 0.02
"""Standard deviation of fresh weights, as GPT-2 had it."""
WATCHED = 32
"""Windows of the held-out text that are measured on the way; at the end all are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, told before it starts."""

    parameters: int
    tokens: int
    """Trained on, once."""
    held_out: int
    """Tokens that only measure."""
    steps: int
    seen: int
    """Tokens of all steps."""
    memory: int
    """Bytes, predicted: weights with gradients and moments, and the activations of a pass."""


class Pretrainer:
    """A run over texts, with a model's folder as its aim."""

    def __init__(
        self,
        documents: Sequence[Document],
        blueprint: Blueprint,
        out: Path,
        *,
        seed: int = 0,
        device: str = "auto",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Encodes the texts. `about` is written into the folder's training.json.

        Raises InputError for too little text.
        """
        self.blueprint, self.out, self.seed, self.about = blueprint, out, seed, dict(about or {})
        self.device = resolve_device(device)
        self.tokenizer = Tokenizer.load(tokenizer_models.path(blueprint.vocabulary))
        self.corpus = Corpus(documents, self.tokenizer, blueprint.held_out, blueprint.context)
        self.shape = blueprint.model(self.tokenizer.vocab_size)
        self._together = max(1, blueprint.batch_tokens // blueprint.context)
        self._an_epoch = -(-self.corpus.windows // self._together)
        self.steps = blueprint.steps or blueprint.epochs * self._an_epoch
        self._order: tuple[int, list[int]] = (-1, [])

    def plan(self) -> Plan:
        """What `run` will do."""
        shape, at_once = self.shape, min(self.blueprint.pass_tokens, self._together * self.blueprint.context)
        kept = 4 * (10 * shape.hidden_size + 5 * shape.intermediate_size) * shape.num_layers + 12 * shape.vocab_size
        epochs, rest = divmod(self.steps, self._an_epoch)
        windows = epochs * self.corpus.windows + rest * self._together  # an epoch's last step takes what is left
        return Plan(
            shape.num_parameters, len(self.corpus.stream), self.corpus.held_tokens, self.steps,
            windows * self.blueprint.context, 16 * shape.num_parameters + kept * at_once,
        )  # fmt: skip

    def run(self) -> Iterator[Step | Measured]:
        """Train to the end, from where an earlier run was stopped; then the folder is written.

        Closing the iterator keeps the state. Raises UsageError if the kept state is of another run or another process
        is at it, CheckpointError if that state is damaged, FetchError if the folder is full or not to be written.
        """
        with state.alone(self.out):
            yield from self._run()

    def _run(self) -> Iterator[Step | Measured]:
        torch.manual_seed(self.seed)
        self.model = fresh(Decoder(self.shape)).to(self.device)
        for kind in self.model.rotary.kinds:
            # Made here: a sample would make them in inference mode, where no gradient may pass.
            self.model.rotary(kind, Consecutive(0, self.shape.max_context, self.device), self.device)
        parameters = dict(self.model.named_parameters())
        matrices = [parameter for parameter in parameters.values() if parameter.dim() == 2]
        norms = [parameter for parameter in parameters.values() if parameter.dim() != 2]
        groups = [(matrices, self.blueprint.weight_decay), (norms, 0.0)]
        optimizer = AdamW(groups, self.blueprint.learning_rate, betas=(0.9, 0.95))
        path = state.place(self.out)
        run = {"settings": self.blueprint.to_json(), "seed": self.seed, "data": self.corpus.digest}
        known = yield from stepping.go(self, self.steps, path, run, parameters, optimizer)
        with disk_errors(self.out.absolute().parent):
            self._write(known)
        path.unlink(missing_ok=True)

    def gradient(self, number: int, optimizer: AdamW) -> tuple[float, int]:
        """A step's clipped gradient, its learning rate set; its loss a token, and its tokens."""
        batch = self.corpus.batch(self._starts(number)).to(self.device)  # (B, T + 1)
        optimizer.rate = self.blueprint.rate(number, self.steps)
        optimizer.zero_grad()
        tokens, total = batch.shape[0] * (batch.shape[1] - 1), 0.0
        at_once = max(1, self.blueprint.pass_tokens // self.blueprint.context)
        for first in range(0, len(batch), at_once):
            rows = batch[first : first + at_once]
            loss = self._loss(rows) / tokens
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.blueprint.clip)
        return total, tokens

    def _starts(self, number: int) -> list[int]:
        """Where the windows of a step begin."""
        epoch, at = divmod(number, self._an_epoch)
        if self._order[0] != epoch:
            self._order = epoch, self.corpus.epoch(epoch, self.seed)
        return self._order[1][at * self._together : (at + 1) * self._together]

    def _loss(self, rows: Tensor) -> Tensor:
        """Summed cross-entropy of all tokens but the first of each row (B, T + 1)."""
        narrow = dtype_of(self.device) == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16) if narrow else contextlib.nullcontext():
            logits = self.model.logits(self.model(rows[:, :-1]))  # (B, T, V)
        return functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")

    @torch.no_grad()
    def measure(self, step: int) -> float:
        """Nats a held-out token; on the way of windows drawn evenly."""
        held = self.corpus.held
        every = 1 if step == self.steps else max(1, len(held) // WATCHED)
        chosen = held[::every]
        begin = begin_of(self.tokenizer)
        total = sum(self._loss(torch.tensor([[begin, *window]], device=self.device)).item() for window in chosen)
        return total / sum(len(window) for window in chosen)

    def by_byte(self, loss: float) -> float:
        """The perplexity a byte of a loss a token over all that is held out: comparable between vocabularies."""
        return math.exp(loss * self.corpus.held_tokens / self.corpus.held_bytes)

    def sample(self, step: int, tokens: int = 40) -> tuple[str, str]:
        """The beginning of the held-out text, and how the model in training goes on, drawn by the step's seed."""
        given = self.corpus.held[0][: min(8, self.blueprint.context // 2)]
        end = end_of(self.tokenizer)
        sampler = Sampler(SamplingConfig(temperature=0.8, top_p=0.95, seed=step))
        cache = KVCache(self.shape, dtype=torch.float32, device=self.device)
        prompt = [begin_of(self.tokenizer), *given]
        room = min(tokens, self.blueprint.context - len(prompt))
        ids: list[int] = []
        for token in generate(self.model, cache, prompt, sampler, frozenset({end})):
            if token.id == end or len(ids) >= room:
                break
            ids.append(token.id)
        return self.tokenizer.decode(given), self.tokenizer.decode(ids, continuing=True)

    def _write(self, known: state.State) -> None:
        """The folder, whole or not at all: weights and tokenizer, what was held out, and what it was made of."""
        part = self.out.with_name(f".{self.out.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            publish(self.model, part, self.blueprint.vocabulary)
            (part / "held_out.txt").write_text(self.corpus.held_text, encoding="utf-8", newline="\n")
            facts = {
                "settings": self.blueprint.to_json(),
                "seed": self.seed,
                "parameters": self.shape.num_parameters,
                "steps": known.step,
                "held_out_losses": known.losses,
                "held_out_perplexity_by_byte": self.by_byte(known.losses[-1][1]),
                **self.about,
            }
            text = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
            (part / "training.json").write_text(text, encoding="utf-8")
            if licences := self.about.get("licences"):
                (part / "NOTICE.md").write_text("\n".join(["# Training data", "", *licences, ""]), encoding="utf-8")
            part.rename(self.out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def fresh(model: Decoder) -> Decoder:
    """Draw all weights; what each block adds to the residual stream is smaller, the more blocks there are."""
    small = SPREAD / math.sqrt(2 * model.config.num_layers)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            nn.init.normal_(
                parameter, std=small if name.endswith(("attention.out.weight", "mlp.down.weight")) else SPREAD
            )
    return model
