"""Training an adapter: batches in a fixed order, AdamW, held-out loss; interrupted at any moment, it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from engine import adapter, manifest
from engine.chat_format import ChatFormat
from engine.errors import CheckpointError, InputError, UsageError
from engine.generate import generate
from engine.kernels import resolve_device
from engine.kv_cache import KVCache
from engine.layout import Consecutive
from engine.model_folder import read_config
from engine.tokenizer import Tokenizer
from engine.training import rows, state, stepping
from engine.training.adamw import AdamW
from engine.training.lora import dtype_of, loss_of, open_decoder
from engine.training.settings import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from engine.adapter import Adapter
    from engine.schema import Message
    from engine.training.rows import Conversation, Encoded
    from engine.training.settings import TrainingConfig
    from engine.training.stepping import Measured, Step


HEAP = 1.7
"""What the allocator holds at most, of what is in use: 10.1 GB where 6.0 were, after 486 steps of the default model."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, told before it starts."""

    rows: int
    held_out: int
    left_out: int
    """Rows longer than the longest."""
    tokens: int
    """Of the rows trained on, once."""
    learnt: int
    """Of these, tokens that count."""
    steps: int
    parameters: int
    """Trained."""
    memory: int
    """Bytes, predicted: frozen weights, trained ones with their moments, and the activations of a pass."""


