"""From a trained adapter and its mixtures to what the program carries: `python -m recipes.ship ADAPTER MIXTURE…`.

The adapter goes into engine/shipped with its data's hashes, licences and attributions in it, and a card beside it.
From then on `llm models pull` merges it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import adapter, manifest, shipped
from engine.disk import write_whole
from engine.errors import EngineError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBED = "learnt by `python -m recipes.probes` from the sources `uci` and `written` below"


def main(words: Sequence[str] | None = None) -> None:
    """Read the arguments and ship. Exits with a message where that fails."""
    parser = argparse.ArgumentParser(prog="python -m recipes.ship", description=__doc__)
    parser.add_argument("adapter", type=Path, help="what llm finetune wrote")
    help_ = "the folders that python -m recipes wrote, with train.jsonl, in the order of the rounds"
    parser.add_argument("mixture", type=Path, nargs="+", help=help_)
    parser.add_argument("--strength", type=float, default=1.0, help="so much of the trained change (arXiv 2109.01903)")
    parser.add_argument("--name", default=shipped.KNOWN[0].name, help="which adapter of engine/shipped it is")
    parser.add_argument(
        "--base", type=Path, help="the installed base's folder: an older adapter's turns are read there"
    )
    arguments = parser.parse_args(words)
    try:
        ours = next((one for one in shipped.KNOWN if one.name == arguments.name), None)
        if ours is None:
            raise UsageError(f"engine/shipped knows no adapter {arguments.name!r}")
        ship(arguments.adapter, arguments.mixture, ours, arguments.base, arguments.strength)
    except (EngineError, OSError) as error:
        sys.exit(f"{error}\n{getattr(error, 'hint', '')}".strip())
    print(f"{ours.path}: {ours.path.stat().st_size:,} bytes, sha256 {manifest.sha256_of(ours.path)}")


def ship(
    path: Path,
    mixtures: Sequence[Path],
    ours: shipped.ShippedAdapter,
    base: Path | None = None,
    strength: float = 1.0,
) -> None:
    """Write the adapter and its card where they are shipped from; turn markers from `base`, where it lacks them.

    Raises EngineError for what must not be shipped.
    """
    found = adapter.load(path)
    if found.info["base"] != ours.base or found.info.get("smoothing"):
        raise UsageError(f"{path} was trained over {found.info.get('base_name')}, not over the base of {ours.name}")
    if path.stat().st_size > shipped.LARGEST:
        raise UsageError(f"{path} has {path.stat().st_size:,} bytes, at most {shipped.LARGEST:,} can be shipped")
    files = [record for mixture in mixtures for record in _files(mixture)]
    told = [one for made in _made(found.info) for one in (*made.get("start", {}).get("files", []), *made["files"])]
    if {one["sha256"] for one in told} - {one["sha256"] for one in files}:  # an older first round knows of no files
        raise InputError(f"{path} was trained on other files than those of {', '.join(map(str, mixtures))}")
    cards = [(mixture / "DATA.md").read_text(encoding="utf-8") for mixture in mixtures]
    if not all(ours.licence_name in data for data in cards):
        raise InputError(f"a DATA.md does not name {ours.licence_name}, the terms of the adapter")
    licences = dict.fromkeys(line for data in cards for line in terms(data))
    info = found.info | {"files": files, "licences": [*licences, f"The whole card: {ours.card.name}"]}
    info |= {"scale": found.info["scale"] * strength, "strength": strength}
    if "turns" not in info and base:
        info["turns"] = _turns(base, ours)
    adapter.save(ours.path, found.tensors, info)
    write_whole(ours.card, (card(ours, info) + "\n".join(cards)).encode())


def _files(mixture: Path) -> list[dict[str, Any]]:
    """What was trained on, as the mixture's papers and the file itself say."""
    said = json.loads((mixture / "manifest.json").read_text(encoding="utf-8"))["sha256"]["train.jsonl"]
    path = mixture / "train.jsonl"
    if manifest.sha256_of(path) != said:
        raise InputError(f"{path} is not what the mixture's manifest.json describes")
    rows = sum(1 for line in path.read_text(encoding="utf-8").split("\n") if line)
    return [{"name": path.name, "bytes": path.stat().st_size, "sha256": said, "rows": rows}]


def _turns(base: Path, ours: shipped.ShippedAdapter) -> str:
    """The turn markers of the model that an adapter was trained over."""
    from engine.chat_format import ChatFormat
    from engine.tokenizer import Tokenizer
    from engine.training.rows import turns

    if manifest.read(base).base != ours.base:
        raise UsageError(f"{base} is not the base of {ours.name}")
    tokenizer = Tokenizer.load(base)
    return turns(ChatFormat.load(base, tokenizer), tokenizer)


def terms(data: str) -> list[str]:
    """The lines of a data card that say under which terms, and whom to name; who is named one by one stays in it."""
    head, _, rest = data.partition("## Attributions")
    paragraphs = [" ".join(part.split()) for part in head.split("\n\n")]
    said = [text for text in paragraphs if text and text[0] not in "#|" and not text.startswith("Seed ")]
    attributions = rest.partition("\n## ")[0].splitlines()
    return said + [line.removeprefix("- ").replace("**", "") for line in attributions if line.strip()]


def card(ours: shipped.ShippedAdapter, info: dict[str, Any]) -> str:
    """What stands above the data card: what the adapter is, and how it was trained."""
    return "\n".join(
        [
            f"# `{ours.name}`: an adapter for {info.get('base_name', 'its base')}",
            "",
            f"A low-rank change (LoRA) trained by `llm finetune`, merged into `{ours.model}` when that is pulled.",
            f"Offered under {ours.licence_name}; the model that it changes is under {info.get('base_licence')}.",
            "",
            f"- base: sha256 `{ours.base}`",
            *(
                f"- trained on: `{one['name']}`, {one['rows']:,} rows, sha256 `{one['sha256']}`"
                for one in info["files"]
            ),
            *(line for made in _made(info) for line in _rounds(made)),
            f"- strength: {info['strength']:g} of the trained change, chosen on development rows",
            *(f"- beside it ships a linear probe ({name}), {PROBED}" for name in ours.probes),
            "",
            "",
        ]
    )


def _made(info: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that an adapter is made of: one, or those that were averaged."""
    return [{"files": [], **one} for one in info.get("average", [info])]


def _rounds(made: dict[str, Any]) -> list[str]:
    share = []
    if "weight" in made:
        strength = made.get("strength", 1.0)
        share = [f"- {made['weight']:g} of the run with sha256 `{made['sha256']}`, at strength {strength:g}:"]
    return [*share, *(_round(made["start"]) if "start" in made else []), *_round(made)]


def _round(info: dict[str, Any]) -> list[str]:
    if "rows" not in info:
        return ["- an average of runs itself, the one that was shipped before: its card is in this file's history"]
    losses = info.get("held_out_losses") or []
    measured = f"{losses[0][1]:.3f} → {losses[-1][1]:.3f} nats a learnt token" if losses else "not measured"
    settings = ", ".join(f"{name} {value}" for name, value in info["training"].items())
    done = f"{info.get('rows', '?')} rows in {info.get('steps', '?')} steps; held-out loss {measured}"
    return [f"- settings: {settings}", f"- {done}"]


if __name__ == "__main__":
    main()
