"""From the data folder to a mixture that `llm finetune` takes: `python -m recipes DATA OUT`.

Writes `train.jsonl`, `held.jsonl`, `manifest.json` (counts, tokens, hashes, seed) and `DATA.md`, the data card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(words: Sequence[str] | None = None) -> None:
    """Read the arguments and make the mixture. Exits with a message where that fails."""
    from engine.counter import load_tokenizer
    from engine.errors import EngineError

    parser = argparse.ArgumentParser(prog="python -m recipes", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder that holds sft/ and eval/")
    parser.add_argument("out", type=Path, help="a folder that is made for the result")
    parser.add_argument("--seed", type=int, default=0)
    help_ = (
        "2: judgements above all; judge: what teaches a larger model to judge; 3: what that judged, and more; "
        "4: everyday requests and their replies"
    )
    parser.add_argument("--round", choices=("1", "2", "judge", "3", "4"), default="1", help=help_)
    parser.add_argument("--tokens", type=int, help="no more than so many to train on; its beginning is as mixed")
    parser.add_argument("--model", type=Path, help="whose tokens are counted; the installed default model unless told")
    arguments = parser.parse_args(words)
    try:
        folder = arguments.model or _default()
        write(
            arguments.data,
            arguments.out,
            load_tokenizer(folder).count,
            arguments.seed,
            arguments.tokens,
            arguments.round,
        )
    except (EngineError, OSError) as error:
        sys.exit(f"{error}\n{getattr(error, 'hint', '')}".strip())


def write(
    data: Path, out: Path, count: Callable[[str], int], seed: int = 0, budget: int | None = None, which: str = "1"
) -> None:
    """Make the mixture of a round and its papers. Raises InputError for missing data."""
    from recipes import fourth, mixture, second, third
    from recipes.card import card

    build = {"1": mixture.build, "2": second.build, "judge": third.judge, "3": third.build, "4": fourth.build}[which]
    mixed = build(data, seed)
    train = mixed.train if budget is None else mixture.head(mixed.train, budget, count)
    files = {"train.jsonl": mixture.encoded(train), "held.jsonl": mixture.encoded(mixed.held)}
    table = mixture.counts(train, count)
    manifest = {
        "seed": seed,
        "round": which,
        "tokens": sum(row["tokens"] for row in table.values()),
        "train": table,
        "held": mixture.counts(mixed.held, count),
        "from": mixture.hashes(data),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    files["manifest.json"] = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    files["DATA.md"] = card(manifest, [*train, *mixed.held]).encode()
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        partial = out / f".{name}.part"
        partial.write_bytes(content)
        partial.replace(out / name)
    for name, row in table.items():
        print(f"{name:32}{row['conversations']:6} conversations{row['replies']:6} replies{row['tokens']:8} tok")
    for text in mixed.left_out:
        print(f"left out, an evaluation file has it: {text!r:.70}")
    print(f"{len(train)} conversations, about {manifest['tokens']} tok; held back {len(mixed.held)}")


def _default() -> Path:
    from benchmarks.installed import default_model

    return default_model()


if __name__ == "__main__":
    main()