class Trainer:
    """A run over a model folder and rows, with the adapter's file as its aim."""

    def __init__(
        self,
        folder: Path,
        conversations: Iterable[Conversation],
        config: TrainingConfig,
        out: Path,
        device: str = "auto",
        about: Mapping[str, Any] | None = None,
        start: Adapter | None = None,
    ) -> None:
        """Encodes the rows, taken one by one; weights are opened by `run`. `about` is added to the adapter's manifest.

        `start`: an adapter of the same model, rank and layers to go on from; the new one remembers it.
        Raises InputError if no row is short enough, UsageError if `start` does not fit.
        """
        self.folder, self.config, self.out, self.about, self.start = folder, config, out, about or {}, start
        width = read_config(folder)[0].hidden_size
        if config.rank > width:
            raise UsageError(f"rank must be at most {width}, the width of {folder.name}, got {config.rank}")
        if start:
            _require_alike(start, folder, config)
        self.device = resolve_device(device)
        self.tokenizer = Tokenizer.load(folder)
        self.chat = ChatFormat.load(folder, self.tokenizer)
        self.end = rows.end_of_turn(self.chat, self.tokenizer)
        encoded = [rows.encode(conversation, self.chat, self.tokenizer, self.end) for conversation in conversations]
        fitting = [row for row in encoded if len(row.ids) <= config.longest and row.learnt]
        if not fitting:
            raise InputError(f"no row has at most {config.longest} tokens", hint="raise --longest, or shorten the rows")
        self._left_out = len(encoded) - len(fitting)
        self.rows, self.held = rows.split(fitting, config.held_out, config.seed)
        self.steps = rows.steps_of(self.rows, config.step_tokens, config.epochs, config.seed)
        self._digest = rows.digest([*self.rows, *self.held])

    def plan(self) -> Plan:
        """What `run` will do."""
        shape, _ = read_config(self.folder)
        inner = (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim
        width, middle = shape.hidden_size, shape.intermediate_size
        sizes = {
            "attention.qkv": width + inner, "attention.out": width + shape.num_heads * shape.head_dim,
            "mlp.gate_up": width + 2 * middle, "mlp.down": width + middle,
        }  # fmt: skip
        trained = shape.num_layers * self.config.rank * sum(sizes[target] for target in self.config.targets)
        frozen = shape.num_parameters * (2 if dtype_of(self.device) == torch.bfloat16 else 4)
        # Floats that a token leaves behind in each layer for the backward pass.
        kept = 4 * (8 * width + 4 * inner + 5 * middle) * shape.num_layers
        learnt = max(
            sum(len(row.learnt) for row in batch) for batch in rows.passes_of(self.rows, self.config.pass_tokens)
        )
        memory = frozen + 16 * trained + kept * max(self.config.pass_tokens, *(len(row.ids) for row in self.rows))
        memory += 3 * 4 * learnt * shape.vocab_size
        memory = round(HEAP * memory)
        return Plan(
            len(self.rows), len(self.held), self._left_out, sum(len(row.ids) for row in self.rows),
            sum(len(row.learnt) for row in self.rows), len(self.steps), trained, memory,
        )  # fmt: skip

    def run(self) -> Iterator[Step | Measured]:
        """Train to the end, from where an earlier run was stopped; then the adapter is written.

        Closing the iterator keeps the state. Raises UsageError if the kept state is of another run or another process
        is at it, CheckpointError if that state is damaged, FetchError if the folder is full or not to be written.
        """
        with state.alone(self.out):
            yield from self._run()

    def _run(self) -> Iterator[Step | Measured]:
        self.model, self.parameters = open_decoder(self.folder, self.config, self.device)
        if self.start:
            _put(self.start, self.parameters)
        for kind in self.model.rotary.kinds:
            # Made here: a sample would make them in inference mode, where no gradient may pass.
            self.model.rotary(kind, Consecutive(0, self.config.longest, self.device), self.device)
        optimizer = AdamW([(list(self.parameters.values()), self.config.weight_decay)], self.config.learning_rate)
        path = state.place(self.out)
        run = {"settings": self.config.to_json(), "base": manifest.read(self.folder).base, "data": self._digest}
        if self.start:
            run["start"] = self.start.sha256
        known = yield from stepping.go(self, len(self.steps), path, run, self.parameters, optimizer)
        adapter.save(self.out, self.parameters, self._info(known))
        path.unlink(missing_ok=True)

    def gradient(self, number: int, optimizer: AdamW) -> tuple[float, int]:
        """A step's clipped gradient; its loss, and its tokens."""
        batch = [self.rows[row] for row in self.steps[number]]
        learnt = sum(len(row.learnt) for row in batch)
        optimizer.rate = self.config.rate(number, len(self.steps))
        optimizer.zero_grad()
        total = 0.0
        for together in rows.passes_of(batch, self.config.pass_tokens):
            loss = loss_of(self.model, *self._tensors(together)) / learnt
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.clip)
        return total, sum(len(row.ids) for row in batch)

    def _tensors(self, batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
        longest = max(len(row.ids) for row in batch)
        ids = torch.tensor([[*row.ids, *[self.end] * (longest - len(row.ids))] for row in batch], device=self.device)
        places = [(at, place) for at, row in enumerate(batch) for place in row.learnt]
        return ids, torch.tensor(places, device=self.device)

    @torch.no_grad()
    def measure(self, _step: int) -> float:
        """Nats a learnt token of the rows that are held out."""
        total = sum(
            loss_of(self.model, *self._tensors(group)).item()
            for group in rows.passes_of(self.held, self.config.pass_tokens)
        )
        return total / max(1, sum(len(row.learnt) for row in self.held))

    def sample(self, messages: Sequence[Message], tokens: int = 40) -> str:
        """What the model in training answers, greedily."""

        def greedy(logits: Tensor, _ids: Sequence[int]) -> tuple[int, float]:
            return int(logits.argmax()), 0.0

        prompt = self.chat.encode(messages)
        if len(prompt) + tokens > self.config.longest:
            return "(the question is too long for a sample)"
        cache = KVCache(self.model.config, dtype=torch.float32, device=self.device)
        ids: list[int] = []
        for token in generate(self.model, cache, prompt, greedy, frozenset({self.end})):
            if token.id == self.end or len(ids) >= tokens:
                break
            ids.append(token.id)
        return self.tokenizer.decode(ids)

    def _info(self, known: state.State) -> dict[str, Any]:
        _, quantization = read_config(self.folder)
        about = manifest.read(self.folder)
        return {
            "base": about.base,
            "base_name": about.name,
            "base_licence": about.licence,
            "smoothing": dict(quantization.smoothing),
            "rank": self.config.rank,
            "scale": self.config.scale,
            "training": self.config.to_json(),
            "data": self._digest,
            "rows": len(self.rows),
            "steps": len(self.steps),
            "held_out_losses": known.losses,
            "end_of_turn": self.end,
            "turns": rows.turns(self.chat, self.tokenizer),
            **self.about,
            **(_remembered(self.start, self.about) if self.start else {}),
        }


def _require_alike(start: Adapter, folder: Path, config: TrainingConfig) -> None:
    """Raises UsageError unless the adapter has the shape that is to be trained, over the same model."""
    _, quantization = read_config(folder)
    adapter.require_fit(start, manifest.read(folder), quantization.smoothing)
    targets = {target for target in TARGETS if any(f".{target}." in name for name in start.tensors)}
    told = (config.rank, config.scale, set(config.targets))
    if (start.info["rank"], start.info["scale"], targets) != told:
        raise UsageError(
            f"the adapter has rank {start.info['rank']}, scale {start.info['scale']:g}, {', '.join(sorted(targets))}; "
            f"the run is told rank {config.rank}, scale {config.scale:g}, {', '.join(sorted(config.targets))}",
            hint="give the same --rank, --alpha and --targets",
        )


@torch.no_grad()
def _put(start: Adapter, parameters: Mapping[str, nn.Parameter]) -> None:
    """Raises CheckpointError if the adapter is not of just these layers."""
    if {name: tensor.shape for name, tensor in start.tensors.items()} != {n: p.shape for n, p in parameters.items()}:
        raise CheckpointError(
            "the adapter to go on from does not fit the model's layers", hint="choose another --start"
        )
    for name, parameter in parameters.items():
        parameter.copy_(start.tensors[name])


def _remembered(start: Adapter, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of an adapter that was gone on from: what it was made of stays told."""
    told = ("rows", "steps", "training", "data", "files", "held_out_losses", "start")
    before = {name: start.info[name] for name in told if name in start.info}
    licences = dict.fromkeys([*start.info.get("licences", []), *about.get("licences", [])])
    return {"start": {"sha256": start.sha256, **before}, "licences": list(licences)}
