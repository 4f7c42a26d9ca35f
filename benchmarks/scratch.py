"""A decoder from nothing beside what came before it, on the same bytes: `python -m benchmarks.scratch CONFIG TEXT…`.

Each learns from the beginning of each text, as `llm finetune --from-scratch CONFIG TEXT…` does, and is measured on the
same held-out end: a 4-gram model with Kneser-Ney smoothing, an LSTM, and the decoder.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.training.pretrain import Pretrainer


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scratch", description=__doc__)
    parser.add_argument("config", type=Path, help="the shape of the decoder, TOML or JSON")
    parser.add_argument("texts", nargs="+", help="plain texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the decoder in this folder; a stopped run goes on")
    arguments = parser.parse_args(words)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            run(arguments.config, arguments.texts, arguments.out or Path(scratch) / "decoder", arguments.seed)
    except EngineError as error:
        sys.exit(f"{error.message}\n{error.hint}".strip())


def run(config: Path, texts: Sequence[str], out: Path, seed: int) -> None:
    from engine.training.blueprint import Blueprint
    from engine.training.pretrain import Pretrainer
    from tui.files import read_file

    trainer = Pretrainer([read_file(text) for text in texts], Blueprint.read(read_file(str(config))), out, seed=seed)
    corpus = trainer.corpus
    print(f"{len(corpus.stream)} tokens learnt from, {trainer.steps} steps; {corpus.held_bytes} bytes held out\n")
    print("| model | parameters | perplexity a byte | bits a byte |\n|---|--:|--:|--:|")
    for name, parameters, figure in contest(trainer, seed):
        print(f"| {name} | {parameters} | {figure:.3f} | {math.log2(figure):.3f} |", flush=True)


def contest(trainer: Pretrainer, seed: int) -> Iterator[tuple[str, str, float]]:
    """Each model's name, size, and perplexity a byte of the held-out text."""
    from benchmarks.baselines import lstm_text
    from benchmarks.baselines.ngram import NGramModel
    from benchmarks.baselines.pieces import SEPARATOR, TextModel
    from engine.evaluation.likelihood import perplexity_by_byte
    from engine.training.stepping import Step

    corpus = trainer.corpus
    ids = [SEPARATOR] * 3 + corpus.stream.tolist()
    ngram = TextModel(corpus.tokenizer, NGramModel.train(ids, corpus.tokenizer.vocab_size, 4), 4)
    yield "4-gram model (Kneser-Ney)", "", perplexity_by_byte(ngram.likelihoods(corpus.held_text))
    told = _Told()
    lstm = lstm_text.train(corpus, trainer.blueprint, trainer.steps, seed=seed, report=told.lstm)
    yield "LSTM", f"{lstm.parameters_ / 1e6:.1f} M", perplexity_by_byte(lstm_text.likelihoods(lstm, corpus))
    last = 0.0
    for event in trainer.run():
        if isinstance(event, Step):
            told.decoder(event.number)
        else:
            last = event.loss
    yield "decoder", f"{trainer.plan().parameters / 1e6:.1f} M", trainer.by_byte(last)


class _Told:
    """A line on stderr every half a minute."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lstm(self, step: int) -> None:
        self._tell("LSTM", step)

    def decoder(self, step: int) -> None:
        self._tell("decoder", step)

    def _tell(self, name: str, step: int) -> None:
        if time.monotonic() - self._last >= 30:
            self._last = time.monotonic()
            print(f"{name}: step {step}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
