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
    hidden: int = 64
    """Of each direction."""
    dropout: float = 0.5
    rate: float = 2e-3
    batch: int = 64
    longest: int = 128
    """Tokens of a text that are read."""
    epochs: int = 12
    reads: int = 120_000
    """What all epochs together may read, so that large sets take minutes as well; one epoch at least."""
    patience: int = 3
    """Epochs without progress before it stops."""
    held_out: float = 0.1


class Classifier(nn.Module):
    """Embeddings, an LSTM in each direction, their largest and their mean outputs over the text, and a linear layer."""

    def __init__(self, vocabulary: int, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, recipe.embedding, sparse=True)
        self.forth = nn.LSTM(recipe.embedding, recipe.hidden, batch_first=True)
        self.back = nn.LSTM(recipe.embedding, recipe.hidden, batch_first=True)
        self.dropout = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(4 * recipe.hidden, classes)

    def forward(self, ids: Tensor, reversed_ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, classes) of ids (N, T) and of the same read backwards, both padded at the end."""
        # Each direction reads its padding last, so it needs no packed sequences, which are three times slower here.
        padding = (torch.arange(ids.shape[1]) >= lengths[:, None])[..., None]
        pooled = []
        for lstm, read in ((self.forth, ids), (self.back, reversed_ids)):
            states, _ = lstm(self.dropout(self.embedding(read)))
            pooled.append(states.masked_fill(padding, -torch.inf).amax(1))
            pooled.append(states.masked_fill(padding, 0).sum(1) / lengths[:, None])
        return self.head(self.dropout(torch.cat(pooled, 1)))


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
        optimizers = _optimizers(model, recipe)
        best, weights, waited = -1.0, model.state_dict(), 0
        for epoch in range(min(recipe.epochs, max(1, recipe.reads // len(kept)))):
            _epoch(model, optimizers, kept, recipe, shuffle)
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


def _optimizers(model: Classifier, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Of the embeddings only those that a batch holds are touched: most of the parameters, and few of them in use."""
    rest = [weight for name, weight in model.named_parameters() if not name.startswith("embedding")]
    embedding = torch.optim.SparseAdam(list(model.embedding.parameters()), recipe.rate)
    return [embedding, torch.optim.Adam(rest, recipe.rate)]


def _epoch(
    model: Classifier, optimizers: Sequence[torch.optim.Optimizer], rows: Rows, recipe: Recipe, shuffle: random.Random
) -> None:
    model.train()
    order = shuffle.sample(range(len(rows)), len(rows))
    batches = list(_batches(rows, order, recipe))
    for numbers in shuffle.sample(batches, len(batches)):
        labels = torch.tensor([rows[number][1] for number in numbers])
        model.zero_grad()
        nn.functional.cross_entropy(model(*_padded([rows[number][0] for number in numbers], recipe)), labels).backward()
        for optimizer in optimizers:
            optimizer.step()


def _batches(rows: Rows, order: Sequence[int], recipe: Recipe) -> Iterator[list[int]]:
    """Numbers of rows of about one length, so that little is padded; sorted within stretches of fifty batches."""
    stretch = 50 * recipe.batch
    for start in range(0, len(order), stretch):
        near = sorted(order[start : start + stretch], key=lambda number: len(rows[number][0]))
        yield from (near[begin : begin + recipe.batch] for begin in range(0, len(near), recipe.batch))


def _padded(texts: Sequence[Sequence[int]], recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """What the classifier reads of some texts: forwards, backwards, and how much of it is not padding."""
    forth = [torch.tensor(ids[: recipe.longest]) for ids in texts]
    back = [ids.flip(0) for ids in forth]
    pad = nn.utils.rnn.pad_sequence
    return pad(forth, batch_first=True), pad(back, batch_first=True), torch.tensor([len(ids) for ids in forth])


@torch.no_grad()
def _predicted(model: Classifier, rows: Rows, recipe: Recipe) -> list[int]:
    model.eval()
    found = [0] * len(rows)
    for numbers in _batches(rows, range(len(rows)), recipe):
        logits = model(*_padded([rows[number][0] for number in numbers], recipe))
        for number, label in zip(numbers, logits.argmax(1).tolist(), strict=True):
            found[number] = label
    return found


def _accuracy(model: Classifier, rows: Rows, recipe: Recipe) -> float:
    found = _predicted(model, rows, recipe)
    return sum(label == true for label, (_, true) in zip(found, rows, strict=True)) / len(rows)
