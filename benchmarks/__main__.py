"""`make bench`: our engine and its peers in turn on the same weights, as medians and ratios.

Peers are llama.cpp (llama-cpp-python), CTranslate2 and transformers, those of them that the environment of
`--peer-python` has and whose file is named. Without a peer our own figures are measured alone. Writes a table, a plot
and the numbers into `--out`, and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.contest import KL, contestants, held
from benchmarks.divergence import write_float_logits
from benchmarks.installed import default_model
from benchmarks.plot import bars
from benchmarks.report import markdown
from engine.errors import EngineError
from engine.speed.machine import this_machine
from engine.speed.measures import RESIDENT, SIZE, START, WHOLE

ALL = (KL, START, RESIDENT, SIZE, *WHOLE)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder of ours; default: the installed default model")
    parser.add_argument("--peer-python", metavar="PYTHON", help="of an environment with peers' libraries")
    parser.add_argument("--peer-model", type=Path, metavar="GGUF", help="llama.cpp's: Q8_0 (`benchmarks.q8_0`)")
    parser.add_argument(
        "--peer-folder", type=Path, metavar="FOLDER", help="CTranslate2's (`benchmarks.peers.ctranslate_model`)"
    )
    parser.add_argument(
        "--source", type=Path, help="the file that all were made from: for transformers, and for the divergence"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", metavar="WORD", help="only measures that contain one of these words")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of speed.md, .svg and .json")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    model = arguments.model or default_model()
    entered = contestants(
        model, arguments.threads, arguments.peer_python, arguments.peer_model, arguments.source, arguments.peer_folder
    )
    tell(f"in turn: {', '.join(contestant.name for contestant in entered)}")
    wanted = [m for m in ALL if not arguments.only or any(word in m.key for word in arguments.only)]
    context = json.loads((model / "config.json").read_text(encoding="utf-8"))["model"]["max_context"]
    wanted = [measure for measure in wanted if measure.tokens <= context]
    if not arguments.source:
        wanted = [measure for measure in wanted if measure is not KL]
    with tempfile.TemporaryDirectory() as folder:
        float_logits = Path(folder, "float.npz")
        if KL in wanted:
            write_float_logits(arguments.source, model, float_logits)
        try:
            figures = held(entered, wanted, arguments.rounds, float_logits, tell)
        except EngineError as error:
            sys.exit(error.message)
    heading, machine = f"{model.name}, {arguments.threads} threads, {arguments.rounds} rounds in turn", this_machine()
    table = markdown(f"{heading}, {machine}", wanted, figures)
    arguments.out.mkdir(parents=True, exist_ok=True)
    written = {
        "speed.md": table + "\n",
        "speed.svg": bars(heading, str(machine), wanted, figures),
        "speed.json": json.dumps({"about": heading, "machine": asdict(machine), "figures": figures}, indent=1) + "\n",
    }
    for name, text in written.items():
        (arguments.out / name).write_text(text, encoding="utf-8")
    print(table)
    tell(f"wrote {', '.join(written)} to {arguments.out}")


def tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
