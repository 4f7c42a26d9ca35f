"""The probe that judges sentiment at a glance, learnt from judged texts: `python -m recipes.probes DATA`.

The model that ships reads every text once, as `llm sentiment` asks about it, and a logistic regression tells positive
from negative by what it makes of it. Nothing is drawn by chance. It is written where it ships from.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from engine import manifest, probe, shipped
from engine.batch import shared_prefix
from engine.chat_format import ChatFormat
from engine.errors import EngineError, UsageError
from engine.session import Session
from engine.tasks import sentiment
from engine.tokenizer import Tokenizer
from recipes import seeds
from recipes.drawing import once
from recipes.sources import SOURCES, plain, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from engine.schema import Language

LANGUAGE: Language = "en"
"""Chinese texts are judged as well by replies that are read twice."""
DEPTH = 15
"""Of the model's 24 blocks: judging is no better after more, and much worse after one less. See README.md."""
MEANS = (14,)
"""Where the text's tokens are looked at."""
OTHERS = 0.3
"""What a text that the larger model wrote and judged counts beside one that people judged."""
PENALTY = 5000.0
"""On the squares of the weights, for features of unit variance."""


def main(words: Sequence[str] | None = None) -> None:
    """Read the arguments, learn and write. Exits with a message where that fails."""
    from tui.cli.console import Console
    from tui.cli.installed import open_library
    from tui.cli.progress import Progress
    from tui.paths import places

    parser = argparse.ArgumentParser(prog="python -m recipes.probes", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with sft/")
    arguments = parser.parse_args(words)
    ours = shipped.KNOWN[0]
    try:
        folder = open_library(places()).find(ours.model)
        merged = manifest.read(folder).adapter
        if merged is None or merged.sha256 != ours.sha256:
            raise UsageError(f"{folder} was not made with the adapter that ships")
        session = Session.open(folder, device="cpu")
        chat = ChatFormat.load(folder, Tokenizer.load(folder))
        with Progress(Console(language="en"), "texts") as progress:
            learnt = {sentiment.probe_of(LANGUAGE): learn(session, chat, texts(arguments.data), progress.update)}
        about = {"adapter": ours.sha256, "licences": [SOURCES["uci"].attribution, "the other texts: Apache 2.0"]}
        probe.save(ours.probes_path, learnt, about)
    except (EngineError, OSError) as error:
        sys.exit(f"{error}\n{getattr(error, 'hint', '')}".strip())
    print(f"{ours.probes_path}: {ours.probes_path.stat().st_size:,} bytes")


Judged = tuple[str, bool, float]
"""A text, whether it is positive, and what it counts."""


def texts(data: Path) -> list[Judged]:
    """Those that people judged, and those that the larger model wrote; none twice."""
    people = once((row["text"].strip(), row["label"]) for row in rows(data, "uci"))
    known = {plain(text) for text, _ in people}
    others = [pair for pair in once(seeds.judged(LANGUAGE, name="written")) if plain(pair[0]) not in known]
    counted = [*((pair, 1.0) for pair in people), *((pair, OTHERS) for pair in others)]
    return [(text, label == "positive", counts) for (text, label), counts in counted if label != "neutral"]


def learn(
    session: Session, chat: ChatFormat, judged: Sequence[Judged], tell: Callable[[int, int], object]
) -> probe.Probe:
    """A probe of what the session's model makes of those texts; `tell` hears how many were read, and of how many."""
    asked = sentiment.question(LANGUAGE)
    ends = [chat.encode(asked.messages(text)) for text in ("a", "b")]
    prefix, tail = shared_prefix(ends), len(shared_prefix([ids[::-1] for ids in ends]))
    nothing = torch.zeros((1 + len(MEANS)) * session.config.hidden_size)
    blank = probe.Probe(DEPTH, MEANS, tuple(prefix), tail, nothing, 0.0)
    prompts = chat.encode_many([asked.messages(text) for text, _, _ in judged])
    seen: list[Tensor | None] = []
    for rows_ in session.glance(blank).features(prompts):
        seen += rows_
        tell(len(seen), len(judged))
    kept = [(row, *said) for row, (_, *said) in zip(seen, judged, strict=True) if row is not None]
    features, positive, counts = (list(column) for column in zip(*kept, strict=True))
    weight, bias = regress(torch.stack(features), torch.tensor(positive), torch.tensor(counts))
    return replace(blank, weight=weight, bias=bias)


def regress(features: Tensor, positive: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """Weights (F,) and a bias by which a row (F,) of `features` (N, F) has the log odds that fit `positive` (N,) best,
    each row counting as much as its weight (N,) says (logistic regression with a penalty on squares)."""
    rows = features.double()
    middle, spread = rows.mean(0), rows.std(0) + 1e-6
    rows = (rows - middle) / spread
    answers, weights = positive.double(), weights.double()
    slope = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        wrong = functional.binary_cross_entropy_with_logits(rows @ slope + bias, answers, weights, reduction="sum")
        total = wrong + PENALTY * slope.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    slope, bias = slope.detach() / spread, bias.detach()
    return slope.float(), float(bias - slope @ middle)


if __name__ == "__main__":
    main()
