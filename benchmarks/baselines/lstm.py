"""The sentiment classifier that language models replaced: a bidirectional LSTM (Hochreiter & Schmidhuber 1997; Graves
2005) trained from nothing on labelled rows; the epoch that judges held-out rows best is kept.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Rows = Sequence[tuple[Sequence[int], int]]
    """Token ids, at least one, and the number of the label."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How large the classifier is, and how it is trained."""

    embedding: int = 128
    hidden: int = 128
    layers: int = 1
    dropout: float = 0.5
    rate: float = 2e-3
    batch: int = 64
    longest: int = 128
    """Tokens of a text that are read."""
    epochs: int = 8
    patience: int = 2
    """Epochs without progress before it stops."""
    held_out: float = 0.1


class Classifier(nn.Module):
    """Embeddings, an LSTM in both directions, its largest and its mean output over the text, and a linear layer."""

    def __init__(self, vocabulary: int, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, recipe.embedding)
        self.lstm = nn.LSTM(
            recipe.embedding, recipe.hidden, recipe.layers, batch_first=True, bidirectional=True,
            dropout=recipe.dropout if recipe.layers > 1 else 0.0,
        )  # fmt: skip
        self.dropout = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(4 * recipe.hidden, classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, classes) of padded ids (N, T)."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(self.embedding(ids)), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        padding = (torch.arange(states.shape[1]) >= lengths[:, None])[..., None]
        largest = states.masked_fill(padding, -torch.inf).amax(1)
        mean = states.sum(1) / lengths[:, None]
        return self.head(self.dropout(torch.cat([largest, mean], 1)))


@dataclass(frozen=True, slots=True)
class Trained:
    """A classifier, and how many of the rows that were held out it judges rightly."""

    model: Classifier
    held_out: float
    recipe: Recipe

    def predict(self, texts: Sequence[Sequence[int]]) -> list[int]:
        """The number of each text's label."""
        return _predicted(self.model, [(ids, 0) for ids in texts], self.recipe)


def train(
    rows: Rows,
    vocabulary: int,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    report: Callable[[int, float], object] | None = None,
) -> Trained:
    """The same rows and seed give the same classifier. `report` is told each epoch's accuracy on held-out rows."""
    recipe = recipe or Recipe()
    shuffle = random.Random(seed)
    shuffled = shuffle.sample(list(rows), len(rows))
    count = max(1, round(len(rows) * recipe.held_out))
    held, kept = shuffled[:count], shuffled[count:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(vocabulary, 1 + max(label for _, label in rows), recipe)
        optimizer = torch.optim.Adam(model.parameters(), recipe.rate)
        best, weights, waited = -1.0, model.state_dict(), 0
        for epoch in range(recipe.epochs):
            _epoch(model, optimizer, kept, recipe, shuffle)
            accuracy = _accuracy(model, held, recipe)
            if report:
                report(epoch, accuracy)
            waited += 1
            if accuracy > best:
                best, weights, waited = accuracy, copy.deepcopy(model.state_dict()), 0
            if waited == recipe.patience:
                break
    model.load_state_dict(weights)
    return Trained(model, best, recipe)


def _epoch(
    model: Classifier, optimizer: torch.optim.Optimizer, rows: Rows, recipe: Recipe, shuffle: random.Random
) -> None:
    model.train()
    order = shuffle.sample(range(len(rows)), len(rows))
    batches = list(_batches(rows, order, recipe))
    for numbers in shuffle.sample(batches, len(batches)):
        ids, lengths, labels = _padded([rows[number] for number in numbers], recipe)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(ids, lengths), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def _batches(rows: Rows, order: Sequence[int], recipe: Recipe) -> Iterator[list[int]]:
    """Numbers of rows of about one length, so that little is padded; sorted within stretches of fifty batches."""
    stretch = 50 * recipe.batch
    for start in range(0, len(order), stretch):
        near = sorted(order[start : start + stretch], key=lambda number: len(rows[number][0]))
        yield from (near[begin : begin + recipe.batch] for begin in range(0, len(near), recipe.batch))


def _padded(rows: Rows, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    texts = [torch.tensor(ids[: recipe.longest]) for ids, _ in rows]
    ids = nn.utils.rnn.pad_sequence(texts, batch_first=True)
    return ids, torch.tensor([len(text) for text in texts]), torch.tensor([label for _, label in rows])


@torch.no_grad()
def _predicted(model: Classifier, rows: Rows, recipe: Recipe) -> list[int]:
    model.eval()
    found = [0] * len(rows)
    for numbers in _batches(rows, range(len(rows)), recipe):
        ids, lengths, _ = _padded([rows[number] for number in numbers], recipe)
        for number, label in zip(numbers, model(ids, lengths).argmax(1).tolist(), strict=True):
            found[number] = label
    return found


def _accuracy(model: Classifier, rows: Rows, recipe: Recipe) -> float:
    found = _predicted(model, rows, recipe)
    return sum(label == true for label, (_, true) in zip(found, rows, strict=True)) / len(rows)
